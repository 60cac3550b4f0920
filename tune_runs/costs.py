"""What the jobs of a plan that are left will cost: hours of computing, memory, disk, and time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autoreid.jobs import RECIPES, JobKind
from tune_runs.resources import Allotment
from tune_runs.words import counted, lasting, table

Plain = dict[str, Any]
# The ends of an interval, and what lies between them.
BOUNDS = ("low", "expected", "high")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one job takes: seconds with an interval, and what says so; `here` unless on another device.

    Bytes are those of its memory at most, of the files that stay, and of its checkpoints while it runs; None
    where they are not known.
    """

    low: float
    expected: float
    high: float
    source: str
    peak_memory_bytes: int | None = None
    kept_bytes: int | None = None
    checkpoint_bytes: int | None = None
    here: bool = True


@dataclass(frozen=True, slots=True)
class Left:
    """A job that is left: its kind, the jobs that it needs, and the share of it that is still to be done;
    whether it runs alone, with all of a machine."""

    kind: JobKind
    needs: tuple[str, ...]
    share: float = 1.0
    alone: bool = False


def device_hours(allotment: Allotment, seconds: float) -> float:
    """Hours of computing of one trial: of GPUs, or of CPUs where it has no GPU.

    >>> from autoreid.execution import Execution
    >>> device_hours(Allotment(4, 0.5, 2, Execution()), 7200)
    1.0
    >>> device_hours(Allotment(4, 0, 2, Execution()), 900)
    1.0
    """
    return (allotment.gpus or allotment.cpus) * seconds / 3600


def unit(allotment: Allotment) -> str:
    return "GPU-hours" if allotment.gpus else "CPU-hours"


def wall_seconds(jobs: Mapping[str, Left], seconds: Mapping[str, float], slots: int) -> float:
    """How long jobs take, in their order, each as soon as a slot is free and those that it needs are done.

    Jobs without a time take none; needed jobs that are not among `jobs` are done.

    >>> jobs = {"a": Left("search", ()), "b": Left("train", ("a",)), "c": Left("search", ())}
    >>> [wall_seconds(jobs, {"a": 3, "b": 2, "c": 4}, slots) for slots in (1, 2, 9)]
    [9.0, 5.0, 5.0]
    """
    missing = {job_id: sum(needed in jobs for needed in job.needs) for job_id, job in jobs.items()}
    dependants: dict[str, list[str]] = {}
    for job_id, job in jobs.items():
        for needed in job.needs:
            dependants.setdefault(needed, []).append(job_id)
    order = {job_id: place for place, job_id in enumerate(jobs)}
    ready = [order[job_id] for job_id, count in missing.items() if not count]
    names, now = list(jobs), 0.0
    running: list[tuple[float, str]] = []
    while ready or running:
        while ready and len(running) < slots:
            job_id = names[heapq.heappop(ready)]
            heapq.heappush(running, (now + seconds.get(job_id, 0.0), job_id))
        now, ended = heapq.heappop(running)
        for other in dependants.get(ended, ()):
            missing[other] -= 1
            if not missing[other]:
                heapq.heappush(ready, order[other])
    return now


def costs_plain(jobs: Mapping[str, Left], estimates: Mapping[str, Estimate], allotment: Allotment) -> Plain:
    """The costs of the jobs that are left, as JSON values: by kind, and in total of those that are known.

    Ends of intervals are added: a slow machine is slow for all jobs.
    """
    known = {job_id: estimates[job_id] for job_id in jobs if job_id in estimates}
    kinds = [kind for kind in RECIPES if any(job.kind == kind for job in jobs.values())]

    def wall(bound: str) -> float:
        seconds = {job_id: jobs[job_id].share * getattr(found, bound) for job_id, found in known.items()}
        others = {job_id: job for job_id, job in jobs.items() if not job.alone}
        after = sum(seconds.get(job_id, 0.0) for job_id, job in jobs.items() if job.alone)
        return wall_seconds(others, seconds, allotment.slots) + after

    return {
        "unit": unit(allotment),
        "slots": allotment.slots,
        "kinds": [{"kind": kind, **_total(jobs, estimates, allotment, kind)} for kind in kinds],
        "total": _total(jobs, estimates, allotment),
        "wall_seconds": {bound: wall(bound) for bound in BOUNDS} if known else None,
        "sources": list(dict.fromkeys(found.source for found in known.values())),
    }


