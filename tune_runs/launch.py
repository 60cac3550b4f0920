"""Launching a campaign: prepare the data, write the manifest, run what is unfinished in one Tune run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from autoreid.cli import DONE, FAILED, INTERRUPTED, say
from autoreid.data.index import ImageIndex
from autoreid.errors import Problems
from autoreid.storage import Storage
from tune_runs.campaign import Campaign
from tune_runs.context import Context, Engine
from tune_runs.manifest import save_manifest
from tune_runs.planning import Plan, make_plan
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
        allotment = allot(campaign.execution, campaign.placement, this_machine())
        plan = prepare(campaign)
        change = str(save_manifest(storage, plan))
        if change:
            write(f"{campaign.name}: {change}")
        return run_plan(plan, storage, allotment, run_job, write)


def prepare(campaign: Campaign) -> Plan:
    """Open the data set, plan its jobs, check that they fit it, and decode it once for all trials."""
    from autoreid.data.arrays import decode
    from autoreid.data.index import fingerprint
    from autoreid.data.source import open_index

    index = open_index(campaign.source)
    plan = make_plan(campaign, fingerprint(index))
    _check_batches(plan, index)
    for height, width in sorted({(job.recipe.height, job.recipe.width) for job in plan.jobs.values()}):
        decode(index, height, width, fingerprint_hex=plan.fingerprint)
    return plan


def _check_batches(plan: Plan, index: ImageIndex) -> None:
    """InputError where a batch has more identities than the training set."""
    known = len(set(index.identities[index.rows("train")].tolist()))
    problems = Problems()
    for arm in plan.campaign.arms:
        for kind, recipe in (("search", arm.search), ("train", arm.train)):
            wanted = 0 if recipe is None else recipe.batch.identities
            if wanted > known:
                place = f"arm {arm.name!r}: {kind}.batch.identities"
                problems.add(place, f"{wanted}, but the training set has {known}. Use at most {known}.")
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

        for job_id in releases.unfinished:
            storage.job(job_id).describe(plan.jobs[job_id].plain())
        write(f"{plan.campaign.name}: {len(releases.unfinished)} of {len(needs)} jobs to run; {allotment}")
        context = Context(storage, plan.campaign.source, allotment.execution, engine)
        progress = Progress(plan, done=len(done), write=write)
        tune_jobs(releases, context, allotment, progress)
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
