"""Launching a campaign: prepare the data, write the manifest, run what is unfinished in one Tune run."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autoreid.cli import DONE, FAILED, INTERRUPTED, say
from autoreid.data.source import default_cache
from autoreid.errors import InputError, Problems
from autoreid.leases import Lease
from autoreid.storage import Storage
from tune_runs.alone import alone
from tune_runs.budget import check_budget, spending_limit
from tune_runs.campaign import Campaign
from tune_runs.context import Context, Engine
from tune_runs.descriptions import description_problems
from tune_runs.dispatch import Dispatch
from tune_runs.foresight import foreseen
from tune_runs.joining import find_cluster
from tune_runs.manifest import save_manifest
from tune_runs.memory import check_memory
from tune_runs.nodes import Nodes
from tune_runs.opening import Indexes, read_data
from tune_runs.packages import imported_packages
from tune_runs.planning import Plan
from tune_runs.processes import descendants
from tune_runs.progress import Progress, silent
from tune_runs.releases import Releases
from tune_runs.resources import Allotment, Cluster, allot, this_machine
from tune_runs.signals import Stop, end_by_force, interruptible, time_limit
from tune_runs.site import StorageSite, ask_below
from tune_runs.states import State, states_of
from tune_runs.sweeping import Sweeping, continued
from tune_runs.teachers import provide_teachers
from tune_runs.weights import provide_weights


@dataclass(frozen=True, slots=True)
class Summary:
    """How a launch ended. `ran` jobs were finished by it, `reused` were done before, `elsewhere` meanwhile by
    another launch; `given_up` are those of pruned points. `left_out` says by name why nodes were left out."""

    campaign: str
    jobs: int
    ran: int
    reused: int
    elsewhere: int = 0
    given_up: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
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
            "elsewhere": self.elsewhere,
            "given_up": self.given_up,
            "failed": self.failed,
            "skipped": self.skipped,
            "unfinished": list(self.unfinished),
            "left_out": self.left_out,
            "wall_seconds": self.wall_seconds,
            "exit_code": self.exit_code,
        }

    def text(self) -> str:
        parts = [f"{self.ran} finished now", f"{self.reused} done before"]
        parts += [f"{self.elsewhere} done by another launch"] if self.elsewhere else []
        parts += [f"{self.given_up} given up"] if self.given_up else []
        for count, word in (
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.unfinished, "unfinished"),
        ):
            parts += [f"{len(count)} {word}"] if count else []
        if self.reused == self.jobs:
            return f"{self.campaign}: all {self.jobs} jobs are done already; nothing was run."
        again = "" if self.exit_code == DONE else " Run the same command again to continue."
        return f"{self.campaign}: {self.jobs} jobs, {', '.join(parts)}, {self.wall_seconds:.0f} s.{again}"


# What is done with a plan before it is run, such as a rehearsal; it takes lines for people as well.
Before = Callable[[Plan, Storage, Allotment, Callable[[str], None]], None]


def launch(
    campaign: Campaign,
    storage: Storage,
    *,
    quiet: bool = False,
    max_hours: float | None = None,
    max_device_hours: float | None = None,
    before: Before | None = None,
    address: str | None = None,
) -> Summary:
    """Run the campaign's unfinished jobs on this machine, or on the Ray cluster at an address; InputError
    before anything starts.

    `max_hours` are those of a clock; `max_device_hours` those of all GPUs together, or of all CPUs where jobs
    get no GPU.
    """
    write = silent if quiet else say
    storage.check()
    storage.check_writable()
    with interruptible(), time_limit(max_hours, write):
        from autoreid.running import run_job  # deferred: loads torch

        cluster = None if address is None else find_cluster(address, storage, _folders(campaign), write)
        allotment, plan, indexes = check_launch(campaign, write, cluster)
        with alone(campaign, storage):
            plan = continued(plan, storage)
            whole = foreseen(plan)
            if max_device_hours is not None:
                check_budget(whole, storage, allotment, max_device_hours, write)
            check_memory(whole, storage, allotment)
            provide_weights(whole, storage.folder)
            provide_teachers(whole, storage.folder)
            decode_data(whole, indexes, write)
            if before is not None:
                before(plan, storage, allotment, write)
            change = str(save_manifest(storage, plan))
            if change:
                write(f"{campaign.name}: {change}")
            return run_plan(plan, storage, allotment, run_job, write, max_device_hours)


def check_launch(
    campaign: Campaign, write: Callable[[str], None], cluster: Cluster | None = None
) -> tuple[Allotment, Plan, Indexes]:
    """What a launch starts from. InputError holds what is wrong with the machine and with the data."""
    problems = Problems()
    allotment = found = None
    try:
        allotment = allot(campaign.execution, campaign.placement, cluster or this_machine())
    except InputError as error:
        problems.extend(error.problems)
    try:
        if allotment is not None:
            names = [*campaign.sets, *([campaign.classes.set] if campaign.classes else [])]
            sets = "sets" if len(names) > 1 else "set"
            write(f"{campaign.name}: reading the data {sets} {', '.join(names)}")
        found = read_data(campaign)
    except InputError as error:
        problems.extend(error.problems)
    if allotment is None or found is None:
        raise InputError(*problems.found)
    return (allotment, *found)


def _folders(campaign: Campaign) -> list[str]:
    """The folders of its data."""
    return [source.root for source in (*campaign.sets.values(), campaign.classes) if source and source.root]


def decode_data(plan: Plan, indexes: Indexes, write: Callable[[str], None]) -> None:
    """Decode the data sets once for all trials, each in every size that is used of it."""
    from autoreid.data.arrays import decode

    for name, digest in plan.fingerprints.items():
        index, whose = indexes[name], f" of {name}" if plan.others else ""
        sizes = {job.size for job in plan.jobs.values() if job.data == digest and job.size}
        for height, width in sorted(sizes):
            write(f"{plan.campaign.name}: {len(index)} images{whose} at {height} x {width}")
            decode(index, height, width, default_cache(), digest)


def run_plan(
    plan: Plan,
    storage: Storage,
    allotment: Allotment,
    engine: Engine,
    write: Callable[[str], None] = say,
    max_device_hours: float | None = None,
) -> Summary:
    """Run the unfinished jobs of a plan; no Ray is started where there are none.

    It is stopped in order when its trials have held their devices for so many hours together.
    """
    begin = time.monotonic()
    campaign = plan.campaign
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    problems = description_problems(storage, states)
    if problems:
        raise InputError(*problems)
    provide_weights(plan, storage.folder)
    provide_teachers(plan, storage.folder)
    stop = Stop(functools.partial(end_by_force, set(descendants())))
    dispatch = _dispatch(plan, storage, states, allotment, stop, write)
    if not dispatch.releases.unfinished:
        dispatch.grow()
    left = len(dispatch.releases.unfinished)
    if not dispatch.over:
        from tune_runs.tuning import tune_jobs  # deferred: loads Ray

        write(f"{campaign.name}: {left} of {len(dispatch.releases.needs)} jobs to run; {allotment}")
        cache = default_cache().absolute()
        packages, execution = imported_packages(), allotment.execution
        context = Context(storage, plan.sources, execution, engine, cache, packages, allotment.alone)
        running = dispatch.releases.running
        with spending_limit(max_device_hours, allotment, lambda: len(running), write):
            tune_jobs(dispatch, context, allotment, stop, reuse_processes=campaign.placement.reuse_processes)
    reused = sum(state.status == "done" for state in states.values()) + dispatch.reused
    return _summary(campaign.name, dispatch, reused, time.monotonic() - begin)


def _dispatch(
    plan: Plan,
    storage: Storage,
    states: Mapping[str, State],
    allotment: Allotment,
    stop: Stop,
    write: Callable[[str], None],
) -> Dispatch:
    """The dispatch of a plan, by what is known of its jobs before anything is run."""
    needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
    done = {job_id for job_id, state in states.items() if state.status == "done"}
    site = StorageSite(storage, plan, _asking(allotment))
    progress = Progress(plan, done=len(done), write=write)

    def grown(plan: Plan) -> None:
        site.plan = plan
        progress.follow(plan)

    dispatch = Dispatch(
        Releases(needs, done),
        site,
        progress,
        slots=allotment.slots,
        retries=plan.campaign.placement.retries,
        supply=Sweeping(plan, storage, grown, write) if plan.campaign.sweep else None,
        nodes=Nodes.of(allotment),
        stopping=lambda: stop.asked > 0,
        alone=(job_id for job_id, job in plan.jobs.items() if job.alone),
    )
    dispatch.take(states, storage.cancelled(plan.campaign.name))
    return dispatch


def _asking(allotment: Allotment) -> Callable[[Iterable[Lease]], None]:
    """How processes that hold leases are asked to stop: below this one, or on the nodes of a cluster."""
    if allotment.cluster is None:
        return ask_below

    @functools.cache
    def signals() -> Callable[[Iterable[Lease]], None]:
        from tune_runs.cluster import Signals  # deferred: loads Ray

        return Signals()

    return lambda leases: signals()(leases)


def _summary(name: str, dispatch: Dispatch, reused: int, seconds: float) -> Summary:
    releases, elsewhere = dispatch.releases, len(dispatch.elsewhere)
    return Summary(
        campaign=name,
        jobs=len(releases.needs),
        ran=len(releases.done) - reused - elsewhere,
        reused=reused,
        elsewhere=elsewhere,
        given_up=len(releases.given_up),
        failed=releases.failed | ({"sweep": dispatch.refused} if dispatch.refused else {}),
        skipped=releases.skipped,
        unfinished=tuple(releases.unfinished),
        left_out={dispatch.nodes.name(node): why for node, why in dispatch.nodes.left_out.items()},
        wall_seconds=seconds,
    )
