"""Rehearsals: a job in small, through everything that the real one does, and what the real one will cost.

Two steps on a sample of the data, a checkpoint, a new start from it, two more steps, and an evaluation. What
would fail after hours fails within seconds: memory, precision, data, storage, a space of a plug-in.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from autoreid.building import JobData, builder
from autoreid.data.index import ImageIndex
from autoreid.data.source import ClassSource, DataSource
from autoreid.data.views import Picked
from autoreid.epochs import Position
from autoreid.errors import InterruptionError
from autoreid.feed import PreparedData, split_positions
from autoreid.folders import read_json
from autoreid.jobs import Job
from autoreid.optimisation import stream
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import Execution, RandomSearchRecipe, SearchRecipe, SelectRecipe, TrainRecipe
from autoreid.running import run_attempt
from autoreid.runs import Row, Run, Stop, never
from autoreid.storage import Storage
from autoreid.values import override

if TYPE_CHECKING:
    from autoreid.data.classes import Classes, Labelled

STEPS_BEFORE, STEPS = 2, 4
QUERIED, LEAST_IDENTITIES = 16, 64


def sample(data: PreparedData, identities: int) -> PreparedData:
    """The images of the first training identities, and of the first ones that are asked for."""
    index = data.index
    trained = np.unique(index.identities[index.rows("train")])[:identities]
    asked = np.unique(index.identities[index.rows("query")])[:QUERIED]
    wanted = np.where(index.splits == "train", np.isin(index.identities, trained), False)
    wanted |= np.where(index.splits != "train", np.isin(index.identities, asked), False)
    rows = np.flatnonzero(wanted)
    part = ImageIndex(
        index.root,
        tuple(index.names[row] for row in rows),
        index.identities[rows],
        index.cameras[rows],
        index.splits[rows],
    )
    return PreparedData(part, Picked(data.images, rows), data.fingerprint)


def sample_classes(data: Classes, images: int) -> Classes:
    """So many images of each half, evenly spread, with all classes."""

    def some(half: Labelled) -> Labelled:
        count = len(half.labels)
        return half.picked(np.linspace(0, count - 1, min(images, count)).astype(np.int64))

    return dataclasses.replace(data, train=some(data.train), validation=some(data.validation))


@dataclass(frozen=True)
class SampledData(JobData):
    """Samples of a job's data, of which so many images or identities are wanted; `extents` takes how much the
    real job has to do on the whole of it."""

    wanted: int = 0
    extents: list[dict[str, Any]] = field(default_factory=list)

    def sized(self, height: int, width: int) -> PreparedData:
        whole = super().sized(height, width)
        part = sample(whole, self.wanted)
        if isinstance(self.job.recipe, (SearchRecipe, TrainRecipe)):
            self.extents.append(extent(self.job, whole, part))
        return part

    def classes(self) -> Classes:
        whole = super().classes()
        recipe, part = self.job.recipe, sample_classes(whole, self.wanted)
        assert isinstance(recipe, PretrainRecipe)
        evaluations = len(whole.validation.labels) / len(part.validation.labels)
        steps = len(whole.train.labels) // recipe.batch
        self.extents.append({"epochs": recipe.epochs, "steps": steps, "evaluations": evaluations})
        return part


def in_small(job: Job) -> Job:
    """The job with one epoch; a random search with two samples, and steps enough to be interrupted."""
    if isinstance(job.recipe, RandomSearchRecipe):
        epochs = -(-STEPS * job.recipe.train.batch.size // job.recipe.budget.batch.size)
        small = {"samples": 2, "train.epochs": 1, "budget.epochs": epochs}
        return dataclasses.replace(job, recipe=override(job.recipe, small))
    if not isinstance(job.recipe, SelectRecipe):
        return dataclasses.replace(job, recipe=override(job.recipe, {"epochs": 1}))
    if job.recipe.rule == "supernet":
        return job
    return dataclasses.replace(job, recipe=override(job.recipe, {"train.epochs": 1}))


def enough(job: Job, storage: Storage) -> int:
    """How many training identities a rehearsal takes: enough for the batches of a half, and no more than its
    teacher's. A selection in supernets takes as many as their searches did; a pretraining takes images,
    enough for its steps."""
    recipe = job.recipe
    if isinstance(recipe, SelectRecipe):
        if recipe.rule == "supernet":
            return enough(_planned(storage, job.searches[0]), storage)
        recipe = recipe.train
    if isinstance(recipe, RandomSearchRecipe):
        recipe = recipe.train
    if isinstance(recipe, PretrainRecipe):
        return STEPS * recipe.batch
    own = max(4 * recipe.batch.identities, LEAST_IDENTITIES)
    if job.teacher is None or job.teacher not in job.needs:
        return own
    return min(own, enough(_planned(storage, job.teacher), storage))


def _planned(storage: Storage, job_id: str) -> Job:
    folder = storage.job(job_id).folder
    return Job.from_plain(read_json(folder, "job.json"), str(folder))


class Rehearsed:
    """A run of few steps that takes the time of the last one, and of the evaluation."""

    def __init__(self, run: Run, whole: dict[str, Any]) -> None:
        self.run, self.whole = run, whole
        self.position, self.device = run.position, run.device
        if whole:
            self.position.steps = min(STEPS, self.position.steps)
        self.step_seconds = 0.0

    def advance(self) -> Row:
        """The epoch, timed."""
        pulse, before = self.position.pulse, time.perf_counter()

        def timed() -> None:
            nonlocal before
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            now = time.perf_counter()
            self.step_seconds, before = now - before, now
            pulse()

        self.position.pulse = timed
        row = self.run.advance()
        self.position.pulse = pulse
        return row

    def check(self) -> None:
        self.run.check()

    def state(self) -> dict[str, Any]:
        return self.run.state()

    def load(self, state: dict[str, Any]) -> None:
        self.run.load(state)

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The run's own result, and beside it what the real job will take."""
        begin = time.perf_counter()
        result, files = self.run.finish()
        took = {"step_seconds": self.step_seconds, "evaluation_seconds": time.perf_counter() - begin}
        return result | {"rehearsal": self.whole | took | self._predicted(took)}, files

    def _predicted(self, took: dict[str, float]) -> dict[str, float | None]:
        if not self.whole:
            return {"predicted_seconds": None}
        steps = self.whole["epochs"] * self.whole["steps"] * took["step_seconds"]
        return {"predicted_seconds": steps + self.whole["evaluations"] * took["evaluation_seconds"]}


