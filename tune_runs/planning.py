"""From a campaign to its jobs, in the order in which they are launched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autoreid.data.index import ImageIndex, fingerprint
from autoreid.data.splits import share
from autoreid.errors import InputError, Problems
from autoreid.jobs import Job, JobKind, random_search_job, search_job, select_job, train_job
from autoreid.recipes import RandomSearchRecipe, SelectRecipe
from search_spaces.genotype import Genotype
from tune_runs.arms import Arm
from tune_runs.campaign import Campaign

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

    Two arms that ask the same question share one job. `fingerprint` is that of the data, or `NO_DATA`.
    """

    campaign: Campaign
    fingerprint: str
    entries: tuple[Entry, ...]
    jobs: dict[str, Job]

    def count(self, kind: JobKind) -> int:
        """Number of different jobs of a kind."""
        return sum(job.kind == kind for job in self.jobs.values())


def make_plan(campaign: Campaign, fingerprint: str) -> Plan:
    """The jobs of a campaign on data of this fingerprint.

    Seed-major: repeat 0 of every arm comes first, so that a half-finished campaign is balanced. Repeats of an
    arm that ask the same question, as their seeds do not differ, are planned once.
    """
    entries: dict[tuple[str, str], Entry] = {}
    jobs: dict[str, Job] = {}
    for arm, repeat, job_id, job in _jobs(campaign, fingerprint):
        jobs.setdefault(job_id, job)
        drawn = arm.random is not None and arm.random.search is None
        seed = campaign.protocol.seeds_of(repeat).search if drawn else None
        entry = Entry(job_id, arm.name, repeat, job.kind, arm.network, seed)
        entries.setdefault((arm.name, job_id), entry)
    return Plan(campaign, fingerprint, tuple(entries.values()), jobs)


def _jobs(campaign: Campaign, fingerprint: str) -> Iterator[tuple[Arm, int, str, Job]]:
    """Every job with its arm, repeat and id, in launch order: searches, trainings, then what is selected."""
    protocol = campaign.protocol
    searches: dict[str, dict[str, None]] = {arm.name: {} for arm in campaign.arms}
    for repeat in range(protocol.repeats):
        seeds = protocol.seeds_of(repeat)
        for arm in campaign.arms:
            given: Genotype | str | None = arm.genotype
            if arm.search is not None:
                job = search_job(arm.search, fingerprint, split_seed=seeds.split, search_seed=seeds.search)
                given = job.id
                searches[arm.name][given] = None
                yield arm, repeat, given, job
            elif arm.random is not None and arm.random.search is not None:
                job = random_search_job(
                    arm.random.search, fingerprint, split_seed=seeds.split, search_seed=seeds.search
                )
                given = job.id
                yield arm, repeat, given, job
            elif arm.random is not None:
                given = _sampled(arm.random.space, seeds.search)
            # Each repeat of a random arm is trained, also where searches are selected from.
            if (protocol.trained == "each" or arm.random) and arm.train is not None and given is not None:
                job = train_job(arm.train, fingerprint, given, train_seed=seeds.train)
                yield arm, repeat, job.id, job
    selected: dict[str, str] = {}
    for arm in campaign.arms:
        if arm.select is not None:
            first = protocol.seeds
            found = tuple(searches[arm.name])
            job = select_job(arm.select, fingerprint, found, split_seed=first.split, train_seed=first.train)
            selected[arm.name] = job.id
            yield arm, 0, selected[arm.name], job
    for training in range(protocol.trainings if protocol.trained == "best" else 0):
        for arm in campaign.arms:
            given = selected.get(arm.name, arm.genotype)
            if arm.train is not None and given is not None:
                seed = protocol.seeds.train + training
                job = train_job(arm.train, fingerprint, given, train_seed=seed)
                yield arm, training, job.id, job


def _sampled(space: str, seed: int) -> Genotype:
    from autoreid.random_search import sampled  # deferred: loads torch

    return sampled(space, seed)


def read_data(campaign: Campaign) -> tuple[Plan, ImageIndex]:
    """The plan on the campaign's data, which must be there and fit; InputError where it does not."""
    from autoreid.data.source import open_index

    index = open_index(campaign.source)
    check_batches(campaign, index)
    return make_plan(campaign, fingerprint(index)), index


def check_batches(campaign: Campaign, index: ImageIndex) -> None:
    """InputError where a batch has more identities than it is drawn from, where a selection can take no mAP,
    or where a random search's budget is too small."""
    rows = index.rows("train")
    known = len(np.unique(index.identities[rows]))
    problems = Problems()
    for arm in campaign.arms:
        for kind, recipe in (("search", arm.search), ("train", arm.train)):
            if recipe is not None and recipe.batch.identities > known:
                place = arm.batch_places.get(kind, f"{kind}.batch.identities")
                message = f"{recipe.batch.identities}, but the training set has {known}. Use at most {known}."
                problems.add(place, message)
        if arm.select is not None and arm.select.rule == "retrain":
            _check_short(arm, "select", arm.select, known, problems)
        if arm.random is not None and arm.random.search is not None:
            _check_short(arm, "random.train", arm.random.search, known, problems)
            _check_budget(campaign, arm, arm.random.search, index, problems)
    compared = {
        "select": any(arm.select for arm in campaign.arms),
        "budget: search": any(arm.random and arm.random.search for arm in campaign.arms),
    }
    if any(compared.values()):
        seen = np.unique(np.stack([index.identities[rows], index.cameras[rows]], axis=1), axis=0)[:, 0]
        if len(seen) == known:
            named = " and ".join(f"'{key}'" for key, there in compared.items() if there)
            problems.add("data", f"no training identity was seen by two cameras: leave {named} out.")
    if problems.found:
        raise InputError(*dict.fromkeys(problems.found))


def _check_short(
    arm: Arm, kind: str, recipe: SelectRecipe | RandomSearchRecipe, known: int, problems: Problems
) -> None:
    """Whether the identities that short trainings keep fill a batch."""
    kept = known - share(known, recipe.fraction, "identities")
    wanted = recipe.train.batch.identities
    if wanted > kept:
        what = "selection" if kind == "select" else "random search"
        message = f"{wanted}, but a {what} trains on {kept} of {known}. Use at most {kept}."
        problems.add(arm.batch_places.get(kind, f"{kind}.batch.identities"), message)


def _check_budget(
    campaign: Campaign, arm: Arm, recipe: RandomSearchRecipe, index: ImageIndex, problems: Problems
) -> None:
    """Whether the budget of a random search gives every sample a batch in each of its epochs."""
    from autoreid.random_search import weight_images  # deferred: loads torch

    labels = np.unique(index.identities[index.rows("train")], return_inverse=True)[1]
    try:
        recipe.steps(weight_images(recipe, labels, campaign.protocol.seeds.split))
    except InputError as error:
        for problem in error.problems:
            problems.add(arm.batch_places.get("random", "samples"), problem.removeprefix("samples: "))
