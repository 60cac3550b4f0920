"""One Tune run over a graph of jobs, on a Ray of this machine alone or on a standing cluster."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_runs.context import Context
from tune_runs.dispatch import Dispatch
from tune_runs.joining import LOOPBACK, environment
from tune_runs.processes import ended_when_terminated, no_descendants_left
from tune_runs.resources import Allotment, Cluster, this_machine
from tune_runs.signals import Stop, interruptible

if TYPE_CHECKING:
    from ray import tune


def tune_jobs(
    dispatch: Dispatch,
    context: Context,
    allotment: Allotment,
    stop: Stop,
    *,
    reuse_processes: bool = False,
) -> None:
    """Run jobs as they are handed out, until none is left or a signal asks to stop.

    Afterwards the releases of `dispatch` say what became of each; those that a signal stopped are
    unfinished. A job has a process of its own, with a memory and state of its own, unless `reuse_processes`.
    """
    cluster = allotment.cluster
    os.environ.update(
        environment(None if cluster is None else cluster.address),
        # Without this Tune lets one trial wait for its resources at a time.
        TUNE_MAX_PENDING_TRIALS_PG=str(allotment.slots),
        # Of its own state, which nobody reads, Tune writes that of all trials again and again.
        TUNE_GLOBAL_CHECKPOINT_S="1e9",
        # Workers have the priority of the command: Ray would add so much that any other program comes first.
        RAY_worker_niceness="0",
    )
    with interruptible(), stop.watched(), _quiet_stdout(), _empty_folder() as folder, _ray(stop, cluster):
        from tune_runs.searcher import ClusterPlacement, JobSearcher

        # Of equal requests processes are shared: theirs have no names.
        placement = None if cluster is None else ClusterPlacement(dispatch.nodes, named=not reuse_processes)
        # Tune sets a handler of SIGUSR1 when it begins: ours follow from the first suggestion on.
        searcher = JobSearcher(dispatch, stop.follow, placement)
        tuner = _tuner(searcher, dispatch, context, allotment, folder, reuse_processes)
        stop.follow()
        tuner.fit()


def _tuner(
    searcher: object,
    dispatch: Dispatch,
    context: Context,
    allotment: Allotment,
    folder: Path,
    reuse_processes: bool,
) -> tune.Tuner:
    from ray import tune

    from tune_runs.cluster import Lookout, request
    from tune_runs.searcher import InOrder
    from tune_runs.trainable import JobTrial

    resources: Any = {"cpu": allotment.cpus, "gpu": allotment.gpus}
    stopper = None
    if allotment.cluster is not None or dispatch.alone:
        resources = functools.partial(request, allotment.cpus, allotment.gpus, node_cpus=allotment.node_cpus)
    if allotment.cluster is not None:
        stopper = Lookout(dispatch, allotment)
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(JobTrial, context=context), resources),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=InOrder(),
            num_samples=-1,
            reuse_actors=reuse_processes,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name="jobs",
            storage_path=str(folder / "tune"),
            failure_config=tune.FailureConfig(max_failures=0),
            # Else Tune asks a trial for a checkpoint at its end, has none, and takes that for an error.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            stop=stopper,
            verbose=0,
        ),
    )


def _trial_name(trial: object) -> str:
    """The job and the trial: a job that is tried again has several."""
    return f"{trial.config['job']}-{trial.trial_id}"  # type: ignore[attr-defined]


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
def _quiet_stdout() -> Iterator[None]:
    """Ray prints the end of every killed worker to stdout, which belongs to the command's answer."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


@contextlib.contextmanager
def _ray(stop: Stop, cluster: Cluster | None) -> Iterator[None]:
    """A Ray of this machine alone, on loopback, silent, of which no process outlives it; or the cluster's."""
    with stop.held():
        # Deferred: they read the environment. All before Ray starts, so that its start is soon over.
        import ray.tune
        from ray._private import ray_constants

        import tune_runs.cluster
        import tune_runs.searcher
        import tune_runs.trainable

        # Ray reads this when it is imported, which a program that launches may have done before.
        if LOOPBACK.keys() <= environment(None if cluster is None else cluster.address).keys():
            ray_constants.ENABLE_RAY_CLUSTER = False
        machine = this_machine()
        logging.getLogger("ray").setLevel(logging.CRITICAL)
    with no_descendants_left():
        try:
            with stop.held():
                if cluster is not None:
                    tune_runs.cluster.join(cluster.address)
                else:
                    ray.init(
                        address="local",
                        num_cpus=machine.cpus,
                        num_gpus=machine.gpus,
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.CRITICAL,
                    )
            yield
        finally:
            with ended_when_terminated():
                ray.shutdown()
