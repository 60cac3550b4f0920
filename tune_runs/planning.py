"""From a campaign to its jobs, in the order in which they are launched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autoreid.data.index import ImageIndex, fingerprint
from autoreid.data.splits import share
from autoreid.errors import InputError, Problems
from autoreid.jobs import Job, JobKind, search_job, select_job, train_job
from search_spaces.genotype import Genotype
from tune_runs.arms import Arm
from tune_runs.campaign import Campaign

# Stands for the fingerprint where the data is not at hand: such a plan can be shown, not run.
NO_DATA = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell of the campaign: which job answers for this repeat of this arm.

    An arm has one selection, which is of repeat 0; where the best genotype alone is trained, the repeats of
    the trainings count these.
    """

    job: str
    arm: str
    repeat: int
    kind: JobKind
    network: str | None = None

    def plain(self) -> dict[str, str | int]:
        """The entry as JSON values; `network` is there where the arm names the network it trains."""
        plain: dict[str, str | int] = {
            "job": self.job,
            "arm": self.arm,
            "repeat": self.repeat,
            "kind": self.kind,
        }
        return plain if self.network is None else plain | {"network": self.network}


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
        entries.setdefault((arm.name, job_id), Entry(job_id, arm.name, repeat, job.kind, arm.network))
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
            if protocol.trained == "each" and arm.train is not None and given is not None:
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


def read_data(campaign: Campaign) -> tuple[Plan, ImageIndex]:
    """The plan on the campaign's data, which must be there and fit; InputError where it does not."""
    from autoreid.data.source import open_index

    index = open_index(campaign.source)
    check_batches(campaign, index)
    return make_plan(campaign, fingerprint(index)), index


def check_batches(campaign: Campaign, index: ImageIndex) -> None:
    """InputError where a batch has more identities than it is drawn from, or a selection can take no mAP."""
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
            kept = known - share(known, arm.select.fraction, "identities")
            wanted = arm.select.train.batch.identities
            if wanted > kept:
                message = f"{wanted}, but a selection trains on {kept} of {known}. Use at most {kept}."
                problems.add(arm.batch_places.get("select", "select.train.batch.identities"), message)
    if any(arm.select for arm in campaign.arms):
        seen = np.unique(np.stack([index.identities[rows], index.cameras[rows]], axis=1), axis=0)[:, 0]
        if len(seen) == known:
            problems.add("data", "no training identity was seen by two cameras: leave 'select' out.")
    if problems.found:
        raise InputError(*dict.fromkeys(problems.found))
