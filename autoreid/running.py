"""Running jobs: an attempt begins or continues, advances epoch by epoch, and ends with an outcome."""

from __future__ import annotations

import datetime
import platform
import resource
import sys
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from autoreid.data.source import DataSource
from autoreid.errors import AutoreidError, InputError, RunError
from autoreid.feed import PreparedData, prepare
from autoreid.jobs import Job, search_job, train_job
from autoreid.recipes import Execution, SearchRecipe, TrainRecipe, recipe_problems
from autoreid.searching import SearchRun
from autoreid.snapshots import newest_checkpoint, remove_checkpoints, write_checkpoint
from autoreid.storage import Attempt, Folder, LocalFolder, Outcome, Storage, read_json, to_json
from autoreid.training import TrainRun
from autoreid.version import __version__
from search_spaces.genotype import Genotype

Row = dict[str, Any]


class Run(Protocol):
    """What a job runs: it advances epoch by epoch, and can be carried over an interruption."""

    epochs: int
    epoch: int

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


def facts(started: str, seconds: float, execution: Execution, run: Run | None) -> dict[str, Any]:
    """Where and how long an attempt ran: recorded, never part of an identity."""
    cuda = torch.cuda.is_available() and execution.device != "cpu"
    # Linux counts the peak of a process in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {
        "started": started,
        "wall_seconds": seconds,
        "device": torch.cuda.get_device_name() if cuda else processor_name(),
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if cuda else peak,
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
    (part, state), other = max(usable, key=lambda pair: pair[0][0])
    run.load(state)
    for name in other.folder.names("records/"):
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
    while run.epoch < run.epochs:
        try:
            row = run.advance()
        except RunError as error:
            kept = f"The checkpoint after epoch {part * every} is kept." if part else "No checkpoint yet."
            raise RunError(f"{error} {kept}") from error
        rows.append(row)
        if run.epoch % every == 0 or run.epoch == run.epochs:
            part += 1
            attempt.write_records(part, rows)
            write_checkpoint(attempt, run.state(), part)
            rows = []
        yield row


def run_attempt(
    job: Job,
    attempt: Attempt,
    earlier: Iterable[Attempt],
    data: PreparedData,
    execution: Execution,
    genotype: Genotype | None = None,
) -> Generator[Row, None, None]:
    """Run one attempt, yielding a row per epoch; the outcome is written last, also when it failed.

    An interruption writes no outcome: the next attempt continues from the checkpoint.
    """
    begin, started = time.perf_counter(), datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    run: Run | None = None
    try:
        run = build_run(job, genotype, data, execution)
        part = resume(run, attempt, earlier)
        yield from drive(run, attempt, part, execution.checkpoint_epochs)
        result, files = run.finish()
    except Exception as error:
        text = str(error) if isinstance(error, AutoreidError) else f"{type(error).__name__}: {error}"
        ended = facts(started, time.perf_counter() - begin, execution, run)
        attempt.finish(Outcome("failed", facts=ended, error=text))
        raise
    for name, content in files.items():
        attempt.write(name, content)
    remove_checkpoints(attempt)
    ended = facts(started, time.perf_counter() - begin, execution, run)
    attempt.finish(Outcome("done", result=result, facts=ended))


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
    genotype = found_genotype(storage, job.genotype) if isinstance(job.genotype, str) else job.genotype
    data = prepare(source, job.recipe.height, job.recipe.width, cache)
    yield from run_attempt(job, attempt, earlier, data, execution, genotype)


@dataclass(frozen=True, slots=True)
class Result:
    """What `search` and `train` return: the outcome's result, the epoch rows, and the files' folder.

    `genotype` is the one that was found, or trained.
    """

    genotype: Genotype
    result: dict[str, Any]
    rows: list[Row] = field(repr=False)
    folder: Folder = field(repr=False)


def run_in_folder(
    job: Job,
    folder: Folder,
    data: PreparedData,
    execution: Execution,
    genotype: Genotype | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> Result:
    """Run one job with a folder of its own; continue it, or return its result, where it is there already.

    InputError when the folder holds another job's files.
    """
    attempt = Attempt(folder)
    claim_folder(job, folder)
    outcome = attempt.outcome()
    if outcome is None or outcome.status != "done" or not attempt.valid(outcome):
        for row in run_attempt(job, attempt, [attempt], data, execution, genotype):
            if on_epoch is not None:
                on_epoch(row)
        outcome = attempt.outcome()
    if outcome is None:
        raise RunError(f"{folder}: the outcome that was just written cannot be read. Check the disk.")
    plain = outcome.result["genotype"]
    return Result(Genotype.from_plain(plain), dict(outcome.result), attempt.records(), folder)


def claim_folder(job: Job, folder: Folder) -> None:
    """Write job.json, or check that the folder is this job's already."""
    try:
        there = read_json(folder, "job.json").get("id")
    except FileNotFoundError:
        if folder.names():
            raise InputError(f"{folder}: not empty, and no job of autoreid. Choose a new folder.") from None
        folder.write("job.json", to_json(job.plain()))
        return
    if there != job.id:
        raise InputError(
            f"{folder}: holds job {there}, which is not this one ({job.id}): a recipe, seed or the data "
            "differs. Choose a new folder; nothing was changed."
        )


def search(
    recipe: SearchRecipe,
    source: DataSource,
    out: Path | str,
    *,
    seed: int = 0,
    split_seed: int | None = None,
    execution: Execution | None = None,
    cache: Path | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> Result:
    """Search a genotype and keep everything in the folder `out`; the same call continues what was
    interrupted. `split_seed` divides the training set and equals `seed` unless given."""
    data = prepare(source, recipe.height, recipe.width, cache)
    divided = seed if split_seed is None else split_seed
    job = search_job(recipe, data.fingerprint, split_seed=divided, search_seed=seed)
    return run_in_folder(job, LocalFolder(out), data, execution or Execution(), on_epoch=on_epoch)


def train(
    recipe: TrainRecipe,
    genotype: Genotype,
    source: DataSource,
    out: Path | str,
    *,
    seed: int = 0,
    execution: Execution | None = None,
    cache: Path | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> Result:
    """Train and evaluate the network of a genotype, in the folder `out` (see `search`)."""
    data = prepare(source, recipe.height, recipe.width, cache)
    job = train_job(recipe, data.fingerprint, genotype, train_seed=seed)
    return run_in_folder(job, LocalFolder(out), data, execution or Execution(), genotype, on_epoch)
