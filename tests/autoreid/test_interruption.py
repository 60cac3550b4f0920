"""Runs that are asked to stop, held by others, or stand still."""

from __future__ import annotations

import fcntl
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_runs import EXECUTION, TRAIN, job_of
from states import equal, repeatable, same_job

from autoreid import running
from autoreid.building import build_run
from autoreid.calls import train
from autoreid.data.source import DataSource
from autoreid.errors import HeldError, InterruptionError
from autoreid.feed import PreparedData
from autoreid.interruption import stop_on_signals
from autoreid.leases import FILE, Lease
from autoreid.running import run_job
from autoreid.runs import Row
from autoreid.snapshots import newest_checkpoint
from autoreid.storage import JobFolder, Storage
from search_spaces.published import PUBLISHED

CPU = replace(EXECUTION, checkpoint_minutes=0)


def stop_at(call: int) -> Callable[[], bool]:
    """Says that it is time to stop at one of its calls, and then no more."""
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls == call

    return stop


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_run_may_be_stopped_between_any_two_steps(
    kind: str, tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job = job_of(kind, "fp32", small_data.fingerprint)
    whole, broken = Storage(tmp_path / "whole"), Storage(tmp_path / "broken")
    list(run_job(job, whole, small_source, CPU, cache))
    # Each time four calls later: at the start, within epochs, at their ends, within an evaluation.
    stops, rows = 0, []
    while not broken.job(job.id).finished():
        try:
            rows += list(run_job(job, broken, small_source, CPU, cache, stop_at(4)))
        except InterruptionError as error:
            assert "Run the same command again" in str(error)
            stops += 1
            assert stops < 20
    assert stops > 2
    same_job(broken, whole, job)
    attempts = broken.job(job.id).attempts()
    assert len(attempts) == stops + 1
    assert all("stopped after" in attempt.read_log() for attempt in attempts[:-1])
    assert all(attempt.outcome() is None for attempt in attempts[:-1])
    assert all("interrupted.json" in attempt.folder.sizes() for attempt in attempts[:-1])


def test_records_that_are_not_written_yet_travel_with_a_stop(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    """Checkpoints are some epochs apart: a stop between them must not lose the finished ones."""
    job, storage = job_of("search", "fp32", small_data.fingerprint), Storage(tmp_path / "broken")
    rare = replace(CPU, checkpoint_epochs=2)
    run = build_run(job, None, small_data, CPU)
    calls = 1 + (run.position.steps + 1) + 2  # two steps into the second epoch
    with pytest.raises(InterruptionError, match="epoch 1 and 2 of"):
        list(run_job(job, storage, small_source, rare, cache, stop_at(calls)))
    list(run_job(job, storage, small_source, rare, cache))
    whole = Storage(tmp_path / "whole")
    list(run_job(job, whole, small_source, CPU, cache))
    same_job(storage, whole, job)


def test_a_state_holds_the_random_numbers_of_a_step(small_data: PreparedData) -> None:
    """Dropout draws the same after a resume: its numbers depend on seed and step alone."""

    def run_with_dropout() -> Any:
        run: Any = build_run(job_of("train", "fp32", small_data.fingerprint), CDNET, small_data, CPU)
        intact = run.model.forward
        run.model.forward = lambda images: intact(torch.dropout(images, 0.5, True))
        return run

    whole, broken, resumed = run_with_dropout(), run_with_dropout(), run_with_dropout()
    rows = [whole.advance() for _ in range(2)]
    broken.advance()
    torch.rand(3)  # others draw as well
    resumed.load(broken.state())
    assert repeatable([resumed.advance()]) == repeatable(rows[1:])
    assert equal(resumed.model.state_dict(), whole.model.state_dict())


CDNET = PUBLISHED["cdnet-top2"]


def test_the_farthest_checkpoint_of_all_attempts_is_used(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job, storage = job_of("search", "fp32", small_data.fingerprint), Storage(tmp_path)
    for call in (7, 3):
        with pytest.raises(InterruptionError):
            list(run_job(job, storage, small_source, EXECUTION, cache, stop_at(call)))
    first, second = storage.job(job.id).attempts()
    for attempt, number in ((first, 1), (second, 2)):
        found = newest_checkpoint([attempt])
        assert found is not None
        assert found[1].part >= number
    # All that the second attempt has is damaged: the first one's are left.
    for path in (tmp_path / f"jobs/{job.id}/attempts/{second.name}/checkpoints").glob("*.pt"):
        path.write_bytes(b"")
    found = newest_checkpoint([first, second])
    assert found is not None
    assert found[0] is first


def test_a_folder_of_its_own_is_continued_and_its_log_goes_on(
    tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    with pytest.raises(InterruptionError):
        train(TRAIN, CDNET, small_source, tmp_path / "a", cache=cache, execution=CPU, stop=stop_at(5))
    continued = train(TRAIN, CDNET, small_source, tmp_path / "a", cache=cache, execution=CPU)
    whole = train(TRAIN, CDNET, small_source, tmp_path / "b", cache=cache, execution=CPU)
    assert repeatable(continued.rows) == repeatable(whole.rows)
    log = (tmp_path / "a/log.txt").read_text().splitlines()
    words = ("begins", "stopped after epoch 0", "begins", "continues this attempt after epoch 0", "done")
    assert all(word in line for word, line in zip(words, log, strict=True))


def test_a_folder_of_its_own_is_held_as_well(tmp_path: Path, small_source: DataSource, cache: Path) -> None:
    call = functools.partial(train, TRAIN, CDNET, small_source, tmp_path / "a", cache=cache, execution=CPU)
    with pytest.raises(InterruptionError):
        call(stop=stop_at(5))
    with (tmp_path / "a/.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HeldError, match=r"another process works on it\. Wait for it"):
            call()
    assert call().rows[-1]["epoch"] == 2


def test_a_job_that_another_process_holds_is_left_alone(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job, storage = job_of("train", "fp32", small_data.fingerprint), Storage(tmp_path)
    Lease.of_this_process().write(storage.job(job.id).new_attempt().folder)
    with pytest.raises(HeldError, match=f"process {os.getpid()} works on it"):
        list(run_job(job, storage, small_source, CPU, cache))
    assert len(storage.job(job.id).attempts()) == 1


@pytest.mark.parametrize("rival", ["1-00000000", "9-ffffffff"])
@pytest.mark.parametrize("stays", [True, False])
def test_of_two_that_begin_at_once_one_withdraws(
    rival: str,
    stays: bool,
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The higher one gives way at once; the lower one waits whether the higher one does."""
    job, storage = job_of("search", "fp32", small_data.fingerprint), Storage(tmp_path)
    folder = storage.job(job.id)
    other = folder.folder.child(f"attempts/{rival}")
    intact = JobFolder.new_attempt

    def after_another(self: JobFolder, *known: Any) -> Any:
        Lease.of_this_process().write(other)  # begins in this very moment
        return intact(self, *known)

    monkeypatch.setattr(JobFolder, "new_attempt", after_another)
    monkeypatch.setattr(running.time, "sleep", lambda _: None if stays else other.remove(FILE))
    if rival.startswith("9") and not stays:
        assert list(run_job(job, storage, small_source, CPU, cache))
        return
    with pytest.raises(HeldError):
        list(run_job(job, storage, small_source, CPU, cache))
    assert [attempt.name for attempt in folder.attempts()] == [rival]


def test_what_another_does_between_the_look_and_the_beginning_is_not_done_again(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, storage = job_of("search", "fp32", small_data.fingerprint), Storage(tmp_path)
    folder = storage.job(job.id)
    intact = JobFolder.new_attempt

    def after_another(self: JobFolder, *known: Any) -> Any:
        monkeypatch.setattr(JobFolder, "new_attempt", intact)
        list(run_job(job, storage, small_source, CPU, cache))
        return intact(self, *known)

    monkeypatch.setattr(JobFolder, "new_attempt", after_another)
    with pytest.raises(HeldError, match="another process has done it meanwhile"):
        list(run_job(job, storage, small_source, CPU, cache))
    (attempt,) = folder.attempts()
    finished = folder.finished()
    assert finished is not None
    assert finished[0].name == attempt.name


def test_run_job_says_whether_it_was_run_here(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job, storage = job_of("search", "fp32", small_data.fingerprint), Storage(tmp_path)
    said = []

    def run() -> Iterator[Row]:
        said.append((yield from run_job(job, storage, small_source, CPU, cache)))

    assert [len(list(run())) for _ in range(2)] == [2, 0]
    assert said == [True, False]


def test_a_finished_attempt_leaves_neither_lease_nor_checkpoints(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job, storage = job_of("search", "fp32", small_data.fingerprint), Storage(tmp_path)
    list(run_job(job, storage, small_source, EXECUTION, cache))
    (attempt,) = storage.job(job.id).attempts()
    names = attempt.folder.sizes()
    assert FILE not in names
    assert not [name for name in names if name.startswith("checkpoints/")]


def test_the_first_signal_asks_and_the_second_one_interrupts(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGUSR1)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    assert "a checkpoint is written" in capsys.readouterr().err


COMMAND = """
import sys
from autoreid.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command(out: Path, cache: Path, *more: str) -> list[str]:
    sizes = "height=64 width=32 width_multiplier=0.1 batch.identities=4 batch.images=2"
    settings = [f"--set={setting}" for setting in sizes.split()]
    flags = ["--data=rendered", f"--out={out}", f"--cache={cache}", "--threads=1", "--device=cpu"]
    return [sys.executable, "-c", COMMAND, "train", "--genotype=cdnet-top2", *flags, *settings, *more]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_within_the_epoch_and_exits_with_75(
    number: signal.Signals, tmp_path: Path, cache: Path
) -> None:
    line = command(tmp_path / "run", cache, "--set=epochs=40")
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: (tmp_path / "run/started.json").exists(), process)
        time.sleep(1.0)
        process.send_signal(number)
        assert process.wait(timeout=60) == 75
        assert process.stderr is not None
        words = process.stderr.read()
    assert "stopped after" in words
    assert "Traceback" not in words
    assert not (tmp_path / "run" / FILE).exists()


@pytest.mark.slow
def test_a_run_that_stands_still_is_ended_with_the_reason(tmp_path: Path, cache: Path) -> None:
    stuck = COMMAND.replace(
        "from autoreid.cli import main",
        "from autoreid.cli import main\n"
        "import threading, autoreid.calls, autoreid.losses\n"
        "autoreid.losses.compute = lambda *given: threading.Event().wait()\n"
        "intact = autoreid.calls.Execution\n"
        "import autoreid.recipes\n"
        "import dataclasses\n"
        "import autoreid.commands\n"
        "given = autoreid.commands.execution_of\n"
        "autoreid.commands.execution_of = lambda o: dataclasses.replace(given(o), stall_minutes=0.05)",
    )
    line = [stuck if part == COMMAND else part for part in command(tmp_path / "run", cache)]
    done = subprocess.run(line, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert done.returncode == 75, done.stderr
    assert "no progress for 0.1 minutes" in done.stderr
    log = (tmp_path / "run/log.txt").read_text()
    assert "no progress" in log
    assert "in _step" in log  # where it stood
    assert '"final": false' in (tmp_path / "run/outcome.json").read_text()


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