def extent(job: Job, whole: PreparedData, part: PreparedData) -> dict[str, Any]:
    """How much the real job has to do: epochs, steps of one, and its evaluation in multiples of the
    rehearsal's."""
    recipe = job.recipe
    if isinstance(recipe, SearchRecipe):
        train, _ = split_positions(recipe.split, whole.labels, stream(dict(job.seeds)["split"], "split"))
        return {"epochs": recipe.epochs, "steps": max(len(train) // recipe.batch.size, 1), "evaluations": 0}
    assert isinstance(recipe, TrainRecipe)
    ranked, here = (
        sum(len(data.index.rows(split)) for split in ("query", "gallery")) for data in (whole, part)
    )
    steps = max(len(whole.train_rows) // recipe.batch.size, 1)
    # The untrained network is evaluated as well.
    return {"epochs": recipe.epochs, "steps": steps, "evaluations": 2 * ranked / here}


def rehearse_job(
    job: Job,
    storage: Storage,
    source: DataSource | ClassSource,
    execution: Execution,
    cache: Path | None = None,
    stop: Stop = never,
) -> Generator[Row, None, None]:
    """Rehearse a job in a storage of its own, as `run_job` runs it; the result holds `rehearsal`.

    Jobs that it needs must have been rehearsed there before.
    """
    data = SampledData(job, source, cache, enough(job, storage))
    small = builder(in_small(job), storage, data, execution)
    position: list[Position] = []

    def build() -> Run:
        run = small()
        position[:] = [run.position]
        return Rehearsed(run, data.extents[-1] if data.extents else {})

    def half_way() -> bool:
        return stop() or (bool(position) and position[0].step >= STEPS_BEFORE)

    folder = storage.job(job.id)
    first = folder.new_attempt()
    try:
        yield from run_attempt(build, first, [], execution, half_way)
    except InterruptionError:
        if stop():
            raise
        yield from run_attempt(build, folder.new_attempt(), [first], execution, stop)
