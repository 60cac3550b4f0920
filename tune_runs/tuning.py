"""One Tune run over a graph of jobs, on a Ray of this machine alone."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from autoreid.cli import say
from tune_runs.context import Context
from tune_runs.progress import Progress
from tune_runs.releases import Releases
from tune_runs.resources import Allotment, this_machine
from tune_runs.states import settle

# Read by Ray when it is imported or started: they silence it and keep it on loopback. None changes a result.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # every port on 127.0.0.1
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


def tune_jobs(releases: Releases, context: Context, allotment: Allotment, progress: Progress) -> None:
    """Run jobs as they are released, until none is left or a signal asks to stop.

    Afterwards `releases` says what became of each; those that a signal stopped are unfinished.
    """
    # Without this Tune lets one trial wait for its resources at a time.
    os.environ.update(ENVIRONMENT, TUNE_MAX_PENDING_TRIALS_PG=str(allotment.slots))
    with _empty_folder() as folder, _ray():
        from ray import tune  # deferred: reads the environment

        from tune_runs.searcher import JobSearcher
        from tune_runs.trainable import JobTrial

        resources = {"cpu": allotment.cpus, "gpu": allotment.gpus}
        searcher = JobSearcher(
            releases, allotment.slots, functools.partial(settle, context.storage), progress
        )
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(JobTrial, context=context), resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                reuse_actors=False,  # a fresh process a job: its memory and state are its own
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name="jobs",
                storage_path=str(folder / "tune"),
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        )
        with _stop_on_signals():
            tuner.fit()


def _trial_name(trial: object) -> str:
    name: str = trial.config["job"]  # type: ignore[attr-defined]
    return name


@contextlib.contextmanager
def _empty_folder() -> Iterator[Path]:
    """A working directory of our own.

    Ray puts the driver's working directory first on the workers' module path: a user's folder there named
    like one of our packages would be imported in its place.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="autoreid-") as name:
        folder = Path(name)
        (folder / "empty").mkdir()
        os.chdir(folder / "empty")
        try:
            yield folder
        finally:
            os.chdir(before)


@contextlib.contextmanager
def _ray() -> Iterator[None]:
    """A Ray of this machine alone, on loopback, silent."""
    import ray  # deferred: reads the environment

    machine = this_machine()
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    ray.init(
        address="local",
        num_cpus=machine.cpus,
        num_gpus=machine.gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
    )
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the Tune run in order, the second one at once.

    Tune ends in order on SIGUSR1, whose handler it installs itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1 or not callable(signal.getsignal(signal.SIGUSR1)):
            raise KeyboardInterrupt
        say("stopping: running jobs keep their last checkpoint (once more: stop at once)")
        signal.raise_signal(signal.SIGUSR1)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
