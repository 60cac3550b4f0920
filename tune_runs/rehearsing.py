"""A rehearsal of a campaign: one job of every arm and kind in small, and what the campaign will cost."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from autoreid.cli import say
from autoreid.errors import InterruptionError, RunError
from autoreid.storage import Storage
from tune_runs.campaign import Campaign
from tune_runs.context import Engine
from tune_runs.foresight import unswept
from tune_runs.launch import check_launch, decode_data, run_plan
from tune_runs.planning import Plan
from tune_runs.progress import silent
from tune_runs.resources import Allotment
from tune_runs.signals import interruptible
from tune_runs.states import states_of
from tune_runs.words import counted, lasting, table


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the jobs of one arm and kind take: how many are left, seconds of a step and of a whole job, and
    the peak memory of the rehearsal."""

    arm: str
    kind: str
    left: int
    step_seconds: float
    job_seconds: float
    peak_memory_bytes: int

    def plain(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def rehearsal_plan(plan: Plan, settled: Container[str] = (), each: int = 1) -> Plan:
    """The first jobs, `each` of them, of every arm and kind that has jobs left beside `settled`, and the jobs
    that these need; nothing is tried again."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in plan.entries:
        groups.setdefault((entry.arm, entry.kind), []).append(entry.job)
    left = [jobs for jobs in groups.values() if any(job not in settled for job in jobs)]
    wanted = {job for jobs in left for job in jobs[:each]}
    for job_id, job in reversed(plan.jobs.items()):  # a job stands after those that it needs
        if job_id in wanted:
            wanted.update(job.needs)
    campaign = plan.campaign
    once = dataclasses.replace(campaign, placement=dataclasses.replace(campaign.placement, retries=0))
    entries = tuple(entry for entry in plan.entries if entry.job in wanted)
    jobs = {job_id: job for job_id, job in plan.jobs.items() if job_id in wanted}
    return dataclasses.replace(plan, campaign=once, entries=entries, jobs=jobs)


def rehearse(
    plan: Plan, storage: Storage, allotment: Allotment, write: Callable[[str], None]
) -> list[Forecast]:
    """Rehearse a campaign on this machine, in a folder of the storage that is removed afterwards.

    RunError with every arm that failed; InterruptionError where a signal ended it.
    """
    from autoreid.rehearsal import rehearse_job  # deferred: loads torch

    plan = unswept(plan)
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    settled = {job_id for job_id, state in states.items() if state.status == "done"}
    settled |= storage.cancelled(plan.campaign.name)
    small = rehearsal_plan(plan, settled)
    with run_in_small(small, storage, allotment, rehearse_job, write) as scratch:
        return list(_forecasts(plan, settled, scratch))


def rehearse_campaign(
    campaign: Campaign, storage: Storage, *, quiet: bool = False
) -> tuple[list[Forecast], Allotment]:
    """Rehearse a campaign as it would be launched now; InputError before anything starts."""
    write = silent if quiet else say
    storage.check()
    with interruptible():
        allotment, plan, indexes = check_launch(campaign, write)
        plan = unswept(plan)
        decode_data(plan, indexes, write)
        return rehearse(plan, storage, allotment, write), allotment


def rehearsed(plan: Plan, storage: Storage, allotment: Allotment, write: Callable[[str], None]) -> None:
    """Rehearse a plan before it is run, and say what it will cost."""
    write(forecast_text(rehearse(plan, storage, allotment, write), allotment))


@contextmanager
def run_in_small(
    small: Plan, storage: Storage, allotment: Allotment, engine: Engine, write: Callable[[str], None]
) -> Iterator[Storage]:
    """A part of the storage in which all jobs of a plan were rehearsed; it is removed afterwards.

    RunError with every arm that failed; InterruptionError where a signal ended it.
    """
    place = f"rehearsals/{small.campaign.name}-{uuid.uuid4().hex[:8]}"
    folder = storage.folder.child(place)
    try:
        scratch = Storage(folder)
        summary = run_plan(small, scratch, allotment, engine, lambda line: write(f"rehearsal: {line}"))
        if summary.unfinished and summary.left_out:
            lines = (f"rehearsal: {node} is left out: {why}" for node, why in summary.left_out.items())
            raise RunError("\n".join([*lines, "Nothing of the campaign was run."]))
        if summary.unfinished:
            raise InterruptionError("the rehearsal was stopped; nothing of the campaign was run.")
        if summary.failed:
            arms = {entry.job: f"{entry.kind} {entry.arm}" for entry in reversed(small.entries)}
            failed = (f"rehearsal: {arms[job]}: {error}" for job, error in summary.failed.items())
            raise RunError("\n".join([*failed, "Nothing of the campaign was run."]))
        yield scratch
    finally:
        for file in folder.sizes():
            storage.folder.remove(f"{place}/{file}")


def _forecasts(plan: Plan, settled: Container[str], scratch: Storage) -> Iterator[Forecast]:
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in plan.entries:
        groups.setdefault((entry.arm, entry.kind), []).append(entry.job)
    counted_jobs: set[str] = set()
    for (arm, kind), jobs in groups.items():
        if all(job in settled for job in jobs):
            continue
        finished = scratch.job(jobs[0]).finished()
        assert finished is not None
        found = finished[1].result["rehearsal"]
        # A job that several arms share is counted with the first of them.
        left = [job for job in jobs if job not in settled and job not in counted_jobs]
        counted_jobs.update(jobs)
        peak = finished[1].facts["peak_memory_bytes"]
        yield Forecast(arm, kind, len(left), found["step_seconds"], found["predicted_seconds"], peak)


def total_seconds(forecasts: list[Forecast]) -> float:
    """Of all jobs that are left, one after the other."""
    return sum(found.left * found.job_seconds for found in forecasts)


def forecast_text(forecasts: list[Forecast], allotment: Allotment) -> str:
    """A forecast for people."""
    rows = [
        (
            found.arm,
            found.kind,
            str(found.left),
            f"{found.step_seconds:.3f} s" if found.step_seconds else "-",
            lasting(found.job_seconds),
            f"{found.peak_memory_bytes / 2**30:.1f} GiB",
        )
        for found in forecasts
    ]
    head = ("arm", "kind", "jobs left", "a step", "a job", "memory")
    seconds = total_seconds(forecasts)
    jobs = counted(sum(found.left for found in forecasts), "job")
    together = f"about {lasting(seconds)} one after the other, {lasting(seconds / allotment.slots)} with"
    last = f"{jobs} left: {together} {allotment}, beside the start of processes"
    return "\n".join([*table(head, rows), last])
