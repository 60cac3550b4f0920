"""Running jobs: an attempt begins or continues, advances epoch by epoch, and ends with an outcome."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from autoreid.attempts import INTERRUPTED, STARTED, Attempt, Outcome, now
from autoreid.cli import say
from autoreid.data.source import DataSource
from autoreid.epochs import Position
from autoreid.errors import (
    AutoreidError,
    DivergedError,
    HeldError,
    InputError,
    InterruptionError,
    StorageError,
)
from autoreid.feed import PreparedData, prepare
from autoreid.folders import to_json
from autoreid.jobs import Job
from autoreid.keeper import Keeper
from autoreid.leases import Lease, read_lease
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.random_search import build_random_search
from autoreid.recipes import (
    Execution,
    RandomSearchRecipe,
    SearchRecipe,
    SelectRecipe,
    TrainRecipe,
    recipe_problems,
)
from autoreid.saving import Saver, resume
from autoreid.searching import SearchRun
from autoreid.selecting import Sized, build_selection, read_candidates
from autoreid.snapshots import remove_checkpoints
from autoreid.storage import JobFolder, Storage
from autoreid.training import TrainRun
from autoreid.version import __version__
from autoreid.weights import WeightFile, stored
from search_spaces.genotype import Genotype

Row = dict[str, Any]
# How long the lowest of several attempts that began at once waits for the others to withdraw.
GIVE_WAY_SECONDS = 2.0
# What a run leaves behind: its result, and files by name.
Ending = tuple[dict[str, Any], dict[str, bytes]]
# Asked between two steps: whether to save and stop.
Stop = Callable[[], bool]


class Run(Protocol):
    """What a job runs: it advances epoch by epoch, and can be carried over an interruption between two steps.

    `advance` takes the rest of the present epoch; `check` raises RunError where the state is not finite.
    """

    position: Position
    device: torch.device

    def advance(self) -> Row: ...

    def check(self) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...

    def finish(self) -> Ending: ...


def never() -> bool:
    """Nobody asks to stop."""
    return False


def build_run(
    job: Job,
    genotype: Genotype | None,
    data: PreparedData,
    execution: Execution,
    weights: WeightFile | None = None,
) -> Run:
    """The run of a job; `genotype` is what a training trains, `weights` the file that it begins with."""
    if isinstance(job.recipe, PretrainRecipe):
        raise InputError(f"job {job.id}: a pretraining has data of its own. Run it by autoreid pretrain.")
    problems = [f"{name}: {message}" for name, message in recipe_problems(job.recipe)]
    if problems:
        raise InputError(*problems)
    seeds = dict(job.seeds)
    if isinstance(job.recipe, SearchRecipe):
        return SearchRun(
            job.recipe,
            data,
            split_seed=seeds["split"],
            search_seed=seeds["search"],
            execution=execution,
        )
    if genotype is None or not isinstance(job.recipe, TrainRecipe):
        raise InputError(f"job {job.id}: a training needs a genotype. Give one, or the search that finds it.")
    train = job.recipe
    return TrainRun(train, genotype, data, train_seed=seeds["train"], execution=execution, weights=weights)


def processor_name() -> str:
    """The processor's model, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def facts(started: str, begin: float, run: Run | None) -> dict[str, Any]:
    """Where and how long an attempt ran: recorded, never part of an identity."""
    device = run.device if run else torch.device("cpu")
    cuda = device.type == "cuda"
    # Linux counts the peak of a process in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {
        "started": started,
        "wall_seconds": time.perf_counter() - begin,
        "host": platform.node(),
        "device": torch.cuda.get_device_name(device) if cuda else processor_name(),
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if cuda else peak,
        "code_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
        "epochs": run.position.epoch if run else 0,
    }


def drive(run: Run, saver: Saver, keeper: Keeper, stop: Stop) -> Generator[Row, None, Ending]:
    """Advance to the end, saving on the way; the result and its files. Asked to stop, save and stop."""

    def pulse() -> None:
        keeper.progress()
        if stop():
            raise InterruptionError(f"stopped after {run.position}. Run the same command again to continue.")
        saver.save_if_late()

    run.position.pulse = pulse
    try:
        while run.position.epoch < run.position.epochs:
            pulse()
            row = run.advance()
            saver.add(row)
            with keeper.resting():
                yield row
        return run.finish()
    except InterruptionError:
        saver.save()
        raise
    except DivergedError as error:
        raise DivergedError(f"{error} {saver.kept}") from error


def run_attempt(
    build: Callable[[], Run],
    attempt: Attempt,
    earlier: Iterable[Attempt],
    execution: Execution,
    stop: Stop = never,
) -> Generator[Row, None, None]:
    """Run one attempt, yielding a row per epoch; the outcome is written last, also when it failed.

    An interruption writes no outcome: the next attempt continues from the checkpoint.
    """
    earlier, started, begin = list(earlier), now(), time.perf_counter()
    run: Run | None = None
    ending = False

    def fails(error: str, final: bool = False) -> None:
        # A put whose answer was lost may have arrived: what may be done is never called failed.
        if not ending:
            attempt.finish(Outcome("failed", facts=facts(started, begin, run), error=error, final=final))

    attempt.log(f"begins on {platform.node()}, process {os.getpid()}")
    # Written at once, so that an attempt that dies early is seen to have begun.
    attempt.folder.write(STARTED, to_json({"started": started, "host": platform.node()}))
    with Keeper(attempt, 60 * execution.stall_minutes, fails) as keeper:
        try:
            run, saved = resume(build, attempt, earlier)
            attempt.flush_log()
            result, files = yield from drive(run, Saver(run, attempt, execution, saved), keeper, stop)
        except (InterruptionError, GeneratorExit, KeyboardInterrupt) as error:
            attempt.log(str(error) or "interrupted")
            _if_possible(lambda: _leave(attempt, facts(started, begin, run)))
            raise
        except Exception as error:
            words, final = in_words(error), is_final(error)
            attempt.log(words if final else "".join(traceback.format_exception(error)))
            _if_possible(lambda: fails(words, final))
            raise
        ending = True
        for name, content in files.items():
            keeper.progress()
            attempt.write(name, content)
        attempt.log("done")
        attempt.finish(Outcome("done", result=result, facts=facts(started, begin, run)))
        _if_possible(lambda: _clear([attempt, *earlier]))


