import os
import signal
import subprocess
import sys
import threading
import weakref

import pytest
from campaigns import FINGERPRINT, small

from autoreid.errors import HeldError, InputError, InterruptionError
from autoreid.execution import Execution
from autoreid.storage import Storage
from tune_runs.context import Context
from tune_runs.packages import Packages, imported_packages
from tune_runs.planning import make_plan
from tune_runs.trainable import NUMBERS, JobTrial


@pytest.fixture(autouse=True)
def handlers():
    """A trial leaves its handlers behind, as its process ends with it."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def trial(tmp_path):
    """A function that makes a trial of the first job, whose engine is the one given."""

    def make(engine, packages=None):
        plan = make_plan(small("repeats=1"), FINGERPRINT)
        storage = Storage(tmp_path)
        for job_id, job in plan.jobs.items():
            storage.job(job_id).describe(job.plain())
        execution = Execution(device="cpu")
        context = Context(storage, plan.sources, execution, engine, tmp_path, packages or imported_packages())
        made = object.__new__(JobTrial)  # its constructor asks Ray where it is
        made.setup({"job": next(iter(plan.jobs))}, context)
        made.jobs = list(plan.jobs)
        return made

    return make


def rows(job, storage, source, execution, cache, stop):
    for epoch in (1, 2):
        if stop():
            raise InterruptionError(f"stopped after epoch {epoch - 1}")
        yield {"epoch": epoch, "loss": 1.0, "accuracy": None, "job": job.id}
    return True


def test_a_step_is_an_epoch_and_the_last_one_says_that_it_is_done(trial):
    made = trial(rows)
    assert [made.step() for _ in range(3)] == [
        {"epoch": 1, "loss": 1.0},
        {"epoch": 2, "loss": 1.0},
        {"done": True},
    ]


@pytest.mark.parametrize(
    ("error", "how", "problem"),
    [
        (HeldError("job a: node7, process 1 works on it."), "held", "job a: node7, process 1 works on it."),
        (InputError("no such genotype"), "failed", "no such genotype"),
        (ZeroDivisionError("by zero"), "failed", "ZeroDivisionError: by zero"),
    ],
)
def test_an_error_is_told_as_a_result(trial, error, how, problem):
    def raising(*given):
        raise error
        yield

    assert trial(raising).step() == {"done": True, "ended": how, "problem": problem}


def test_a_job_that_was_found_done_was_not_done_here(trial):
    def found_done(*given):
        yield from ()
        return False

    assert trial(found_done).step() == {
        "done": True,
        "ended": "held",
        "problem": "another process has done it",
    }


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_asks_the_engine_to_stop(trial, number):
    made = trial(rows)
    assert made.step()["epoch"] == 1
    os.kill(os.getpid(), number)
    assert made.step() == {"done": True, "ended": "interrupted", "problem": "stopped after epoch 1"}


def test_a_signal_that_was_held_back_stops_the_job_before_it_begins(trial):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    signal.signal(signal.SIGUSR1, lambda *_: pytest.fail("not the handler of the trial"))
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    made = trial(lambda *given: pytest.fail("the job began"))
    assert made.step()["ended"] == "interrupted"


def test_a_reused_process_begins_the_next_job_unasked(trial):
    made = trial(rows)
    made.step()
    signal.raise_signal(signal.SIGTERM)
    made.step()
    assert made.reset_config({"job": made.jobs[1]})
    assert [made.step().get("epoch") for _ in range(3)] == [1, 2, None]


def test_other_code_than_that_of_the_launch_runs_nothing(trial):
    made = trial(lambda *given: pytest.fail("the job began"), Packages("0" * 64, "node7: /opt/autoreid"))
    end = made.step()
    assert end["ended"] == "refused" and "than the launch (node7: /opt/autoreid)" in end["problem"]


def test_a_damaged_description_is_the_reason(trial):
    made = trial(rows)
    made.context.storage.job(made.jobs[0]).folder.write("job.json", b"{}")
    assert made.step()["problem"].endswith("not a job of this release (KeyError('kind')).")


def test_a_worker_imports_nothing_that_doubles_its_start():
    code = (
        "import sys, tune_runs.trainable, autoreid.running\n"
        "print(sorted({'torchvision', 'torch._dynamo', 'torch._inductor', 'optuna', 'scipy'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_job_that_is_over_leaves_no_memory_to_the_next(trial):
    class Network:
        def __init__(self):
            self.optimizer = self  # they hold each other

    held = []

    def heavy(*given):
        network = Network()
        held.append(weakref.ref(network))
        yield {"epoch": 1, "loss": 1.0}
        if len(held) > 1:
            raise MemoryError
        return True

    made = trial(heavy)
    made.step()
    assert held[0]() is not None
    assert made.step() == {"done": True}
    assert held[0]() is None
    made.reset_config({"job": made.jobs[1]})
    made.step()
    assert made.step()["ended"] == "failed"
    assert held[1]() is None
