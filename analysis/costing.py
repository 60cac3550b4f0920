"""What each arm cost: its own jobs, those that it starts from, and the settings that were tried for it."""

from __future__ import annotations

import json
import math
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
    "Time multiplied by the GPUs that a job held, or by CPU threads where it had none. Tuning: points of the "
    "arm's study that its trainings do not use. From other jobs: teachers, pretrainings and searches of "
    "other arms, in full for every arm that starts from them. Per result: a finished training with all that "
    "it starts from in full, and the tuning; the arm's other jobs are divided among its results. What failed "
    "or interrupted attempts took is the arm's too. A job that several arms share, such as the search of a "
    "genotype that is trained on several data sets, is in each of them: arms add up to more than was spent."
)
# What tells the rows of a job's cost apart; those of another arm that shares it are the same.
ROW = ["job", "phase", "device_kind", "device", "devices"]
Spent = dict[str, list[tuple[str, str, float]]]


@dataclass(frozen=True, slots=True)
class ArmCost:
    """Device-seconds of an arm by part; how many trainings came of them, and what one of these took, all that
    it starts from in full."""

    seconds: dict[str, float]
    results: int
    per_result: float | None

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


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


def _device_seconds(records: Records) -> pd.DataFrame:
    """The rows of the costs, every job once, with device-seconds.

    What a killed attempt ran on is not recorded: it counts as the attempt of its job that does tell, else as
    most jobs do. NaN where no job tells.
    """
    costs = records.costs.drop_duplicates(ROW)
    told = costs.dropna(subset="devices")
    usual = told["devices"].mode()
    devices = costs["devices"].fillna(
        costs["job"].map(told.drop_duplicates("job").set_index("job")["devices"])
    )
    if len(usual):
        devices = devices.fillna(usual[0])
    seconds = costs["device_seconds"].fillna(costs["seconds"] * devices.astype("float64"))
    return costs.assign(device_seconds=seconds)


def _spent(records: Records) -> Spent:
    """Kind, phase and device-seconds of what every job took."""
    found: Spent = {}
    costs = _device_seconds(records)
    columns = (costs[name] for name in ("job", "kind", "phase", "device_seconds"))
    for job, kind, phase, seconds in zip(*columns, strict=True):
        if not pd.isna(seconds):
            found.setdefault(job, []).append((kind, phase, float(seconds)))
    return found


def _tried(records: Records) -> dict[str, set[str]]:
    """By arm, the jobs of the studies that it comes from: all their points were tried for it."""
    found: dict[str, set[str]] = {}
    for _, points in records.points.groupby("study", sort=False):
        jobs = {job for text in points["jobs"] for job in json.loads(text)}
        for arm in {*points["arm"], *points["point"]}:
            found.setdefault(arm, set()).update(jobs)
    return found


def arm_costs(records: Records) -> dict[str, ArmCost]:
    """The cost of every arm that trains; a job that it shares counts in full."""
    inputs, spent, tried = _inputs(records), _spent(records), _tried(records)
    trials = records.trials[["arm", "job", "kind", "status"]]
    # All arms are timed in one job, which is no part of what one of them costs.
    trials = trials[trials["kind"] != "latency"]
    jobs = {str(arm): rows for arm, rows in trials.groupby("arm", sort=False)}
    return {
        arm: _arm_cost(jobs[arm], inputs, spent, tried.get(arm, set())) for arm in records.arms_with("train")
    }


def _arm_cost(
    mine: pd.DataFrame, inputs: dict[str, tuple[str, ...]], spent: Spent, tried: set[str]
) -> ArmCost:
    """The cost of one arm, of which these are the jobs, and for which those were tried."""
    trained = mine[mine["kind"] == "train"]
    finished = list(trained[trained["status"] == "done"]["job"])
    own, needed = set(mine["job"]), _closure(trained["job"], inputs)
    tuning = tried - needed
    seconds = dict.fromkeys(PARTS, 0.0)
    for job in sorted(own | needed | tuning):
        for kind, phase, took in spent.get(job, ()):
            seconds[_part(kind, phase, job, own, tuning)] += took
    if not finished:
        return ArmCost(seconds, 0, None)
    behind = [_closure([job], inputs) for job in finished]
    each = math.fsum(_total(jobs, spent) for jobs in behind)
    rest = own - tuning - set().union(*behind)
    per_result = (each + _total(rest, spent)) / len(finished) + seconds["tuning"]
    return ArmCost(seconds, len(finished), per_result)


def _total(jobs: set[str], spent: Spent) -> float:
    return math.fsum(took for job in jobs for _, _, took in spent.get(job, ()))


def _part(kind: str, phase: str, job: str, own: set[str], tuning: set[str]) -> str:
    if job in tuning:
        return "tuning"
    if job not in own:
        return "from other jobs"
    if phase in ("failed", "interrupted"):
        return phase
    if kind == "select":
        return "selection"
    if kind in SEARCHING:
        return "search"
    return "evaluation" if kind == "evaluate" or phase == "evaluation" else "training"


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
    return Section("Cost", "", _untold(records), tuple(grids if by_arm is None else [by_arm, *grids]))


def _untold(records: Records) -> tuple[str, ...]:
    """That no arm is charged with time whose device is not known."""
    costs = _device_seconds(records)
    seconds = float(costs.loc[costs["device_seconds"].isna(), "seconds"].sum())
    if not seconds:
        return ()
    return (
        f"On how many GPUs or threads {words.duration(seconds)} of wall time were spent was not recorded: no "
        "arm is charged with them.",
    )
