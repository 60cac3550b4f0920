"""Running jobs: an attempt begins or continues, advances epoch by epoch, and ends with an outcome."""

from __future__ import annotations

import datetime
import platform
import resource
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch

from autoreid.attempts import Attempt, Outcome
from autoreid.data.source import DataSource
from autoreid.errors import AutoreidError, InputError, RunError
from autoreid.feed import PreparedData, prepare
from autoreid.folders import to_json
from autoreid.jobs import Job
from autoreid.recipes import Execution, SearchRecipe, recipe_problems
from autoreid.searching import SearchRun
from autoreid.snapshots import newest_checkpoint, remove_checkpoints, write_checkpoint
from autoreid.storage import Storage
from autoreid.training import TrainRun
from autoreid.version import __version__
from search_spaces.genotype import Genotype

Row = dict[str, Any]


class Run(Protocol):
    """What a job runs: it advances epoch by epoch, and can be carried over an interruption."""

    epochs: int
    epoch: int
    device: torch.device

    def advance(self) -> Row: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]: ...


def build_run(job: Job, genotype: Genotype | None, data: PreparedData, execution: Execution) -> Run:
    """The run of a job; `genotype` is what a training trains."""
    if data.fingerprint != job.data:
        raise InputError(
            f"data: the fingerprint here is {data.fingerprint[:12]}, but the job was planned on "
            f"{job.data[:12]}. Give the same images, or plan the campaign again on these."
        )
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
    if genotype is None:
        raise InputError(f"job {job.id}: a training needs a genotype. Give one, or the search that finds it.")
    return TrainRun(job.recipe, genotype, data, train_seed=seeds["train"], execution=execution)


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
        "device": torch.cuda.get_device_name(device) if cuda else processor_name(),
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if cuda else peak,
        "code_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
        "epochs": run.epoch if run else 0,
    }


def resume(run: Run, attempt: Attempt, earlier: Iterable[Attempt]) -> int:
    """Continue from the newest valid checkpoint of this or an earlier attempt; the parts of records kept.

    Records after the checkpoint are dropped: the epochs they tell of are run again.
    """
    found = [(newest_checkpoint(other), other) for other in earlier]
    usable = [(checkpoint, other) for checkpoint, other in found if checkpoint is not None]
    if not usable:
        return 0
    (part, state), other = max(usable, key=lambda pair: pair[0][1]["epoch"])
    run.load(state)
    for name in other.folder.sizes("records/"):
        if int(Path(name).stem) <= part:
            attempt.write(name, other.read(name))
        elif other.folder is attempt.folder:
            attempt.remove(name)
    if other.folder is not attempt.folder:
        write_checkpoint(attempt, state, part)
    return part


def drive(run: Run, attempt: Attempt, part: int, every: int) -> Generator[Row, None, None]:
    """Advance to the end; a part of the records and a checkpoint after every `every` epochs."""
    rows: list[Row] = []
    kept = run.epoch if part else 0
    while run.epoch < run.epochs:
        try:
            row = run.advance()
        except RunError as error:
            left = f"The checkpoint after epoch {kept} is kept." if kept else "There is no checkpoint yet."
            raise RunError(f"{error} {left}") from error
        rows.append(row)
        if run.epoch % every == 0 or run.epoch == run.epochs:
            part, kept = part + 1, run.epoch
            attempt.write_records(part, rows)
            write_checkpoint(attempt, run.state(), part)
            rows = []
        yield row


def run_attempt(
    run: Run, attempt: Attempt, earlier: Iterable[Attempt], execution: Execution
) -> Generator[Row, None, None]:
    """Run one attempt, yielding a row per epoch; the outcome is written last, also when it failed.

    An interruption writes no outcome: the next attempt continues from the checkpoint.
    """
    started, begin = now(), time.perf_counter()
    try:
        part = resume(run, attempt, earlier)
        yield from drive(run, attempt, part, execution.checkpoint_epochs)
        result, files = run.finish()
        for name, content in files.items():
            attempt.write(name, content)
        remove_checkpoints(attempt)
    except Exception as error:
        attempt.finish(Outcome("failed", facts=facts(started, begin, run), error=in_words(error)))
        raise
    attempt.finish(Outcome("done", result=result, facts=facts(started, begin, run)))


def now() -> str:
    """This moment in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def in_words(error: Exception) -> str:
    """An error as a record holds it: our own ones by their message, others with their kind."""
    return str(error) if isinstance(error, AutoreidError) else f"{type(error).__name__}: {error}"


def found_genotype(storage: Storage, job_id: str) -> Genotype:
    """The genotype that a finished search job found."""
    finished = storage.job(job_id).finished()
    if finished is None:
        raise InputError(f"{storage.folder}/jobs/{job_id}: the search is not done. Run it first.")
    return Genotype.from_plain(finished[1].result["genotype"], f"{storage.folder}/jobs/{job_id}")


def run_job(
    job: Job, storage: Storage, source: DataSource, execution: Execution, cache: Path | None = None
) -> Generator[Row, None, None]:
    """Run a job in a storage, yielding a row per epoch; nothing where it is already done."""
    folder = storage.job(job.id)
    if folder.finished() is not None:
        return
    folder.describe(job.plain())
    earlier = folder.attempts()
    attempt = folder.new_attempt()
    started, begin = now(), time.perf_counter()
    # Written at once, so that an attempt that dies early is seen to have begun.
    attempt.folder.write("started.json", to_json({"started": started, "host": platform.node()}))
    try:
        genotype = found_genotype(storage, job.genotype) if isinstance(job.genotype, str) else job.genotype
        data = prepare(source, job.recipe.height, job.recipe.width, cache)
        run = build_run(job, genotype, data, execution)
    except Exception as error:
        attempt.finish(Outcome("failed", facts=facts(started, begin, None), error=in_words(error)))
        raise
    yield from run_attempt(run, attempt, earlier, execution)
