"""From a campaign to its jobs, in the order in which they are launched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autoreid.data.index import ImageIndex, fingerprint
from autoreid.errors import InputError
from autoreid.jobs import Job, JobKind, search_job, train_job
from tune_runs.arms import Arm
from tune_runs.campaign import Campaign

# Stands for the fingerprint where the data is not at hand: such a plan can be shown, not run.
NO_DATA = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell of the campaign: which job answers for this repeat of this arm."""

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

    Seed-major: repeat 0 of every arm comes first, so that a half-finished campaign is balanced.
    """
    entries: list[Entry] = []
    jobs: dict[str, Job] = {}
    for repeat in range(campaign.repeats):
        for arm in campaign.arms:
            for job in _jobs_of(arm, fingerprint, campaign.seed + repeat):
                job_id = job.id
                jobs.setdefault(job_id, job)
                entries.append(Entry(job_id, arm.name, repeat, job.kind, arm.network))
    return Plan(campaign, fingerprint, tuple(entries), jobs)


def read_data(campaign: Campaign) -> tuple[Plan, ImageIndex]:
    """The plan on the campaign's data, which must be there and fit; InputError where it does not."""
    from autoreid.data.source import open_index

    index = open_index(campaign.source)
    check_batches(campaign, index)
    return make_plan(campaign, fingerprint(index)), index


def check_batches(campaign: Campaign, index: ImageIndex) -> None:
    """InputError where a batch has more identities than the training set."""
    known = len(set(index.identities[index.rows("train")].tolist()))
    found: dict[tuple[str, str], None] = {}
    for arm in campaign.arms:
        for kind, recipe in (("search", arm.search), ("train", arm.train)):
            wanted = 0 if recipe is None else recipe.batch.identities
            if wanted > known:
                message = f"{wanted}, but the training set has {known}. Use at most {known}."
                found[arm.batch_places.get(kind, f"{kind}.batch.identities"), message] = None
    if found:
        raise InputError(*(f"{place}: {message}" for place, message in found))


def _jobs_of(arm: Arm, fingerprint: str, seed: int) -> Iterator[Job]:
    genotype = arm.genotype
    found: str | None = None
    if arm.search is not None:
        job = search_job(arm.search, fingerprint, split_seed=seed, search_seed=seed)
        found = job.id
        yield job
    given = found if genotype is None else genotype
    if arm.train is not None and given is not None:
        yield train_job(arm.train, fingerprint, given, train_seed=seed)
