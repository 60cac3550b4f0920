"""The public calls `autoreid.search`, `train` and `pretrain`: one run, in a folder of its own."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoreid.attempts import Attempt, Outcome
from autoreid.building import build_run
from autoreid.data.classes import Classes
from autoreid.data.source import DataSource
from autoreid.determinism import repeatable
from autoreid.errors import HeldError, InputError, Problems, RunError
from autoreid.execution import Execution
from autoreid.feed import identify, prepare
from autoreid.folders import Folder, LocalFolder, expanded, read_json, to_json
from autoreid.jobs import Job, pretrain_job, search_job, train_job
from autoreid.leases import Lease, read_lease
from autoreid.memory import memory_explained
from autoreid.optimisation import execution_problems
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.pretraining import PretrainRun
from autoreid.recipes import SearchRecipe, TrainRecipe, recipe_problems
from autoreid.running import run_attempt
from autoreid.runs import Row, Run, Stop, never
from autoreid.sizes import check_search
from autoreid.values import check
from autoreid.weights import given, given_teacher
from search_spaces.genotype import Genotype

LOCK = ".lock"
# What to give for an argument of another class.
A_SOURCE = 'DataSource(set="rendered") or that of a data set on a disk'
A_GENOTYPE = "that of a search, or one of search_spaces.published.PUBLISHED"


@dataclass(frozen=True, slots=True)
class Result:
    """What `search` and `train` return: the outcome's result, the epoch rows, and the files' folder.

    `genotype` is the one that was found, or trained.
    """

    genotype: Genotype
    result: dict[str, Any]
    rows: list[Row] = field(repr=False)
    folder: Folder = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a single run is run: where, and whom to tell of every epoch."""

    folder: LocalFolder
    execution: Execution
    on_epoch: Callable[[Row], None] | None
    stop: Stop


def _run(job: Job, settings: Settings, build: Callable[[], Run]) -> Result:
    """Run a job in its folder; continue it, or return its result, where it is there already.

    Nothing is written before everything is checked.
    """
    folder = settings.folder
    attempt = Attempt(folder, job.id)
    is_new(job, folder)
    if _done(attempt) is None:
        with memory_explained(job.recipe, settings.execution), repeatable(settings.execution):
            built = [build()]
        with _alone(folder):
            if is_new(job, folder):
                folder.write("job.json", to_json(job.plain()))
            if _done(attempt) is None:  # else by whoever held the folder until now
                attempt.continue_log()
                Lease.of_this_process().write(folder)
                # A second one is asked for where the first took up a part of what does not fit.
                for row in run_attempt(
                    lambda: built.pop() if built else build(),
                    attempt,
                    [attempt],
                    settings.execution,
                    settings.stop,
                    job.recipe,
                ):
                    if settings.on_epoch is not None:
                        settings.on_epoch(row)
    outcome = _done(attempt)
    if outcome is None:
        raise RunError(f"{folder}: the outcome that was just written cannot be read. Check the disk.")
    plain = outcome.result["genotype"]
    return Result(Genotype.from_plain(plain), dict(outcome.result), attempt.records(), folder)


def _done(attempt: Attempt) -> Outcome | None:
    """The outcome where it is done and intact."""
    outcome = attempt.outcome()
    return outcome if outcome and outcome.status == "done" and attempt.valid(outcome) else None


@contextlib.contextmanager
def _alone(folder: LocalFolder) -> Iterator[None]:
    """Held by one process at a time: the lock goes with the process. HeldError where another one has it."""
    folder.root.mkdir(parents=True, exist_ok=True)
    with (folder.root / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = read_lease(folder) or "another process"
            raise HeldError(f"{folder}: {holder} works on it. Wait for it, or choose a new folder.") from None
        yield


def local_folder(out: Path | str) -> LocalFolder:
    """The folder of a single run; InputError for an address."""
    if "://" in str(out):
        raise InputError(
            f"{out}: a single run is kept in a folder of a disk. Name one, or run a campaign: its --storage "
            "may be an address."
        )
    return LocalFolder(expanded(out))


def is_new(job: Job, folder: LocalFolder) -> bool:
    """Whether the folder is yet to be filled, False where it is this job's already.

    InputError when it holds anything else, or cannot be a folder.
    """
    try:
        content = read_json(folder, "job.json")
    except FileNotFoundError:
        if set(folder.sizes()) - {LOCK}:
            raise InputError(f"{folder}: not empty, and no job of autoreid. Choose a new folder.") from None
        return True
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be used as a folder ({error.strerror}). Choose another."
        ) from None
    there = content.get("id") if isinstance(content, dict) else None
    if there != job.id:
        raise InputError(
            f"{folder}: holds job {there}, which is not this one ({job.id}): a recipe, seed or the data "
            "differs. Choose a new folder; nothing was changed."
        )
    return False


