"""What each arm cost: its own jobs, those that it starts from, and the settings that were tried for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records, Section
from analysis.results import KINDS
from analysis.words import NOTHING

# Where a phase of a job of one's own is counted, by kind of job and phase; `other` goes with the job.
SEARCHING = ("search", "random-search")
PARTS = (
    "tuning",
    "search",
    "selection",
    "from other jobs",
    "training",
    "evaluation",
    "failed",
    "interrupted",
)
HOUR = 3600.0

NOTE = (
    "Time multiplied by the GPUs that a job held, or by CPU threads where it had none. Tuning: points of a "
    "sweep that the trainings do not use. From other jobs: teachers, pretrainings and searches of other "
    "arms, in full for every arm that starts from them. Per result: all of it over the finished trainings, "
    "what is shared in full. What failed or interrupted attempts took is the arm's too."
)


@dataclass(frozen=True, slots=True)
class ArmCost:
    """Device-seconds of an arm by part, and how many trainings came of them."""

    seconds: dict[str, float]
    results: int

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @property
    def per_result(self) -> float | None:
        """Device-seconds for one finished training; what is shared counts in full."""
        if not self.results:
            return None
        shared = self.seconds["from other jobs"]
        return (self.total - shared) / self.results + shared


def unit(records: Records) -> str:
    """`GPU-hours`, `CPU-hours`, or `device-hours` where jobs ran on both."""
    kinds = set(records.costs["device_kind"].dropna())
    return {("cuda",): "GPU-hours", ("cpu",): "CPU-hours"}.get(tuple(sorted(kinds)), "device-hours")


def _inputs(records: Records) -> dict[str, tuple[str, ...]]:
    """The jobs that each job starts from."""
    found: dict[str, tuple[str, ...]] = {}
    for job, text in zip(records.trials["job"], records.trials["inputs"], strict=True):
        given = json.loads(text) if isinstance(text, str) else {}
        several = given.get("jobs")
        named = [
            *(several if isinstance(several, list) else ()),
            *map(given.get, ("job", "pretraining", "teacher")),
        ]
        found[job] = tuple(one for one in named if isinstance(one, str))
    return found


def _closure(jobs: Iterable[str], inputs: dict[str, tuple[str, ...]]) -> set[str]:
    """These jobs and all that they start from."""
    found: set[str] = set()
    waiting = list(jobs)
    while waiting:
        job = waiting.pop()
        if job not in found:
            found.add(job)
            waiting += inputs.get(job, ())
    return found


def arm_costs(records: Records) -> dict[str, ArmCost]:
    """The cost of every arm that trains; a job that it shares counts in full."""
    inputs = _inputs(records)
    costs = records.costs.drop_duplicates(["job", "phase"])
    tried = {job for text in records.points["jobs"] for job in json.loads(text)}
    found = {}
    for arm in records.arms_with("train"):
        mine = records.trials[records.trials["arm"] == arm]
        trained = mine[mine["kind"] == "train"]["job"]
        own, needed = set(mine["job"]), _closure(trained, inputs)
        rows = costs[costs["job"].isin(own | needed)]
        keys = zip(rows["kind"], rows["phase"], rows["job"], strict=True)
        part = [_part(kind, phase, job, own, tried - needed) for kind, phase, job in keys]
        sums = rows["device_seconds"].groupby(pd.Series(part, index=rows.index, dtype=object)).sum()
        done = int((mine[mine["kind"] == "train"]["status"] == "done").sum())
        found[arm] = ArmCost({name: float(sums.get(name, 0.0)) for name in PARTS}, done)
    return found


def _part(kind: str, phase: str, job: str, own: set[str], tuning: set[str]) -> str:
    if job not in own:
        return "from other jobs"
    if job in tuning:
        return "tuning"
    if phase in ("failed", "interrupted"):
        return phase
    if kind == "select":
        return "selection"
    if kind in SEARCHING:
        return "search"
    return "evaluation" if phase == "evaluation" else "training"


def arm_cost_grid(records: Records) -> Grid | None:
    """Device-hours of every arm that trains, by what they were spent on."""
    found = arm_costs(records)
    if not any(cost.total for cost in found.values()):
        return None
    parts = [part for part in PARTS if any(cost.seconds[part] for cost in found.values())]
    rows = tuple(
        (
            arm,
            *(_hours(cost.seconds[part]) for part in parts),
            _hours(cost.total),
            NOTHING if cost.per_result is None else _hours(cost.per_result),
        )
        for arm, cost in found.items()
    )
    headings = ("arm", *parts, "together", "per result")
    return Grid(f"{unit(records)} by arm", headings, "l" + "r" * (len(parts) + 2), rows, NOTE, latex=True)


def _hours(seconds: float) -> str:
    return words.significant(seconds / HOUR) if seconds else NOTHING


# Wall time of the attempt that counts, and of those before it.
SPENT = ("wall_seconds", "interrupted_seconds", "failed_seconds")


def _cost_row(label: str, jobs: pd.DataFrame) -> tuple[str, ...]:
    times = [float(jobs[name].sum()) for name in SPENT]
    peak = jobs["peak_memory_bytes"].max()
    return (
        label,
        str(len(jobs)),
        str(jobs["attempts"].sum()),
        *(words.duration(time) for time in (*times, sum(times))),
        words.memory(None if pd.isna(peak) else float(peak)),
    )


def total_seconds(records: Records) -> float:
    """Wall time of all attempts, every job once."""
    return float(records.jobs[[*SPENT]].sum().sum())


def cost(records: Records) -> Section:
    """Wall time by kind of job, failed and interrupted attempts included."""
    jobs = records.jobs
    rows = [
        _cost_row(KINDS[kind][1], jobs[jobs["kind"] == kind]) for kind in KINDS if kind in set(jobs["kind"])
    ]
    rows.append(_cost_row("all", jobs))
    headings = ("kind", "jobs", "attempts", "finished", "interrupted", "failed", "together", "peak memory")
    note = (
        "Wall time of attempts summed over jobs, which may have run side by side. A job that several arms "
        "share counts once. What an interrupted attempt did was continued by the next one; of one that was "
        "killed the time up to its last sign of life counts."
    )
    by_arm = arm_cost_grid(records)
    grids = [Grid("Wall time", headings, "lrrrrrrr", tuple(rows), note)]
    return Section("Cost", grids=tuple(grids if by_arm is None else [by_arm, *grids]))
