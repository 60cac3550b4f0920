import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tune_runs.processes import (
    descendants,
    end_descendants,
    ended_when_terminated,
    no_descendants_left,
)
from tune_runs.signals import NUMBERS, Stop, interruptible, time_limit

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts a process and ends at once, so that this one is an orphan.
PARENT = [
    sys.executable,
    "-c",
    f"import subprocess; subprocess.Popen({SLEEPER!r}, stdout=subprocess.DEVNULL)",
]


def stop_of(deadline=60.0):
    forced = threading.Event()
    return Stop(forced.set, deadline), forced


def test_a_signal_is_held_until_what_must_not_be_cut_is_over():
    stop, forced = stop_of()
    steps = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop.watched(), stop.held():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
        steps.append("whole")
    assert steps == ["whole"] and stop.asked == 1 and not forced.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_while_held_forces_the_end():
    stop, forced = stop_of()
    with pytest.raises(KeyboardInterrupt), stop.watched(), stop.held():
        signal.raise_signal(signal.SIGINT)
        assert not forced.is_set()
        signal.raise_signal(signal.SIGINT)
        assert forced.is_set()


def test_a_stop_that_takes_too_long_is_forced():
    stop, forced = stop_of(deadline=0.01)
    with pytest.raises(KeyboardInterrupt), stop.watched(), stop.held():
        signal.raise_signal(signal.SIGINT)
        assert forced.wait(30)


def test_an_orderly_stop_in_time_is_not_forced():
    stop, forced = stop_of(deadline=0.2)
    with pytest.raises(KeyboardInterrupt), stop.watched(), stop.held():
        signal.raise_signal(signal.SIGINT)
    stop._timer.join(30)
    assert not forced.is_set()


@pytest.mark.parametrize("error", [SystemExit(15), RuntimeError("the raylet died")])
def test_what_a_signal_broke_is_an_interruption_and_else_itself(error):
    stop, _ = stop_of()
    with interruptible(), pytest.raises(KeyboardInterrupt), stop.watched():
        stop.follow()
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise error
    with pytest.raises(type(error)), stop_of()[0].watched():
        raise error


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_counted_and_the_second_one_interrupts(number):
    stop, forced = stop_of()
    with interruptible(), pytest.raises(KeyboardInterrupt), stop.watched():
        stop.follow()
        signal.raise_signal(number)
        assert stop.asked == 1
        signal.raise_signal(number)
    assert stop.asked == 2 and not forced.is_set()


def test_the_end_of_the_hours_is_a_signal():
    lines, before = [], [signal.getsignal(number) for number in NUMBERS]
    with interruptible(), pytest.raises(KeyboardInterrupt), time_limit(0.5 / 3600, lines.append):
        time.sleep(60)  # cut short
    assert lines == [f"the {0.5 / 3600:g} hours are over"]
    assert before == [signal.getsignal(number) for number in NUMBERS]


def test_no_signal_comes_after_the_end():
    lines, threads = [], threading.active_count()
    with interruptible(), time_limit(1.0, lines.append), time_limit(None, lines.append):
        (timer,) = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    timer.join(30)
    assert lines == [] and threading.active_count() == threads


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_held_processes_do_not_feel_signals_of_the_group(number):
    stop, _ = stop_of()
    with stop.watched(), stop.held():
        child = subprocess.Popen(SLEEPER)
    child.send_signal(number)
    time.sleep(0.2)
    assert child.poll() is None
    child.kill()
    assert child.wait(30) == -signal.SIGKILL


def test_who_holds_sigterm_back_is_killed_when_it_is_sent():
    stop, _ = stop_of()
    with stop.watched(), stop.held():
        asked_before, asked, left_alone = (subprocess.Popen(SLEEPER) for _ in range(3))
    asked_before.terminate()
    with ended_when_terminated():
        asked.terminate()
        assert asked.wait(30) == -signal.SIGKILL
    assert asked_before.poll() is left_alone.poll() is None
    end_descendants()
    assert left_alone.wait(30) == asked_before.wait(30) == -signal.SIGKILL


def test_no_process_is_left_not_even_an_orphan_but_those_from_before():
    old = subprocess.Popen(SLEEPER)
    with no_descendants_left():
        subprocess.run(PARENT, check=True)
        (orphan,) = set(descendants()) - {old.pid}
    assert descendants() == [old.pid]
    assert old.poll() is None and os.waitpid(orphan, 0)[0] == orphan
    end_descendants()
    assert descendants() == [] and old.wait(30) == -signal.SIGKILL
