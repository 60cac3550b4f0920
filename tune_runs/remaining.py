"""How much work a campaign has left, by what the epochs of its jobs have taken so far."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from tune_runs.standings import Planned, Standing, Task

OPEN = ("running", "started", "waiting")


@dataclass(frozen=True, slots=True)
class Remaining:
    """Work that is left: jobs that failed or are skipped are not counted.

    `seconds` is the time of all jobs one after the other, as far as it is known; of `unknown` jobs no epoch
    was measured, neither in their arm nor in another one. `wall_seconds` is the time with `at_once` jobs at
    once, and no less than the longest chain of jobs that need each other; None where nothing runs.
    """

    seconds: float
    unknown: int
    at_once: int
    wall_seconds: float | None

    def plain(self) -> dict[str, float | None]:
        return {
            "seconds": self.seconds,
            "unknown_jobs": self.unknown,
            "at_once": self.at_once,
            "wall_seconds": self.wall_seconds,
        }


def remaining(planned: Planned, standings: Mapping[str, Standing], at_once: int) -> Remaining:
    """What is left of a campaign of which so many jobs run at once."""
    pace = paces(planned, standings)
    left: dict[str, float | None] = {}
    for job_id, task in planned.tasks.items():
        standing = standings[job_id]
        if standing.state.status in OPEN:
            each = standing.epoch_seconds or pace.get((task.arm, task.kind)) or pace.get(("", task.kind))
            left[job_id] = None if each is None else max(task.epochs - standing.state.epochs, 0) * each

    @functools.cache
    def chain(job_id: str) -> float:
        return (left.get(job_id) or 0.0) + max(map(chain, planned.needs.get(job_id, ())), default=0.0)

    seconds = sum(value or 0.0 for value in left.values())
    wall = max([seconds / at_once, *map(chain, left)]) if at_once else None
    return Remaining(seconds, sum(value is None for value in left.values()), at_once, wall)


def paces(planned: Planned, standings: Mapping[str, Standing]) -> dict[tuple[str, str], float]:
    """The mean seconds of an epoch by arm and kind, and, under the arm "", by kind alone."""
    times: dict[tuple[str, str], list[float]] = {}
    for job_id, task in planned.tasks.items():
        seconds = standings[job_id].epoch_seconds
        if seconds is not None:
            times.setdefault((task.arm, task.kind), []).append(seconds)
            times.setdefault(("", task.kind), []).append(seconds)
    return {group: fmean(found) for group, found in times.items()}


def epochs_per_hour(tasks: Mapping[str, Task], standings: Mapping[str, Standing]) -> float | None:
    """How many epochs the jobs that run now do in an hour, together; None where none was measured."""
    times = [standings[job_id] for job_id in tasks if standings[job_id].state.status == "running"]
    rates = [3600 / standing.epoch_seconds for standing in times if standing.epoch_seconds]
    return sum(rates) if rates else None