def _check(recipe: object, kind: type, execution: object, **others: tuple[object, type, str]) -> None:
    """InputError with everything that is wrong in what a public call was given; `others` are values by the
    name of the argument, each with its class and what to give."""
    problems = Problems()
    check(recipe, kind, "recipe", problems)
    if not problems.found:
        problems.extend(f"recipe.{field}: {message}" for field, message in recipe_problems(recipe))
        problems.extend(_sizes_of(recipe))
    if execution is not None:
        before = len(problems.found)
        check(execution, Execution, "execution", problems)
        if isinstance(execution, Execution) and len(problems.found) == before:
            found = execution_problems(execution)
            problems.extend(f"execution.{field}: {message}" for field, message in found)
    for name, (value, of, advice) in others.items():
        if not isinstance(value, of):
            problems.add(name, f"expected {of.__name__}, not {type(value).__name__}. Give {advice}.")
    problems.raise_if_any()


def _sizes_of(recipe: object) -> tuple[str, ...]:
    """What a search asks for that its space does not have."""
    try:
        if isinstance(recipe, SearchRecipe):
            check_search(recipe)
    except InputError as error:
        return tuple(f"recipe: {problem}" for problem in error.problems)
    return ()


def search(
    recipe: SearchRecipe,
    source: DataSource,
    out: Path | str,
    *,
    seed: int = 0,
    split_seed: int | None = None,
    teacher: Path | str | None = None,
    execution: Execution | None = None,
    cache: Path | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    stop: Stop = never,
) -> Result:
    """Search a genotype and keep everything in the folder `out`; the same call continues what was
    interrupted. `split_seed` divides the training set and equals `seed` unless given. `teacher` is the model
    file of a training, which a recipe that distils needs. `stop` is asked between steps: once it says so, a
    checkpoint is written and InterruptionError raised."""
    _check(recipe, SearchRecipe, execution, source=(source, DataSource, A_SOURCE))
    folder, divided = local_folder(out), seed if split_seed is None else split_seed
    name, guide = given_teacher(teacher)
    fingerprint = identify(source, cache)[1]
    job = search_job(recipe, fingerprint, split_seed=divided, search_seed=seed, teacher=name)
    settings = Settings(folder, execution or Execution(), on_epoch, stop)

    def build() -> Run:
        data = prepare(source, recipe.height, recipe.width, cache)
        return build_run(job, None, data, settings.execution, teacher=guide)

    return _run(job, settings, build)


def train(
    recipe: TrainRecipe,
    genotype: Genotype,
    source: DataSource,
    out: Path | str,
    *,
    seed: int = 0,
    teacher: Path | str | None = None,
    execution: Execution | None = None,
    cache: Path | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    stop: Stop = never,
) -> Result:
    """Train and evaluate the network of a genotype, in the folder `out` (see `search`).

    The recipe's `weights` may be a path; of the file, its content is what the folder is for.
    """
    others = {"genotype": (genotype, Genotype, A_GENOTYPE), "source": (source, DataSource, A_SOURCE)}
    _check(recipe, TrainRecipe, execution, **others)
    folder = local_folder(out)
    name, weights = given(recipe.weights, genotype, macro=recipe.macro)
    guided, guide = given_teacher(teacher)
    fingerprint, named = identify(source, cache)[1], replace(recipe, weights=name)
    job = train_job(named, fingerprint, genotype, train_seed=seed, teacher=guided)
    settings = Settings(folder, execution or Execution(), on_epoch, stop)

    def build() -> Run:
        data = prepare(source, recipe.height, recipe.width, cache)
        return build_run(job, genotype, data, settings.execution, weights, guide)

    return _run(job, settings, build)


def pretrain(
    recipe: PretrainRecipe,
    genotype: Genotype,
    data: Classes,
    out: Path | str,
    *,
    seed: int = 0,
    execution: Execution | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    stop: Stop = never,
) -> Result:
    """Train the network of a genotype as a classifier, in the folder `out` (see `search`): a training can
    begin with its `weights.pt`."""
    others = {"genotype": (genotype, Genotype, A_GENOTYPE), "data": (data, Classes, "open_classes(...)")}
    _check(recipe, PretrainRecipe, execution, **others)
    job = pretrain_job(recipe, data.fingerprint, genotype, train_seed=seed)
    settings = Settings(local_folder(out), execution or Execution(), on_epoch, stop)

    def build() -> Run:
        return PretrainRun(recipe, genotype, data, train_seed=seed, execution=settings.execution)

    return _run(job, settings, build)
