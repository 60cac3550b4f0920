"""Rehearsals: a job in small, through everything that the real one does, and what the real one will cost.

Two steps on a sample of the data, a checkpoint, a new start from it, more steps, and an evaluation. What
would fail after hours fails within seconds: memory, precision, data, storage, a space of a plug-in. Its parts
are timed apart, since each of them counts another number of times in the real job.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from autoreid.building import builder
from autoreid.data.source import ClassSource, DataSource
from autoreid.distilling import at_first_temperature
from autoreid.epochs import Position
from autoreid.errors import InterruptionError
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.execution import Execution
from autoreid.folders import read_json
from autoreid.jobs import Job
from autoreid.latency_recipes import LatencyRecipe
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import RandomSearchRecipe, SearchRecipe, SelectRecipe, TrainRecipe
from autoreid.running import run_attempt, take_up
from autoreid.runs import Row, Run, Stop, never
from autoreid.sampled import SampledData, extent_of_timing
from autoreid.snapshots import to_bytes
from autoreid.storage import Storage
from autoreid.values import override

STEPS_BEFORE, STEPS = 2, 4
LEAST_IDENTITIES = 64


def in_small(job: Job, few: int = 1) -> Job:
    """The job with `few` epochs, at its first temperature; a random search with two samples of one epoch, and
    steps enough to be interrupted; an evaluation with as few neighbours as a sample may have; networks are
    timed once, with a batch of each size."""
    if isinstance(job.recipe, EvaluateRecipe):
        fewest = {"k1": 1, "k2": 1} if job.recipe.rerank else {}
        return dataclasses.replace(job, recipe=override(job.recipe, fewest))
    if isinstance(job.recipe, LatencyRecipe):
        once = {"images": max(job.recipe.batch), "passes": 1}
        return dataclasses.replace(job, recipe=override(job.recipe, once))
    if isinstance(job.recipe, RandomSearchRecipe):
        epochs = -(-STEPS * job.recipe.train.batch.size // job.recipe.budget.batch.size)
        small: dict[str, int] = {"samples": 2, "train.epochs": 1, "budget.epochs": epochs}
    elif not isinstance(job.recipe, SelectRecipe):
        small = {"epochs": few}
    elif job.recipe.rule == "supernet":
        return job
    else:
        small = {"train.epochs": 1}
    return dataclasses.replace(job, recipe=override(at_first_temperature(job.recipe), small))


def enough(job: Job, storage: Storage) -> int:
    """How many training identities a rehearsal takes: enough for the batches of a half, and no more than its
    teacher's. A selection in supernets takes as many as their searches did, an evaluation as its training; a
    pretraining takes images, enough for its steps; what is timed takes none."""
    recipe = job.recipe
    if isinstance(recipe, LatencyRecipe):
        return 0
    if isinstance(recipe, EvaluateRecipe):
        return enough(_planned(storage, job.needs[0]), storage)
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
    """A run of few steps that takes the times of its parts: the steps, what an epoch does beside its steps,
    what is done between two epochs, and the end with its evaluation.

    `starts` takes the seconds from `begin`, when it began to be built, to its first step, which is not
    counted with the others. Of the runs of one process the first start counts: what a process does once, such
    as choosing kernels, is done there.
    """

    def __init__(self, run: Run, data: SampledData, begin: float, starts: list[float]) -> None:
        self.run, self.data = run, data
        self.position, self.device = run.position, run.device
        if isinstance(data.job.recipe, (SearchRecipe, TrainRecipe, PretrainRecipe)):
            self.position.steps = min(data.steps, self.position.steps)
        self.begin, self.built, self.starts = begin, time.perf_counter(), starts
        self.first: float | None = None
        self.saved = 0
        self.steps: list[float] = []
        self.rests: list[float] = []
        self.pauses: list[float] = []
        self._left: float | None = None

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def advance(self) -> Row:
        """The epoch, timed."""
        begin = before = self._now()
        if self._left is not None:
            self.pauses.append(begin - self._left)
        at, pulse, stepping = self.position, self.position.pulse, 0.0
        seen = at.step

        def timed() -> None:
            nonlocal before, seen, stepping
            now = self._now()
            if at.step > seen:  # else a batch of an evaluation
                stepping += now - before
                self._stepped(now, now - before)
            before, seen = now, at.step
            pulse()

        at.pulse = timed
        row = self.run.advance()
        at.pulse = pulse
        self._left = self._now()
        self.rests.append(self._left - begin - stepping)
        return row

    def _stepped(self, now: float, seconds: float) -> None:
        if self.first is None:
            self.first = seconds
            self.starts.append(now - self.begin)
        else:
            self.steps.append(seconds)

    def check(self) -> None:
        self.run.check()

    def state(self) -> dict[str, Any]:
        return self.run.state()

    def load(self, state: dict[str, Any]) -> None:
        self.saved = len(to_bytes(state))
        self.run.load(state)

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The run's own result, and beside it what the real job will take."""
        # At its end a run of several trainings holds none; where it was interrupted, it held one.
        saved = max(self.saved, len(to_bytes(self.run.state())))
        begin = self._now()
        result, files = self.run.finish()
        took: dict[str, Any] = {
            "start_seconds": self.starts[0] if self.starts else self.built - self.begin,
            "steps_seconds": self.steps or [self.first or 0.0],
            "rests_seconds": self.rests,
            "pauses_seconds": self.pauses or [0.0],
            "evaluation_seconds": self._now() - begin,
            "checkpoint_bytes": saved,
        }
        took["step_seconds"] = median(took["steps_seconds"])
        whole = self.data.extents[-1]
        return result | {"rehearsal": whole | took | {"predicted_seconds": predicted(whole | took)}}, files


def predicted(found: dict[str, Any]) -> float:
    """The seconds of a whole job, from how much it has to do and what the parts of a rehearsal took."""
    return float(
        found["start_seconds"]
        + found["epochs"] * (found["steps"] * found["step_seconds"] + fmean(found["pauses_seconds"]))
        + found["rests"] * fmean(found["rests_seconds"])
        + found["evaluations"] * found["evaluation_seconds"]
    )


def rehearse_job(
    job: Job,
    storage: Storage,
    source: DataSource | ClassSource,
    execution: Execution,
    cache: Path | None = None,
    stop: Stop = never,
    *,
    steps: int = STEPS,
    epochs: int = 1,
) -> Generator[Row, None, bool]:
    """Rehearse a job in a storage of its own, as `run_job` runs it; the result holds `rehearsal`.

    It takes so many `epochs` of at most so many `steps`. Jobs that it needs must have been rehearsed there
    before.
    """
    data = SampledData(job, source, cache, enough(job, storage), steps)
    shortened = in_small(job, epochs)
    small = builder(shortened, storage, data, execution)
    if isinstance(job.recipe, LatencyRecipe) and isinstance(shortened.recipe, LatencyRecipe):
        data.extents.append(extent_of_timing(job.recipe, shortened.recipe))
    position: list[Position] = []
    starts: list[float] = []

    def build() -> Run:
        begin = time.perf_counter()
        run = small()
        position[:] = [run.position]
        return Rehearsed(run, data, begin, starts)

    def half_way() -> bool:
        return stop() or (bool(position) and position[0].step >= STEPS_BEFORE)

    folder = storage.job(job.id)
    first = take_up(folder, [])
    try:
        yield from run_attempt(build, first, [], execution, half_way, job.recipe)
    except InterruptionError:
        if stop():
            raise
        yield from run_attempt(build, take_up(folder, [first]), [first], execution, stop, job.recipe)
    return True
