"""Samples of a job's data, and how much more the real job has to do than one on a sample."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreid.building import JobData
from autoreid.data.views import Picked
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.feed import PreparedData, split_positions
from autoreid.health import probe_batches
from autoreid.jobs import Job
from autoreid.latency_recipes import LatencyRecipe
from autoreid.latency_runs import timed_batches
from autoreid.optimisation import stream
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.random_search import weight_images
from autoreid.recipes import RandomSearchRecipe, SearchRecipe, SelectRecipe, TrainRecipe

if TYPE_CHECKING:
    from autoreid.data.classes import Classes, Labelled

QUERIED = 16


def sample(data: PreparedData, identities: int) -> PreparedData:
    """The images of the first training identities, and of the first ones that are asked for."""
    index = data.index
    trained = np.unique(index.identities[index.rows("train")])[:identities]
    asked = np.unique(index.identities[index.rows("query")])[:QUERIED]
    wanted = np.where(index.splits == "train", np.isin(index.identities, trained), False)
    wanted |= np.where(index.splits != "train", np.isin(index.identities, asked), False)
    rows = np.flatnonzero(wanted)
    part = dataclasses.replace(
        index,
        names=tuple(index.names[row] for row in rows),
        identities=index.identities[rows],
        cameras=index.cameras[rows],
        splits=index.splits[rows],
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
    real job has to do on the whole of it, where the small one takes `steps` an epoch."""

    wanted: int = 0
    steps: int = 0
    extents: list[dict[str, Any]] = field(default_factory=list)

    def sized(self, height: int, width: int) -> PreparedData:
        whole = super().sized(height, width)
        part = sample(whole, self.wanted)
        self.extents.append(extent(self.job, whole, part, self.steps))
        return part

    def classes(self) -> Classes:
        whole = super().classes()
        recipe, part = self.job.recipe, sample_classes(whole, self.wanted)
        assert isinstance(recipe, PretrainRecipe)
        evaluations = len(whole.validation.labels) / len(part.validation.labels)
        steps = len(whole.train.labels) // recipe.batch
        self.extents.append(_extent(recipe.epochs, steps, evaluations=evaluations))
        return part


def _extent(epochs: int, steps: int, *, rests: float | None = None, evaluations: float = 1) -> dict[str, Any]:
    """How much a real job has to do: epochs, steps of one, and in multiples of the rehearsal's what epochs do
    beside their steps, and the evaluation at the end."""
    return {
        "epochs": epochs,
        "steps": steps,
        "rests": epochs if rests is None else rests,
        "evaluations": evaluations,
    }


def extent(job: Job, whole: PreparedData, part: PreparedData, few: int) -> dict[str, Any]:
    """How much a real job has to do on the whole data, by `_extent`; of an epoch the small one takes `few`
    steps."""
    recipe, seeds = job.recipe, dict(job.seeds)
    ratio = len(whole.train_rows) / len(part.train_rows)
    if isinstance(recipe, SearchRecipe):
        # What is measured after an epoch grows with its steps.
        large, small = (_search_steps(recipe, data, seeds["split"]) for data in (whole, part))
        probes, here = (probe_batches(recipe.batch.size, steps) for steps in (large, min(few, small)))
        return _extent(recipe.epochs, large, rests=recipe.epochs * probes / here)
    ranked, here = (
        sum(len(data.index.rows(split)) for split in ("query", "gallery")) for data in (whole, part)
    )
    if isinstance(recipe, EvaluateRecipe):
        return _extent(1, 0, rests=ranked / here)
    if isinstance(recipe, TrainRecipe):
        # The untrained network is evaluated as well; once, on the sample, that is a part of the start.
        steps = _steps(len(whole.train_rows), recipe)
        return _extent(recipe.epochs, steps, evaluations=2 * ranked / here - 1)
    if isinstance(recipe, RandomSearchRecipe):
        steps = recipe.steps(weight_images(recipe, whole.labels, seeds["split"]))
        return _extent(job.epochs, steps, rests=ratio * recipe.samples)
    assert isinstance(recipe, SelectRecipe)
    images = round((1 - recipe.fraction) * len(whole.train_rows))
    steps = _steps(images, recipe.train) if recipe.rule == "retrain" else 0
    return _extent(job.epochs, steps, rests=ratio * len(job.searches))


def extent_of_timing(whole: LatencyRecipe, part: LatencyRecipe) -> dict[str, Any]:
    """How much there is to time, as `extent`: batches of all passes, beside those of the small job."""
    return _extent(1, 0, rests=timed_batches(whole) / timed_batches(part))


def _steps(images: int, recipe: SearchRecipe | TrainRecipe) -> int:
    return max(images // recipe.batch.size, 1)


def _search_steps(recipe: SearchRecipe, data: PreparedData, split_seed: int) -> int:
    train, _ = split_positions(recipe.split, data.labels, stream(split_seed, "split"))
    return _steps(len(train), recipe)
