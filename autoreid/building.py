"""From a job to what runs it: its data, its network, and what the jobs before it left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoreid.data.source import ClassSource, DataSource
from autoreid.errors import InputError, StorageError
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.evaluating import EvaluateRun
from autoreid.execution import Execution
from autoreid.feed import PreparedData, prepare
from autoreid.jobs import Job
from autoreid.latency_recipes import LatencyRecipe
from autoreid.latency_runs import LatencyRun
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.random_search import build_random_search
from autoreid.recipes import (
    RandomSearchRecipe,
    SearchRecipe,
    SelectRecipe,
    TrainRecipe,
    recipe_problems,
)
from autoreid.runs import Run
from autoreid.searching import SearchRun
from autoreid.selecting import build_selection, read_candidates
from autoreid.short_trainings import ShortTrainings
from autoreid.storage import Storage
from autoreid.training import TrainRun
from autoreid.weights import DIGEST, WeightFile, stored, stored_file
from search_spaces.genotype import Genotype

if TYPE_CHECKING:
    from autoreid.data.classes import Classes


@dataclass(frozen=True, slots=True)
class JobData:
    """The data of a job, opened when its run is built. StorageError where it is not here, or is other data
    than was planned."""

    job: Job
    source: DataSource | ClassSource
    cache: Path | None = None

    def sized(self, height: int, width: int) -> PreparedData:
        """The images for re-ID, decoded."""
        assert isinstance(self.source, DataSource), f"a {self.job.kind} job on {self.source.set}"
        try:
            data = prepare(self.source, height, width, self.cache)
        except InputError as error:
            raise StorageError(f"data: {error}") from error
        self._check(data.fingerprint)
        return data

    def classes(self) -> Classes:
        """The images for classification."""
        from autoreid.data.classes import open_classes  # deferred: torchvision, which few jobs need

        assert isinstance(self.source, ClassSource), f"a {self.job.kind} job on {self.source.set}"
        try:
            data = open_classes(self.source.set, Path(self.source.root), cache=self.cache)
        except InputError as error:
            raise StorageError(str(error)) from error
        self._check(data.fingerprint)
        return data

    def _check(self, found: str) -> None:
        if found != self.job.data:
            raise StorageError(
                f"data: the fingerprint here is {found[:12]}, but the job was planned on "
                f"{self.job.data[:12]}. Give the same images, or plan the campaign again on these."
            )


def build_run(
    job: Job,
    genotype: Genotype | None,
    data: PreparedData,
    execution: Execution,
    weights: WeightFile | None = None,
    teacher: WeightFile | None = None,
) -> Run:
    """The run of a search or training; `genotype` is what a training trains, `weights` the file that it
    begins with, `teacher` the model file of the network that guides it."""
    if isinstance(job.recipe, PretrainRecipe):
        raise InputError(f"job {job.id}: a pretraining has data of its own. Run it by autoreid.pretrain.")
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
            teacher=teacher,
        )
    if genotype is None or not isinstance(job.recipe, TrainRecipe):
        raise InputError(f"job {job.id}: a training needs a genotype. Give one, or the search that finds it.")
    return TrainRun(
        job.recipe,
        genotype,
        data,
        train_seed=seeds["train"],
        execution=execution,
        weights=weights,
        teacher=teacher,
    )


def found_genotype(storage: Storage, job_id: str) -> Genotype:
    """The genotype that a finished search job found."""
    finished = storage.job(job_id).finished()
    if finished is None:
        raise InputError(f"{storage.folder}/jobs/{job_id}: the search is not done. Run it first.")
    return Genotype.from_plain(finished[1].result["genotype"], f"{storage.folder}/jobs/{job_id}")


def left_by(storage: Storage, job_id: str, name: str, what: str) -> WeightFile:
    """A file that a finished job left, its digest checked; `what` the job is, in words."""
    finished = storage.job(job_id).finished()
    if finished is None:
        raise InputError(f"{storage.folder}/jobs/{job_id}: the {what} is not done. Run it first.")
    attempt, outcome = finished
    return WeightFile(f"{attempt.folder}/{name}", attempt.vouched(name, outcome))


def _teacher(storage: Storage, teacher: str | None) -> WeightFile | None:
    """The model file of a teacher: of its training, or as it was put into the storage."""
    if teacher is None:
        return None
    if teacher.startswith(DIGEST):
        return stored_file(storage.folder, teacher)
    return left_by(storage, teacher, "model.pt", "training of the teacher")


def builder(job: Job, storage: Storage, data: JobData, execution: Execution) -> Callable[[], Run]:
    """How to build the run of a job; InputError where a job that it needs is not done."""
    genotype = found_genotype(storage, job.genotype) if isinstance(job.genotype, str) else job.genotype
    candidates = read_candidates(job, storage)
    weights = None
    if job.pretraining:
        weights = left_by(storage, job.pretraining, "weights.pt", "pretraining")
    teacher = _teacher(storage, job.teacher)
    trained = left_by(storage, job.training, "model.pt", "training") if job.training else None
    timed = [found_genotype(storage, one) if isinstance(one, str) else one for one in job.networks]

    def build() -> Run:
        if isinstance(job.recipe, EvaluateRecipe):
            assert trained is not None, f"job {job.id}: an evaluation without a training"
            return EvaluateRun(job.recipe, trained, data.sized, execution)
        if isinstance(job.recipe, LatencyRecipe):
            return LatencyRun(job.recipe, timed, execution)
        if isinstance(job.recipe, SelectRecipe):
            return build_selection(job, job.recipe, candidates, data.sized, execution, teacher)
        if isinstance(job.recipe, RandomSearchRecipe):
            return build_random_search(job, job.recipe, data.sized, execution, teacher)
        if isinstance(job.recipe, PretrainRecipe):
            return _build_pretraining(job, job.recipe, genotype, data.classes(), execution)
        given = weights
        if isinstance(job.recipe, TrainRecipe) and genotype is not None and given is None:
            given = stored(storage.folder, job.recipe.weights, genotype)
        sized = data.sized(job.recipe.height, job.recipe.width)
        return build_run(job, genotype, sized, execution, given, teacher)

    return build


def remarks(run: Run) -> list[str]:
    """What the log of a run says of it, as far as that is known by now."""
    inner = run.run if isinstance(run, ShortTrainings) else run
    teacher = inner.teacher if isinstance(inner, (SearchRun, TrainRun)) else None
    of_teacher = None if teacher is None else teacher.remark
    return [*([of_teacher] if of_teacher else []), *getattr(inner, "remarks", ())]


def _build_pretraining(
    job: Job, recipe: PretrainRecipe, genotype: Genotype | None, data: Classes, execution: Execution
) -> Run:
    from autoreid.pretraining import PretrainRun  # deferred: torchvision, which few jobs need

    if genotype is None:
        raise InputError(f"job {job.id}: a pretraining needs a genotype. Give one, or what finds it.")
    return PretrainRun(recipe, genotype, data, train_seed=dict(job.seeds)["train"], execution=execution)
