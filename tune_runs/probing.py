"""What jobs take by a probe: a few of them in small, as many at once as in the launch, each part timed."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, quantiles
from typing import Any

from autoreid.cli import say
from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.costs import Estimate
from tune_runs.evidence import Questions
from tune_runs.launch import check_launch, decode_data
from tune_runs.planning import Plan
from tune_runs.rehearsing import rehearsal_plan, run_in_small
from tune_runs.resources import Allotment, Machine, this_machine
from tune_runs.signals import interruptible
from tune_runs.words import counted

STEPS, EPOCHS = 16, 2
SOURCE = f"a probe of {EPOCHS} times {STEPS} steps"
# What seconds cannot show of hours: a processor slows down when it is warm, and others work on it too.
CPU_MARGIN, GPU_MARGIN = 0.25, 0.1
# An evaluation is told by that of a sample: its fixed part is counted too often, its ranking not enough.
EVALUATION = 2.0


def probe(
    plan: Plan, jobs: Collection[str], *, storage: Storage | None = None, machine: Machine | None = None
) -> dict[str, Estimate]:
    """What these jobs of a plan take on this machine, by a probe of their arms and kinds, and of
    every size that a sweep asks for.

    It is made in a folder of the storage, or of this machine where there is none, that is removed afterwards.
    RunError with every arm that failed; InputError where this machine or the data do not fit, and where the
    `machine` that is planned for has GPUs and this one has none.
    """
    if machine is not None and machine.gpus and not this_machine().gpus:
        raise InputError(
            f"--probe: {counted(machine.gpus, 'GPU')} planned for, but this machine has none to measure. "
            "Probe on a machine with one, or leave --gpus out."
        )
    if storage is None:
        with tempfile.TemporaryDirectory(prefix="autoreid-") as folder:
            return probe(plan, jobs, storage=Storage(folder))
    with interruptible():
        allotment, found, indexes = check_launch(plan.campaign, say)
        if found.fingerprints != plan.fingerprints:
            raise InputError("data: the images have changed while they were planned on. Plan again.")
        decode_data(plan, indexes, say)
        return _probed(plan, jobs, storage, allotment, say)


def _probed(
    plan: Plan, jobs: Collection[str], storage: Storage, allotment: Allotment, write: Callable[[str], None]
) -> dict[str, Estimate]:
    from autoreid.rehearsal import rehearse_job  # deferred: loads torch

    plan = _by_size(plan)
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in plan.entries:
        groups.setdefault((entry.arm, entry.kind), []).append(entry.job)
    settled = plan.jobs.keys() - jobs
    arms = len({arm for (arm, _), members in groups.items() if not settled.issuperset(members)})
    # As many at once as in the launch: they share the memory's bandwidth, and the processor's clock.
    small = rehearsal_plan(plan, settled, each=-(-allotment.slots // max(arms, 1)))
    engine = functools.partial(rehearse_job, steps=STEPS, epochs=EPOCHS)
    estimates: dict[str, Estimate] = {}
    with run_in_small(small, storage, allotment, engine, write) as scratch:
        for members in groups.values():
            outcomes = [scratch.job(job).finished() for job in members if job in small.jobs]
            found = [outcome for finished in outcomes if finished for outcome in finished[1:]]
            left = [job for job in members if job in jobs and job not in estimates]
            if found and left:
                kept = max(sum(vouched["bytes"] for vouched in one.files.values()) for one in found)
                peak = max(one.facts["peak_memory_bytes"] for one in found)
                margin = GPU_MARGIN if allotment.gpus else CPU_MARGIN
                estimate = estimated([one.result["rehearsal"] for one in found], margin, peak, kept)
                estimates |= dict.fromkeys(left, estimate)
    return estimates


def _by_size(plan: Plan) -> Plan:
    """The plan with jobs of a sweep's points apart by their sizes, as if each size were an arm: what a small
    network takes says nothing of a large one."""
    questions = Questions(plan.jobs)
    asked = {job: questions.sized(job) for point in plan.points for job in point.jobs}
    numbers: dict[tuple[str, str], dict[str, int]] = {}
    entries = []
    for entry in plan.entries:
        if entry.job in asked:
            known = numbers.setdefault((entry.arm, entry.kind), {})
            number = known.setdefault(asked[entry.job], len(known) + 1)
            entry = replace(entry, arm=f"{entry.arm}, size {number}")
        entries.append(entry)
    return replace(plan, entries=tuple(entries))


def estimated(
    probes: Sequence[Mapping[str, Any]], margin: float, peak_memory_bytes: int, kept_bytes: int
) -> Estimate:
    """What a whole job takes by the parts of several that were rehearsed.

    The interval reaches from all steps as fast as the fastest tenth to all as slow as the slowest tenth, with
    a margin: what slows down a machine lasts longer than a probe.
    """
    from autoreid.rehearsal import predicted  # deferred: loads torch
    from autoreid.snapshots import KEPT

    def every(name: str) -> list[float]:
        return [value for one in probes for value in one[name]]

    def job(step: float, choose: Callable[[Sequence[float]], float], evaluation: float) -> float:
        parts = {name: [choose(every(name))] for name in ("rests_seconds", "pauses_seconds")}
        once = {
            name: choose([one[name] for one in probes]) for name in ("start_seconds", "evaluation_seconds")
        }
        once["evaluation_seconds"] *= evaluation
        return predicted({**probes[0], **parts, **once, "step_seconds": step})

    steps = every("steps_seconds")
    tenths = quantiles(steps, n=10, method="inclusive") if len(steps) > 1 else steps
    expected = job(fmean(steps), fmean, 1.0)
    low = min(job(tenths[0], min, 1 / EVALUATION), expected) / (1 + margin)
    high = max(job(tenths[-1], max, EVALUATION), expected) * (1 + margin)
    saved = KEPT * int(max(one["checkpoint_bytes"] for one in probes))
    return Estimate(low, expected, high, SOURCE, peak_memory_bytes, kept_bytes, saved)
