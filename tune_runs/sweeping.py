"""A sweep while it runs: it asks for points when there is nothing else to do, and sees what became of them.

All that it knows is in the manifest and in the results of jobs: one that is killed goes on from there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoreid.errors import InputError, StorageError
from autoreid.recipes import TrainRecipe
from autoreid.storage import Storage
from search_spaces.genotype import Genotype
from tune_runs.campaign import Campaign
from tune_runs.enumeration import is_exhausted, untried
from tune_runs.manifest import save_manifest
from tune_runs.planning import Plan
from tune_runs.point_arms import arm_of, given_up
from tune_runs.points import REFUSED, Point, asks, fitting, of_study
from tune_runs.releases import Releases
from tune_runs.states import states_of
from tune_runs.studies import is_hopeless, next_point
from tune_runs.sweeps import Study

if TYPE_CHECKING:
    from autoreid.complexity import Complexity

# How often a study is asked for a point that does not run already, before it waits.
ATTEMPTS = 10


class Sweeping:
    """The points of a plan. `grown` is told every plan that follows; `write` takes lines for people."""

    def __init__(
        self, plan: Plan, storage: Storage, grown: Callable[[Plan], None], write: Callable[[str], None]
    ) -> None:
        self.plan, self.storage, self.grown, self.write = plan, storage, grown, write
        sweep = plan.campaign.sweep
        self.studies: tuple[Study, ...] = () if sweep is None else sweep.studies
        self.first_searches = {point.jobs[0]: point.key for point in plan.points if point.jobs}
        self.curves: dict[tuple[str, int], dict[int, float]] = {}
        # Whether a point was given up since the plan was made, so that it lacks what follows.
        self._behind = False
        # The points of a study after which it asked for what runs: it is asked again when they change.
        self._fruitless: dict[str, list[Point]] = {}

    @property
    def over(self) -> bool:
        """Whether all points are asked and settled, and the plan holds what follows from them; or somebody
        cancelled one, and the others are settled."""
        studies = [(study, of_study(study, self.plan.points)) for study in self.studies]
        return not self._behind and all(_rests(study, points) for study, points in studies)

    @property
    def given_up(self) -> frozenset[str]:
        """Jobs that nothing but pruned points needs."""
        return given_up(self.plan)

    def more(self, releases: Releases) -> dict[str, tuple[str, ...]]:
        """New jobs with what they need, after all that can be handed out was: those of points that are asked
        now, and those that train what a study found. None is no end: `over` says that."""
        points = [self._settled(point, releases) for point in self.plan.points]
        for study in self.studies:
            points += self._asked(study, of_study(study, points))
        if points == list(self.plan.points) and not self._behind:
            return {}
        before = self.plan
        plan = before.again(points)
        save_manifest(self.storage, plan)
        self.plan, self._behind = plan, False
        self.first_searches = {point.jobs[0]: point.key for point in plan.points if point.jobs}
        self.grown(plan)
        wanted = given_up(before) - self.given_up  # of pruned points, and now of others too
        new = [job_id for job_id in plan.jobs if job_id not in before.jobs or job_id in wanted]
        return {job_id: plan.jobs[job_id].needs for job_id in new}

    def reported(self, job: str, row: Mapping[str, Any]) -> None:
        """A running job has done an epoch: a point that this shows to be hopeless is given up."""
        key, accuracy = self.first_searches.get(job), row.get("validation_accuracy")
        point = next((point for point in self.plan.points if point.key == key), None)
        study = next((study for study in self.studies if point and study.name == point.study), None)
        if point is None or study is None or not study.settings.pruning or accuracy is None:
            return
        epoch = int(row["epoch"])
        curve = self.curves.setdefault(point.key, dict(point.curve))
        curve[epoch] = float(accuracy)
        # After the last epoch nothing would be saved.
        runs = point.state == "open" and epoch < self.plan.jobs[job].epochs
        point = replace(point, curve=dict(curve))
        if runs and is_hopeless(study, of_study(study, self.plan.points), point):
            reason = f"pruned at epoch {epoch}: validation accuracies below the median"
            self._give_up(replace(point, state="pruned", reason=reason))

    def _give_up(self, pruned: Point) -> None:
        """Note that a point was pruned, in the manifest first: whoever goes on from it must know."""
        points = (pruned if point.key == pruned.key else point for point in self.plan.points)
        plan = replace(self.plan, points=tuple(points))
        save_manifest(self.storage, plan)
        self.plan, self._behind = plan, True
        self.write(f"{_name(pruned)}: {pruned.reason}")

    def _asked(self, study: Study, mine: list[Point]) -> list[Point]:
        """The next points of a study: those that are settled at once, and one that is to be run, if there is
        one whose question does not run already."""
        asked: list[Point] = []
        while _wants(study, mine + asked) and mine + asked != self._fruitless.get(study.name):
            point = self._next(study, mine + asked)
            if point is None:
                self._fruitless[study.name] = mine + asked
                break
            asked.append(point)
            if point.state == "open":
                self.write(f"{_name(point)}: {_words(_labelled(study, point))}")
                break
        return asked

    def _next(self, study: Study, before: list[Point]) -> Point | None:
        """The next point of a study; None where each that it suggests asks what runs already."""
        suggested = (next_point(study, before, attempt) for attempt in range(ATTEMPTS))
        answered = (self._answered(untried(study, before, point), before) for point in suggested)
        return next((point for point in answered if point is not None), None)

    def _answered(self, point: Point, before: Sequence[Point]) -> Point | None:
        """The point, settled where it is known, or refused; None where one of the same question runs."""
        same = [other for other in before if other.question == point.question and other.state != "known"]
        if same and same[0].state == "open":
            return None
        if same:
            return replace(point, state="known")
        try:
            arm_of(self.plan.campaign, point)
        except InputError as error:
            return replace(point, state="failed", reason=f"{REFUSED}{'; '.join(error.problems)}")
        return point

    def _settled(self, point: Point, releases: Releases) -> Point:
        """The point, with its figures once its jobs are done, or why it has none."""
        if point.key in self.curves:
            point = replace(point, curve=dict(self.curves[point.key]))
        ended = releases.failed | releases.skipped
        found = settled(point, self.plan.campaign, releases.done, ended, self.storage)
        if found.state == "done" and point.state != "done":
            self.write(f"{_name(found)}: {_words(dict(zip(self._aims(found), found.scores, strict=True)))}")
        return found

    def _aims(self, point: Point) -> tuple[str, ...]:
        return next(study.settings.aims for study in self.studies if study.name == point.study)


def settled(
    point: Point, campaign: Campaign, done: Container[str], ended: Mapping[str, str], storage: Storage
) -> Point:
    """The point by what became of its jobs: those that are done, and those that ended otherwise, with why."""
    if point.state == "done" or not point.is_planned:
        return point
    if all(job in done for job in point.jobs):
        scores = point.scores or scores_of(campaign, point, storage)
        return replace(point, state="done", scores=scores, reason="")
    lost = [job for job in point.jobs if job in ended]
    if lost and point.state == "open":
        return replace(point, state="failed", reason=f"job {lost[0]}: {ended[lost[0]]}")
    return point


def continued(plan: Plan, storage: Storage) -> Plan:
    """The plan with the points that its sweep has asked for in a storage, and what is known of them.

    Points whose jobs are no longer the same, since a recipe or the data has changed, are left out. Figures
    are kept where nothing of the campaign has changed: the size of a network is that of its training, whose
    recipe has no part in the jobs of a point.
    """
    campaign = plan.campaign
    if campaign.sweep is None or campaign.name not in storage.campaigns():
        return plan
    manifest = storage.read_manifest(campaign.name)
    before = [manifest.get(name) for name in ("sweep", "file", "settings")]
    unchanged = before == [campaign.sweep.plain(), campaign.text, list(campaign.settings)]
    asked = fitting(campaign.sweep, read_points(manifest, storage), unchanged=unchanged)
    planned = plan.again(asked)
    pairs = zip(planned.points, asked, strict=True)
    same = {point.question for point, old in pairs if point.is_planned and point.jobs == old.jobs}
    kept = [point for point in asked if point.question in same or point.reason.startswith(REFUSED)]
    if len(kept) < len(asked):
        kept = fitting(campaign.sweep, kept, unchanged=False)
    planned = plan.again(kept)
    states = states_of(storage, {job_id: job.needs for job_id, job in planned.jobs.items()})
    done = {job_id for job_id, state in states.items() if state.status == "done"}
    found = [settled(point, campaign, done, {}, storage) for point in planned.points]
    found = [replace(point, scores=()) if point.state == "open" else point for point in found]
    if campaign.sweep.settings.pruning:
        found = [replace(point, curve=_curve(point, storage)) for point in found]
    return plan.again(found)


def _curve(point: Point, storage: Storage) -> dict[int, float]:
    """The validation accuracy of the first repeat by epoch, as the records hold it."""
    attempts = storage.job(point.jobs[0]).attempts() if point.jobs else []
    try:
        rows = [row for attempt in attempts for row in attempt.records()]
        curve = {int(row["epoch"]): row.get("validation_accuracy") for row in rows}
        return {epoch: float(value) for epoch, value in curve.items() if value is not None}
    except (ValueError, TypeError, KeyError):  # damaged: what is known of it serves
        return dict(point.curve)


def read_points(manifest: Mapping[str, Any], storage: Storage) -> list[Point]:
    """The points of a manifest; InputError where they are damaged."""
    try:
        return [Point.from_plain(point) for point in manifest.get("points", ())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        place = f"{storage.folder}/campaigns/{manifest.get('name')}/manifest.json"
        raise InputError(
            f"{place}: damaged ({error!r}). Restore it, or remove the campaign's folder: results stay."
        ) from None


def _wants(study: Study, points: Sequence[Point]) -> bool:
    return asks(study, points) and not is_exhausted(study, points)


def _rests(study: Study, points: Sequence[Point]) -> bool:
    """Whether nothing will be asked or settled any more."""
    return not _wants(study, points) and not any(point.state == "open" for point in points)


def _name(point: Point) -> str:
    return f"{point.arm}, point {point.number + 1}"


def _labelled(study: Study, point: Point) -> dict[str, Any]:
    """The values of a point under the labels of their domains."""
    swept = study.arm(point.arm)
    labels = {} if swept is None else {domain.name: domain.axis.label for domain in swept.domains}
    return {labels.get(name, name): value for name, value in point.values.items()}


def _words(values: Mapping[str, Any]) -> str:
    """
    >>> _words({"k": 2, "mAP": 0.43219, "l": [1, 2]})
    'k=2, mAP=0.4322, l=[1, 2]'
    """
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in values.items()
    )


def scores_of(campaign: Campaign, point: Point, storage: Storage) -> tuple[float, ...]:
    """The figures of a point whose jobs are done: means over its repeats, in the order of the aims."""
    assert campaign.sweep is not None
    found = _result(storage, point.jobs[-1])["scores"]
    aims = campaign.sweep.settings.aims
    sizes = _sizes(campaign, point, storage) if {"multiply_adds", "parameters"} & set(aims) else {}
    values = {name: _mean(score[name] for score in found) for name in ("mAP", "rank_1")} | sizes
    return tuple(values[aim] for aim in aims)


def _sizes(campaign: Campaign, point: Point, storage: Storage) -> dict[str, float]:
    """Multiply-adds and parameters of the networks found, at the size at which they are trained: of what
    inference needs."""
    train = arm_of(campaign, point).train
    assert train is not None
    genotypes = (Genotype.from_plain(_result(storage, job)["genotype"]) for job in point.jobs[:-1])
    counts = [_counted(genotype, train) for genotype in genotypes]
    return {
        "multiply_adds": _mean(count.multiply_adds.inference for count in counts),
        "parameters": _mean(count.params.inference for count in counts),
    }


@functools.lru_cache(maxsize=4096)
def _counted(genotype: Genotype, train: TrainRecipe) -> Complexity:
    from autoreid.complexity import measure  # deferred: loads torch

    # Inference needs no classifier: how many identities there are does not matter.
    return measure(
        genotype, train.neck, identities=2, height=train.height, width=train.width, macro=train.macro
    )


def _result(storage: Storage, job: str) -> Mapping[str, Any]:
    """The result of a job that is done; StorageError where it is no longer there."""
    finished = storage.job(job).finished()
    if finished is None:
        raise StorageError(f"{storage.job(job).folder}: was done, and cannot be read now. Try again.")
    return finished[1].result


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
