"""Launching a campaign: prepare the data, write the manifest, run what is unfinished in one Tune run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from autoreid.cli import DONE, FAILED, INTERRUPTED, say
from autoreid.data.index import ImageIndex
from autoreid.data.source import default_cache
from autoreid.errors import InputError, Problems
from autoreid.folders import read_json
from autoreid.jobs import Job
from autoreid.storage import Storage
from tune_runs.campaign import Campaign
from tune_runs.context import Context, Engine
from tune_runs.manifest import save_manifest
from tune_runs.planning import Plan, read_data
from tune_runs.progress import Progress, silent
from tune_runs.releases import Releases
from tune_runs.resources import Allotment, allot, this_machine
from tune_runs.signals import interruptible
from tune_runs.states import state_of


@dataclass(frozen=True, slots=True)
class Summary:
    """How a launch ended. `ran` jobs were finished by it, `reused` were done before."""

    campaign: str
    jobs: int
    ran: int
    reused: int
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    wall_seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 all done, 75 interrupted, 1 some jobs failed for good."""
        if self.unfinished:
            return INTERRUPTED
        return FAILED if self.failed or self.skipped else DONE

    def plain(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "jobs": self.jobs,
            "ran": self.ran,
            "reused": self.reused,
            "failed": self.failed,
            "skipped": self.skipped,
            "unfinished": list(self.unfinished),
            "wall_seconds": self.wall_seconds,
            "exit_code": self.exit_code,
        }

    def text(self) -> str:
        parts = [f"{self.ran} finished now", f"{self.reused} done before"]
        for count, word in (
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.unfinished, "unfinished"),
        ):
            parts += [f"{len(count)} {word}"] if count else []
        if not self.ran and self.exit_code == DONE:
            return f"{self.campaign}: all {self.jobs} jobs are done already; nothing was run."
        again = "" if self.exit_code == DONE else " Run the same command again to continue."
        return f"{self.campaign}: {self.jobs} jobs, {', '.join(parts)}, {self.wall_seconds:.0f} s.{again}"


def launch(campaign: Campaign, storage: Storage, *, quiet: bool = False) -> Summary:
    """Run the campaign's unfinished jobs on this machine; InputError before anything starts."""
    from autoreid.running import run_job  # deferred: loads torch

    write = silent if quiet else say
    with interruptible():
        allotment, plan, index = _check(campaign, write)
        decode_data(plan, index, write)
        change = str(save_manifest(storage, plan))
        if change:
            write(f"{campaign.name}: {change}")
        return run_plan(plan, storage, allotment, run_job, write)


def _check(campaign: Campaign, write: Callable[[str], None]) -> tuple[Allotment, Plan, ImageIndex]:
    """What a launch starts from. InputError holds what is wrong with the machine and with the data."""
    problems = Problems()
    allotment = found = None
    try:
        allotment = allot(campaign.execution, campaign.placement, this_machine())
    except InputError as error:
        problems.extend(error.problems)
    try:
        if allotment is not None:
            write(f"{campaign.name}: reading the data set {campaign.source.set}")
        found = read_data(campaign)
    except InputError as error:
        problems.extend(error.problems)
    if allotment is None or found is None:
        raise InputError(*problems.found)
    return (allotment, *found)


def decode_data(plan: Plan, index: ImageIndex, write: Callable[[str], None]) -> None:
    """Decode the data once for all trials, in every size that is used."""
    from autoreid.data.arrays import decode

    for height, width in sorted({job.size for job in plan.jobs.values() if job.size}):
        write(f"{plan.campaign.name}: {len(index)} images at {height} x {width}")
        decode(index, height, width, default_cache(), plan.fingerprint)


def _describe(plan: Plan, storage: Storage, jobs: Iterable[str]) -> None:
    """Write the description of every job that has none; InputError where one is damaged."""
    problems = Problems()
    for job_id in jobs:
        job = storage.job(job_id)
        job.describe(plan.jobs[job_id].plain())
        place = f"{job.folder}/job.json"
        try:
            found = Job.from_plain(read_json(job.folder, "job.json"), place).id
        except InputError as error:
            problems.extend(error.problems)
            continue
        if found != job_id:
            problems.add(place, f"describes job {found}. Remove the file.")
    problems.raise_if_any()


def run_plan(
    plan: Plan,
    storage: Storage,
    allotment: Allotment,
    engine: Engine,
    write: Callable[[str], None] = say,
) -> Summary:
    """Run the unfinished jobs of a plan; no Ray is started where there are none."""
    begin = time.monotonic()
    needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
    done = {job_id for job_id in needs if state_of(storage.job(job_id)).status == "done"}
    releases = Releases(needs, done)
    if releases.unfinished:
        from tune_runs.tuning import tune_jobs  # deferred: loads Ray

        _describe(plan, storage, releases.unfinished)
        write(f"{plan.campaign.name}: {len(releases.unfinished)} of {len(needs)} jobs to run; {allotment}")
        context = Context(
            storage, plan.campaign.source, allotment.execution, engine, default_cache().absolute()
        )
        progress = Progress(plan, done=len(done), write=write)
        reuse = plan.campaign.placement.reuse_processes
        tune_jobs(releases, context, allotment, progress, reuse_processes=reuse)
    return Summary(
        campaign=plan.campaign.name,
        jobs=len(needs),
        ran=len(releases.done) - len(done),
        reused=len(done),
        failed=releases.failed,
        skipped=releases.skipped,
        unfinished=tuple(releases.unfinished),
        wall_seconds=time.monotonic() - begin,
    )
