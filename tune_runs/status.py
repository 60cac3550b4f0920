"""How far the campaigns of a storage are, as plain values, and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.descriptions import description_problems
from tune_runs.remaining import OPEN, epochs_per_hour, remaining
from tune_runs.standings import Memory, Planned, Standing
from tune_runs.states import STATES, State, related
from tune_runs.words import counted, lasting, table

Plain = dict[str, Any]
# Of jobs that failed or are skipped, a text shows so many in full.
SHOWN = 5


def status_plain(storage: Storage, memory: Memory | None = None) -> Plain:
    """Every campaign of a storage: jobs by state for each arm, progress, time left, cost, and failures.

    A campaign whose manifest is damaged is named under `problems`, and hides no other one; descriptions of
    jobs that are damaged are named under their campaign's `problems`. Who looks again and again gives the
    same `memory`.
    """
    storage.check()
    memory = Memory(storage) if memory is None else memory
    names = storage.campaigns()
    if not names:
        raise InputError(f"{storage.folder}: no campaign in this folder. Give the --storage of a launch.")
    campaigns: list[Plain] = []
    problems: list[str] = []
    for name in names:
        try:
            campaigns.append(_campaign_status(storage, memory, name))
        except InputError as error:
            problems += error.problems
        except (KeyError, TypeError, AttributeError, ValueError, FileNotFoundError) as error:
            place = f"{storage.folder}/campaigns/{name}/manifest.json"
            problems.append(f"{place}: damaged ({error!r}). Restore it, or launch the campaign again.")
    return {"storage": str(storage.folder), "campaigns": campaigns, "problems": problems}


def _campaign_status(storage: Storage, memory: Memory, name: str) -> Plain:
    planned = memory.planned(name)
    standings = memory.standings(planned.tasks)
    own = {job_id: standing.state for job_id, standing in standings.items()}
    states = related(own, planned.needs, storage.cancelled(name) | planned.given_up)
    # What was cancelled or lost its input is no longer waited for.
    standings = {job_id: _with_state(standings[job_id], states[job_id]) for job_id in states}
    counts = _counts(standings.values())
    return {
        "campaign": name,
        "jobs": counts,
        "epochs_done": sum(standing.state.epochs for standing in standings.values()),
        "epochs": sum(_epochs(planned, job_id, standing) for job_id, standing in standings.items()),
        "points": None if planned.points is None else asdict(planned.points),
        "epochs_per_hour": epochs_per_hour(planned.tasks, standings),
        "left": remaining(planned, standings, memory.at_once(name, counts["running"])).plain(),
        "cost": _cost(standings.values()),
        "arms": [
            {
                "arm": arm,
                "kind": kind,
                "jobs": _counts(standings[job_id] for job_id in members),
                "epochs_done": sum(standings[job_id].state.epochs for job_id in members),
                "epochs": sum(_epochs(planned, job_id, standings[job_id]) for job_id in members),
            }
            for (arm, kind), members in planned.arms.items()
        ],
        "running": list(_running(planned, standings)),
        "failures": list(_failures(planned, standings)),
        "problems": description_problems(storage, states),
    }


def _with_state(standing: Standing, state: State) -> Standing:
    return standing if standing.state is state else replace(standing, state=state)


def _epochs(planned: Planned, job_id: str, standing: Standing) -> int:
    """How many epochs a job takes; of one that is done, how many it took."""
    return standing.state.epochs if standing.state.status == "done" else planned.tasks[job_id].epochs


def _cost(standings: Iterable[Standing]) -> Plain:
    """The time that jobs have held their devices, failed and interrupted attempts included."""
    found = list(standings)
    return {
        "device_hours": sum(standing.seconds for standing in found) / 3600,
        "failed_device_hours": sum(standing.failed_seconds for standing in found) / 3600,
        "devices": sorted({standing.device for standing in found if standing.device}),
    }


def _running(planned: Planned, standings: Mapping[str, Standing]) -> Iterator[Plain]:
    for job_id, standing in standings.items():
        if standing.state.where:
            task, each = planned.tasks[job_id], standing.epoch_seconds
            left = None if each is None else max(task.epochs - standing.state.epochs, 0) * each
            yield {
                "job": job_id,
                "kind": task.kind,
                "arm": task.arm,
                "repeat": task.repeat,
                "epoch": standing.state.epochs,
                "epochs": task.epochs,
                "epoch_seconds": each,
                "seconds_left": left,
                "loss": standing.loss,
                "attempt": standing.state.attempts,
                "where": standing.state.where,
            }


def _failures(planned: Planned, standings: Mapping[str, Standing]) -> Iterator[Plain]:
    for job_id, standing in standings.items():
        if standing.state.error:
            task = planned.tasks[job_id]
            yield {
                "job": job_id,
                "kind": task.kind,
                "arm": task.arm,
                "repeat": task.repeat,
                "status": standing.state.status,
                "error": standing.state.error,
                "attempts": standing.state.attempts,
                "final": standing.state.final,
                "log": list(standing.log),
            }


def _counts(standings: Iterable[Standing]) -> dict[str, int]:
    counts = Counter(standing.state.status for standing in standings)
    return {status: counts[status] for status in STATES}


def is_open(campaign: Plain) -> bool:
    """Whether jobs run, or wait for their turn, or a sweep will ask for more."""
    return _is_waiting(campaign) or bool(campaign["points"] and not campaign["points"]["over"])


def _is_waiting(campaign: Plain) -> bool:
    return any(campaign["jobs"][status] for status in OPEN)


def counts_text(campaign: Plain) -> str:
    """Jobs by state.

    >>> counts_text({"jobs": {"done": 3, "running": 0, "waiting": 1}})
    '4 jobs: 3 done, 1 waiting'
    """
    counts = ", ".join(f"{count} {status}" for status, count in campaign["jobs"].items() if count)
    return f"{counted(sum(campaign['jobs'].values()), 'job')}: {counts}"


def progress_text(campaign: Plain) -> str:
    """Epochs, rate, time left and cost of a campaign in one line."""
    done, total, rate = campaign["epochs_done"], campaign["epochs"], campaign["epochs_per_hour"]
    parts = [f"{done}/{total} epochs ({done / max(total, 1):.0%})"]
    parts += [points_text(campaign["points"])] if campaign["points"] else []
    parts += [rate_text(rate)] if rate else []
    parts += [left] if (left := left_text(campaign)) else []
    return ", ".join([*parts, cost_text(campaign["cost"])])


def points_text(points: Plain) -> str:
    """
    >>> points_text({"settled": 3, "asked": 5, "wanted": 20, "over": False})
    '3/20 points settled'
    """
    return f"{points['settled']}/{points['asked'] if points['over'] else points['wanted']} points settled"


def rate_text(epochs_per_hour: float) -> str:
    """
    >>> rate_text(7200), rate_text(3.5)
    ('120 epochs/min', '3.5 epochs/h')
    """
    if epochs_per_hour >= 60:
        return f"{epochs_per_hour / 60:.3g} epochs/min"
    return f"{epochs_per_hour:.3g} epochs/h"


def left_text(campaign: Plain) -> str:
    """How long the jobs that are planned still take; empty where none is left to run."""
    left, points = campaign["left"], campaign["points"]
    if not _is_waiting(campaign):
        return ""
    unknown = left["unknown_jobs"]
    if not left["seconds"] and unknown:
        return "time left is known after a first epoch"
    how = "more than" if unknown or (points and not points["over"]) else "about"
    if left["wall_seconds"] is None:
        return f"{how} {lasting(left['seconds'])} of computing left, and nothing runs"
    return f"{how} {lasting(left['wall_seconds'])} left with {counted(left['at_once'], 'job')} at once"


def cost_text(cost: Plain) -> str:
    """
    >>> cost_text({"device_hours": 1.5, "failed_device_hours": 0.25, "devices": ["H100"]})
    '1.50 device-hours so far (0.25 in failed attempts)'
    """
    failed = cost["failed_device_hours"]
    return f"{cost['device_hours']:.2f} device-hours so far" + (
        f" ({failed:.2f} in failed attempts)" if failed else ""
    )


def status_text(plain: Plain) -> str:
    """The states of campaigns for people."""
    lines = [*plain["problems"], *([""] if plain["problems"] else [])]
    for campaign in plain["campaigns"]:
        lines += [f"{campaign['campaign']}: {counts_text(campaign)}", f"  {progress_text(campaign)}"]
        rows = [
            (
                arm["arm"],
                arm["kind"],
                *(str(arm["jobs"][status] or "-") for status in STATES),
                f"{arm['epochs_done']}/{arm['epochs']}",
            )
            for arm in campaign["arms"]
        ]
        lines += table(("arm", "kind", *STATES, "epochs"), rows)
        lines += map(_running_line, campaign["running"])
        lines += _failure_lines(campaign["failures"])
        lines += [*(f"  {problem}" for problem in campaign["problems"]), ""]
    return "\n".join(lines).rstrip()


def _running_line(running: Plain) -> str:
    pace = f", {lasting(running['seconds_left'])} left" if running["seconds_left"] is not None else ""
    name = f"{running['kind']} {running['job']} runs on {running['where']}"
    which = f"{running['arm']}, repeat {running['repeat'] + 1}"
    return f"  {name}: {which}, epoch {running['epoch']}/{running['epochs']}{pace}"


def _failure_lines(failures: list[Plain]) -> Iterator[str]:
    """What failed with the last lines of its log, and what is skipped; the first few of each."""
    for status in ("failed", "skipped"):
        found = [failure for failure in failures if failure["status"] == status]
        for failure in found[:SHOWN]:
            name = f"{failure['kind']} {failure['job']} ({failure['arm']}, repeat {failure['repeat'] + 1})"
            yield f"  {name} {status}: {failure['error']}"
            yield from (f"    | {line}" for line in failure["log"])
        if found[SHOWN:]:
            yield f"  and {counted(len(found) - SHOWN, 'more job', 'more jobs')} {status}: see --json"
