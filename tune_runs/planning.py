"""From a campaign to its jobs, in the order in which they are launched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autoreid.data.source import ClassSource, DataSource
from autoreid.distilling import distils
from autoreid.jobs import (
    RANDOM_PIXELS,
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
from tune_runs.entries import Entry
from tune_runs.latencies import timing_of
from tune_runs.point_arms import arm_of, trained_arms
from tune_runs.points import Point

# A job with its arm, its repeat and its id.
Row = tuple[Arm, int, str, Job]
# Stands for the fingerprint where the data is not at hand: such a plan can be shown, not run.
NO_DATA = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign's entries in launch order, and its jobs by id in the same order.

    Two arms that ask the same question share one job. `fingerprint` is that of the default data set, if
    there is one, `others` are those of the campaign's other sets by name, `classes` is that of what is
    pretrained on; `NO_DATA` stands for a fingerprint. `points` are those that a sweep has asked for.
    """

    campaign: Campaign
    fingerprint: str
    entries: tuple[Entry, ...]
    jobs: dict[str, Job]
    classes: str = NO_DATA
    points: tuple[Point, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprints of all data sets by name."""
        return {**_default(self.campaign, self.fingerprint), **self.others}

    @property
    def sources(self) -> dict[str, DataSource | ClassSource]:
        """Where the data of the jobs comes from, by its fingerprint."""
        sets = self.campaign.sets
        found: dict[str, DataSource | ClassSource] = {
            digest: sets[name] for name, digest in self.fingerprints.items()
        }
        # What reads no images is given the default set, and leaves it alone.
        if self.campaign.source is not None:
            found[RANDOM_PIXELS] = self.campaign.source
        return found if self.campaign.classes is None else found | {self.classes: self.campaign.classes}

    def data_set(self, job: str) -> str | None:
        """The name of the data set of a job; None for a pretraining, and for what is timed."""
        names = {digest: name for name, digest in self.fingerprints.items()}
        return None if self.jobs[job].kind in ("pretrain", "latency") else names[self.jobs[job].data]

    def again(self, points: Sequence[Point] = (), campaign: Campaign | None = None) -> Plan:
        """The plan on the same data with other points, or of a changed campaign."""
        return make_plan(campaign or self.campaign, self.fingerprint, self.classes, points, self.others)

    def count(self, kind: JobKind) -> int:
        """Number of different jobs of a kind."""
        return sum(job.kind == kind for job in self.jobs.values())


def make_plan(
    campaign: Campaign,
    fingerprint: str,
    classes: str = NO_DATA,
    points: Sequence[Point] = (),
    others: Mapping[str, str] | None = None,
) -> Plan:
    """The jobs of a campaign on data of these fingerprints, those of the points of its sweep among them.

    `others` are the fingerprints of data sets besides the default one, by name.

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

    # Where the data is not at hand, jobs on several sets are told apart all the same.
    others = {name: (others or {}).get(name, f"{NO_DATA}{name}") for name in campaign.data_sets}
    planned = _Jobs(campaign, {**_default(campaign, fingerprint), **others}, classes, points)
    rows = list(planned)
    for row in rows:
        enter(*row)
    for entry in _timed(campaign, rows, jobs):
        entries[entry.arm, entry.job] = entry
    asked = []
    for point in points:
        if point.is_planned:
            ids = (enter(*row) for row in planned.of_point(point))
            point = replace(point, jobs=tuple(dict.fromkeys(ids)))
        asked.append(point)
    return Plan(campaign, fingerprint, tuple(entries.values()), jobs, classes, tuple(asked), others)


class _Jobs:
    """Every job of a campaign with its arm, repeat and id, in launch order: teachers, searches, trainings,
    then what is selected. Those of the points of a sweep are asked for one by one."""

    def __init__(
        self, campaign: Campaign, data: Mapping[str, str], classes: str, points: Sequence[Point] = ()
    ) -> None:
        self.protocol, self.campaign, self.classes = campaign.protocol, campaign, classes
        self.data = data
        swept = campaign.sweep.arms if campaign.sweep else frozenset()
        self.teachers = campaign.teachers
        self.arms = [arm for arm in campaign.arms if arm not in self.teachers and arm.name not in swept]
        self.arms += trained_arms(campaign, points)
        # The trainings that guide others, by arm and data set, and the searches of each arm.
        self.guides: dict[tuple[str | None, str | None], str] = {}
        self.searches: dict[str, dict[str, None]] = {arm.name: {} for arm in self.arms}

    def __iter__(self) -> Iterator[Row]:
        for arm in self.teachers:  # trained once on each data set
            assert arm.genotype is not None
            for row in self._of_network(arm, arm.genotype, 0, self.protocol.seeds.train):
                if row[3].kind == "train":
                    self.guides[arm.stem, arm.trained_on] = row[2]
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
            teacher = self._guide(arm, recipe, arm.searched_on)
            job = random_search_job(recipe, self._on(arm.searched_on), **drawn, teacher=teacher)
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
                self._on(arm.trained_on),
                given,
                train_seed=train_seed,
                pretraining=pretraining,
                teacher=self._guide(arm, arm.train, arm.trained_on),
            )
            trained = job.id
            yield arm, repeat, trained, job
            if self.campaign.evaluation is not None:
                job = evaluate_job(self.campaign.evaluation, self._on(arm.trained_on), trained)
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
        teacher = self._guide(arm, recipe, arm.searched_on)
        return search_job(recipe, self._on(arm.searched_on), **given, teacher=teacher)

    def _selection(self, arm: Arm, recipe: SelectRecipe, searches: tuple[str, ...]) -> Job:
        seeds = self.protocol.seeds
        return select_job(
            recipe,
            self._on(arm.searched_on),
            searches,
            split_seed=seeds.split,
            train_seed=seeds.train,
            teacher=self._guide(arm, recipe, arm.searched_on),
        )

    def _on(self, name: str | None) -> str:
        """The fingerprint of a data set on which an arm has work."""
        assert name is not None
        return self.data[name]

    def _guide(self, arm: Arm, recipe: object, data: str | None) -> str | None:
        """What guides a job of an arm on a data set, if its recipe distils: it knows that set's images."""
        if not arm.teacher or not distils(recipe):
            return None
        given = arm.teacher in self.campaign.weights
        return arm.teacher if given else self.guides[arm.teacher, data]


def _timed(campaign: Campaign, rows: Iterable[Row], jobs: dict[str, Job]) -> Iterator[Entry]:
    """The job that times what all trainings train, for each of their arms, if the campaign asks for it."""
    trained = ((arm, repeat, job) for arm, repeat, _, job in rows)
    timing = None if campaign.latency is None else timing_of(campaign.latency, trained)
    if timing is not None:
        job_id = timing.job.id
        jobs[job_id] = timing.job
        for arm, timed in timing.arms:
            yield Entry(job_id, arm.name, 0, "latency", arm.network, timed=timed)


def _default(campaign: Campaign, fingerprint: str) -> dict[str, str]:
    """The fingerprint of the default data set by its name, where there is one."""
    return {} if campaign.source is None else {campaign.source.set: fingerprint}


def _sampled(space: str, seed: int) -> Genotype:
    from autoreid.random_search import sampled  # deferred: loads torch

    return sampled(space, seed)