def _total(
    jobs: Mapping[str, Left], estimates: Mapping[str, Estimate], allotment: Allotment, kind: str | None = None
) -> Plain:
    chosen = [job_id for job_id, job in jobs.items() if kind in (None, job.kind)]
    found = [
        (jobs[job_id].share * (_whole(allotment) if jobs[job_id].alone else 1), estimates[job_id])
        for job_id in chosen
        if job_id in estimates
    ]
    hours = {
        bound: sum(device_hours(allotment, share * getattr(estimate, bound)) for share, estimate in found)
        for bound in BOUNDS
    }
    checkpoint = _most(estimate.checkpoint_bytes for _, estimate in found)
    kept = [estimate.kept_bytes for _, estimate in found if estimate.kept_bytes is not None]
    at_once = min(allotment.slots, len(found))
    return {
        "jobs": len(chosen),
        "unknown": len(chosen) - len(found),
        "hours": hours if found else None,
        "peak_memory_bytes": _most(estimate.peak_memory_bytes for _, estimate in found),
        "kept_bytes": sum(kept) if kept else None,
        "checkpoint_bytes": None if checkpoint is None else checkpoint * at_once,
    }


def _whole(allotment: Allotment) -> float:
    """How much more of its device a job has that runs alone."""
    if allotment.gpus:
        return math.ceil(allotment.gpus) / allotment.gpus
    return max(allotment.node_cpus / allotment.cpus, 1.0)


def _most(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def costs_lines(plain: Plain, names: Mapping[JobKind, tuple[str, str]]) -> list[str]:
    """Costs for people; `names` are the words for one job of a kind, and for several."""
    total = plain["total"]
    if not total["jobs"]:
        return ["cost: nothing is left to run"]
    lines = [] if total["hours"] is None else [*_known(plain, names)]
    if total["unknown"]:
        counts = {kind["kind"]: kind["unknown"] for kind in plain["kinds"] if kind["unknown"]}
        jobs = ", ".join(counted(count, *names[kind]) for kind, count in counts.items())
        lines += [f"cost not known of {jobs}: no job like them is in the storage. --probe measures them."]
    return lines


def _known(plain: Plain, names: Mapping[JobKind, tuple[str, str]]) -> Iterable[str]:
    yield f"cost of what is left, from {'; '.join(plain['sources'])}:"
    known = [found for found in plain["kinds"] if found["hours"] is not None]
    rows = [_row(counted(found["jobs"] - found["unknown"], *names[found["kind"]]), found) for found in known]
    rows += [_row("in total", plain["total"])]
    yield from table(("jobs", plain["unit"], "memory of one", "files", "checkpoints"), rows)
    wall = plain["wall_seconds"]
    low, expected, high = (lasting(wall[bound]) for bound in BOUNDS)
    yield f"time: {expected} ({low} to {high}) with {plain['slots']} at once, beside the start of processes"


def _row(words: str, found: Plain) -> tuple[str, ...]:
    sizes = (found[name] for name in ("peak_memory_bytes", "kept_bytes", "checkpoint_bytes"))
    return (words, _hours(found["hours"]), *map(_size, sizes))


def _hours(hours: Mapping[str, float]) -> str:
    """
    >>> _hours({"low": 0.95, "expected": 1.0, "high": 12.34})
    '1 (0.95 to 12.3)'
    """
    low, expected, high = (f"{hours[bound]:.3g}" for bound in BOUNDS)
    return f"{expected} ({low} to {high})"


def _size(size: int | None) -> str:
    """
    >>> _size(3 * 2**30), _size(5000), _size(None)
    ('3.0 GiB', '0.0 MiB', '-')
    """
    if size is None:
        return "-"
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"