def _clear(attempts: Iterable[Attempt]) -> None:
    """Remove the checkpoints that nobody needs any more: the outcome is there."""
    for attempt in attempts:
        lease = read_lease(attempt.folder)
        if lease is None or not lease.holds() or lease.is_of_this_process():
            remove_checkpoints(attempt)


def _leave(attempt: Attempt, known: dict[str, Any]) -> None:
    attempt.flush_log()
    attempt.folder.write(INTERRUPTED, to_json(known))


def _if_possible(write: Callable[[], None]) -> None:
    """Write where the storage takes it: what is being ended matters more."""
    try:
        write()
    except StorageError as error:
        say(str(error))


def in_words(error: Exception) -> str:
    """An error as a record holds it: our own ones by their message, others with their kind."""
    return str(error) if isinstance(error, AutoreidError) else f"{type(error).__name__}: {error}"


def is_final(error: Exception) -> bool:
    """Whether another attempt would fail in the same way. Of all else a machine may be the reason: a GPU that
    is away, a full disk, damaged files; recipes are checked before a campaign begins."""
    return isinstance(error, DivergedError)


def found_genotype(storage: Storage, job_id: str) -> Genotype:
    """The genotype that a finished search job found."""
    finished = storage.job(job_id).finished()
    if finished is None:
        raise InputError(f"{storage.folder}/jobs/{job_id}: the search is not done. Run it first.")
    return Genotype.from_plain(finished[1].result["genotype"], f"{storage.folder}/jobs/{job_id}")


def job_data(
    job: Job, source: DataSource, height: int, width: int, cache: Path | None = None
) -> PreparedData:
    """The data of a job, decoded. StorageError where it is not here, or is other data than was planned."""
    try:
        data = prepare(source, height, width, cache)
    except InputError as error:
        raise StorageError(f"data: {error}") from error
    if data.fingerprint != job.data:
        raise StorageError(
            f"data: the fingerprint here is {data.fingerprint[:12]}, but the job was planned on "
            f"{job.data[:12]}. Give the same images, or plan the campaign again on these."
        )
    return data


def builder(job: Job, storage: Storage, sized: Sized, execution: Execution) -> Callable[[], Run]:
    """How to build the run of a job; InputError where a job that it needs is not done."""
    genotype = found_genotype(storage, job.genotype) if isinstance(job.genotype, str) else job.genotype
    candidates = read_candidates(job, storage)

    def build() -> Run:
        if isinstance(job.recipe, SelectRecipe):
            return build_selection(job, job.recipe, candidates, sized, execution)
        if isinstance(job.recipe, RandomSearchRecipe):
            return build_random_search(job, job.recipe, sized, execution)
        weights = None
        if isinstance(job.recipe, TrainRecipe) and genotype is not None:
            weights = stored(storage.folder, job.recipe.weights, genotype)
        data = sized(job.recipe.height, job.recipe.width)
        return build_run(job, genotype, data, execution, weights)

    return build


def _give_way(folder: JobFolder, attempt: Attempt) -> None:
    """HeldError, and the attempt withdrawn, where another one began at the same moment.

    The lowest goes on, unless a higher one does so already: it may have looked before this one was there.
    """

    def rivals() -> list[tuple[Attempt, Lease]]:
        return [(other, lease) for other, lease in folder.held() if other.name != attempt.name]

    found = rivals()
    if found and (attempt.number, attempt.name) < min((other.number, other.name) for other, _ in found):
        time.sleep(GIVE_WAY_SECONDS)
        found = rivals()
    if found:
        folder.withdraw(attempt)
        raise HeldError(f"job {attempt.job}: {found[0][1]} works on it.")


def run_job(
    job: Job,
    storage: Storage,
    source: DataSource,
    execution: Execution,
    cache: Path | None = None,
    stop: Stop = never,
) -> Generator[Row, None, None]:
    """Run a job in a storage, yielding a row per epoch; nothing where it is already done.

    HeldError where another process works on it. `stop` is asked between steps; once it says so, a checkpoint
    is written and InterruptionError raised.
    """
    folder = storage.job(job.id)
    earlier = folder.attempts()
    if folder.finished(earlier) is not None:
        return
    holder = folder.holder(earlier)
    if holder is not None:
        raise HeldError(f"job {job.id}: {holder} works on it.")
    build = builder(job, storage, lambda h, w: job_data(job, source, h, w, cache), execution)
    folder.describe(job.plain())
    attempt = folder.new_attempt(earlier)
    Lease.of_this_process().write(attempt.folder)
    _give_way(folder, attempt)
    yield from run_attempt(build, attempt, earlier, execution, stop)
