"""From a campaign to its jobs, in the order in which they are launched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from autoreid.data.index import ImageIndex, fingerprint
from autoreid.data.source import ClassSource, DataSource
from autoreid.distilling import distils
from autoreid.errors import InputError, Problems
from autoreid.jobs import (
    Job,
    JobKind,
    evaluate_job,
    pretrain_job,
    random_search_job,
    search_job,
    select_job,
    train_job,
)
from autoreid.published import SELECT_RECIPES
from autoreid.recipes import SearchRecipe, SelectRecipe
from search_spaces.genotype import Genotype
from tune_runs.arms import Arm
from tune_runs.campaign import Campaign
from tune_runs.checks import check_data
from tune_runs.point_arms import arm_of, trained_arms
from tune_runs.points import Point
from tune_runs.teachers import check_teachers

if TYPE_CHECKING:
    from autoreid.data.classes import Classes

# A job with its arm, its repeat and its id.
Row = tuple[Arm, int, str, Job]
# Stands for the fingerprint where the data is not at hand: such a plan can be shown, not run.
NO_DATA = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell of the campaign: which job answers for this repeat of this arm.

    An arm has one selection, which is of repeat 0; where the best genotype alone is trained, the repeats of
    the trainings count these. `sampled` is the seed from which the architecture was drawn, if it was.
    """

    job: str
    arm: str
    repeat: int
    kind: JobKind
    network: str | None = None
    sampled: int | None = None

    def plain(self) -> dict[str, str | int]:
        """The entry as JSON values; `network` is there where the arm names the network it trains, and
        `sampled` where the architecture was drawn."""
        plain: dict[str, str | int] = {
            "job": self.job,
            "arm": self.arm,
            "repeat": self.repeat,
            "kind": self.kind,
        }
        plain |= {} if self.network is None else {"network": self.network}
        return plain if self.sampled is None else plain | {"sampled": self.sampled}


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign's entries in launch order, and its jobs by id in the same order.

    Two arms that ask the same question share one job. `fingerprint` is that of the data, `classes` that of
    what is pretrained on; `NO_DATA` stands for either. `points` are those that a sweep has asked for.
    """

    campaign: Campaign
    fingerprint: str
    entries: tuple[Entry, ...]
    jobs: dict[str, Job]
    classes: str = NO_DATA
    points: tuple[Point, ...] = ()

    @property
    def sources(self) -> dict[str, DataSource | ClassSource]:
        """Where the data of the jobs comes from, by its fingerprint."""
        found: dict[str, DataSource | ClassSource] = {self.fingerprint: self.campaign.source}
        return found if self.campaign.classes is None else found | {self.classes: self.campaign.classes}

    def count(self, kind: JobKind) -> int:
        """Number of different jobs of a kind."""
        return sum(job.kind == kind for job in self.jobs.values())


def make_plan(
    campaign: Campaign, fingerprint: str, classes: str = NO_DATA, points: Sequence[Point] = ()
) -> Plan:
    """The jobs of a campaign on data of these fingerprints, those of the points of its sweep among them.

    Seed-major: repeat 0 of every arm comes first, so that a half-finished campaign is balanced. Repeats of an
    arm that ask the same question, as their seeds do not differ, are planned once.
    """
    entries: dict[tuple[str, str], Entry] = {}
    jobs: dict[str, Job] = {}

    def enter(arm: Arm, repeat: int, job_id: str, job: Job) -> str:
        jobs.setdefault(job_id, job)
        drawn = arm.random is not None and arm.random.search is None
        seed = campaign.protocol.seeds_of(repeat).search if drawn else None
        entry = Entry(job_id, arm.name, repeat, job.kind, arm.network, seed)
        entries.setdefault((arm.name, job_id), entry)
        return job_id

    planned = _Jobs(campaign, fingerprint, classes, points)
    for row in planned:
        enter(*row)
    asked = []
    for point in points:
        if point.is_planned:
            ids = (enter(*row) for row in planned.of_point(point))
            point = replace(point, jobs=tuple(dict.fromkeys(ids)))
        asked.append(point)
    return Plan(campaign, fingerprint, tuple(entries.values()), jobs, classes, tuple(asked))


class _Jobs:
    """Every job of a campaign with its arm, repeat and id, in launch order: teachers, searches, trainings,
    then what is selected. Those of the points of a sweep are asked for one by one."""

    def __init__(
        self, campaign: Campaign, fingerprint: str, classes: str, points: Sequence[Point] = ()
    ) -> None:
        self.protocol, self.fingerprint, self.classes = campaign.protocol, fingerprint, classes
        self.campaign = campaign
        named = {arm.teacher for arm in campaign.arms}
        swept = campaign.sweep.arms if campaign.sweep else frozenset()
        self.teachers = [arm for arm in campaign.arms if arm.name in named]
        self.arms = [arm for arm in campaign.arms if arm.name not in named | swept]
        self.arms += trained_arms(campaign, points)
        # The training of each arm that guides others, and the searches of each arm.
        self.guides: dict[str, str] = {}
        self.searches: dict[str, dict[str, None]] = {arm.name: {} for arm in self.arms}

    def __iter__(self) -> Iterator[Row]:
        for arm in self.teachers:  # trained once
            assert arm.genotype is not None
            for row in self._of_network(arm, arm.genotype, 0, self.protocol.seeds.train):
                if row[3].kind == "train":
                    self.guides[arm.name] = row[2]
                yield row
        for repeat in range(self.protocol.repeats):
            for arm in self.arms:
                yield from self._of_repeat(arm, repeat)
        selected: dict[str, str] = {}
        for arm in self.arms:
            if arm.select is not None:
                job = self._selection(arm, arm.select, tuple(self.searches[arm.name]))
                selected[arm.name] = job.id
                yield arm, 0, selected[arm.name], job
        for training in range(self.protocol.trainings if self.protocol.trained == "best" else 0):
            for arm in self.arms:
                given = selected.get(arm.name, arm.genotype)
                if given is not None:
                    seed = self.protocol.seeds.train + training
                    yield from self._of_network(arm, given, training, seed)

    def _of_repeat(self, arm: Arm, repeat: int) -> Iterator[Row]:
        """What an arm searches in a repeat, and trains of what it found, was given or drew."""
        seeds = self.protocol.seeds_of(repeat)
        drawn = {"split_seed": seeds.split, "search_seed": seeds.search}
        given: Genotype | str | None = arm.genotype
        if arm.search is not None:
            job = self._search(arm, arm.search, repeat)
            given = job.id
            self.searches[arm.name][given] = None
            yield arm, repeat, given, job
        elif arm.random is not None and arm.random.search is not None:
            recipe = arm.random.search
            job = random_search_job(recipe, self.fingerprint, **drawn, teacher=self._guide(arm, recipe))
            given = job.id
            yield arm, repeat, given, job
        elif arm.random is not None:
            given = _sampled(arm.random.space, seeds.search)
        # Each repeat of a random arm is trained, also where searches are selected from.
        if (self.protocol.trained == "each" or arm.random) and given is not None:
            yield from self._of_network(arm, given, repeat, seeds.train)

    def _of_network(self, arm: Arm, given: Genotype | str, repeat: int, train_seed: int) -> Iterator[Row]:
        """The pretraining and the training of one network, and what evaluates it once more."""
        pretraining = None
        if arm.pretrain is not None:
            seed = self.protocol.seeds_of(repeat).pretrain
            job = pretrain_job(arm.pretrain, self.classes, given, train_seed=seed)
            pretraining = job.id
            yield arm, repeat, pretraining, job
        if arm.train is not None:
            job = train_job(
                arm.train,
                self.fingerprint,
                given,
                train_seed=train_seed,
                pretraining=pretraining,
                teacher=self._guide(arm, arm.train),
            )
            trained = job.id
            yield arm, repeat, trained, job
            if self.campaign.evaluation is not None:
                job = evaluate_job(self.campaign.evaluation, self.fingerprint, trained)
                yield arm, repeat, job.id, job

    def of_point(self, point: Point) -> Iterator[Row]:
        """The searches of a point, and the selection that says what they are worth."""
        assert self.campaign.sweep is not None
        arm = arm_of(self.campaign, point)
        assert arm.search is not None
        searches: list[str] = []
        for repeat in range(self.campaign.sweep.settings.repeats):
            job = self._search(arm, arm.search, repeat)
            searches.append(job.id)
            yield arm, repeat, job.id, job
        judge = arm.select or SELECT_RECIPES["supernet"]
        job = self._selection(arm, judge, tuple(dict.fromkeys(searches)))
        yield arm, 0, job.id, job

    def _search(self, arm: Arm, recipe: SearchRecipe, repeat: int) -> Job:
        seeds = self.protocol.seeds_of(repeat)
        given = {"split_seed": seeds.split, "search_seed": seeds.search}
        return search_job(recipe, self.fingerprint, **given, teacher=self._guide(arm, recipe))

    def _selection(self, arm: Arm, recipe: SelectRecipe, searches: tuple[str, ...]) -> Job:
        seeds = self.protocol.seeds
        return select_job(
            recipe,
            self.fingerprint,
            searches,
            split_seed=seeds.split,
            train_seed=seeds.train,
            teacher=self._guide(arm, recipe),
        )

    def _guide(self, arm: Arm, recipe: object) -> str | None:
        """What guides a job of an arm, if its recipe distils."""
        return self.guides.get(arm.teacher, arm.teacher) if arm.teacher and distils(recipe) else None


def _sampled(space: str, seed: int) -> Genotype:
    from autoreid.random_search import sampled  # deferred: loads torch

    return sampled(space, seed)


def open_data(campaign: Campaign, problems: Problems) -> tuple[ImageIndex | None, Classes | None]:
    """What is trained on, and what is pretrained on; what is not there goes into `problems`."""
    from autoreid.data.source import open_index

    index = classes = None
    try:
        index = open_index(campaign.source)
    except InputError as error:
        problems.extend(error.problems)
    if campaign.classes is not None:
        from autoreid.data.classes import open_classes  # deferred: loads torch

        try:
            classes = open_classes(campaign.classes.set, Path(campaign.classes.root))
        except InputError as error:
            problems.extend(f"pretrain.{problem}" for problem in error.problems)
    return index, classes


def read_data(campaign: Campaign) -> tuple[Plan, ImageIndex]:
    """The plan on the campaign's data, which must be there and fit; InputError where it does not."""
    problems = Problems()
    index, classes = open_data(campaign, problems)
    problems.raise_if_any()
    assert index is not None
    return plan_on(campaign, index, classes), index


def plan_on(campaign: Campaign, index: ImageIndex, classes: Classes | None) -> Plan:
    """The plan on opened data; InputError where it does not fit."""
    check_data(campaign, index, classes)
    plan = make_plan(campaign, fingerprint(index), classes.fingerprint if classes else NO_DATA)
    check_teachers(plan, index)
    return plan
