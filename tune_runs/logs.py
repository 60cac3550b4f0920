"""What every attempt at a job left: when and where it began, how it ended, its log and its last epochs."""

from __future__ import annotations

import json
from typing import Any

from autoreid.attempts import INTERRUPTED, STARTED, Attempt
from autoreid.leases import read_lease
from autoreid.storage import JobFolder, Storage
from tune_runs.lookup import find_job
from tune_runs.states import state_of
from tune_runs.words import counted, table

EPOCHS = 5
SHOWN = ("epoch", "loss", "accuracy", "validation_accuracy", "wall_seconds")


def logs_plain(storage: Storage, prefix: str) -> dict[str, Any]:
    """The attempts at a job as JSON values; InputError where no job begins with these digits, or several."""
    job_id = find_job(storage, prefix)
    folder = storage.job(job_id)
    state = state_of(folder)
    finished = folder.finished()
    counts = None if finished is None else finished[0].name
    return {
        "job": job_id,
        "status": state.status,
        "error": state.error,
        "attempts": [_attempt(folder, attempt, counts) for attempt in folder.attempts()],
    }


def _attempt(folder: JobFolder, attempt: Attempt, counts: str | None) -> dict[str, Any]:
    began, left = _read(attempt, STARTED), _read(attempt, INTERRUPTED)
    outcome = attempt.outcome()
    lease = read_lease(attempt.folder)
    if outcome is not None:
        ended = outcome.status
    elif lease is not None and lease.holds():
        ended = "running"
    else:
        ended = "interrupted" if left else "killed"
    return {
        "number": attempt.number,
        "name": attempt.name,
        "counts": attempt.name == counts,
        "host": began.get("host"),
        "process": None if lease is None else lease.pid,
        "began": began.get("started"),
        "ended": ended,
        "wall_seconds": (left if outcome is None else outcome.facts).get("wall_seconds"),
        "error": None if outcome is None else outcome.error,
        "final": False if outcome is None else outcome.final,
        "last_epochs": _last_epochs(attempt),
        "log": attempt.read_log(),
    }


def _read(attempt: Attempt, name: str) -> dict[str, Any]:
    try:
        content = json.loads(attempt.folder.read(name))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _last_epochs(attempt: Attempt) -> list[dict[str, Any]]:
    try:
        rows = attempt.records()[-EPOCHS:]
    except (OSError, ValueError):
        return []
    return [{name: row[name] for name in SHOWN if row.get(name) is not None} for row in rows]


def logs_text(plain: dict[str, Any]) -> str:
    """The attempts at a job for people."""
    lines = [f"job {plain['job']}: {plain['status']}, {counted(len(plain['attempts']), 'attempt')}"]
    for attempt in plain["attempts"]:
        wall = attempt["wall_seconds"]
        parts = [attempt["ended"] + (" after " + f"{wall:.0f} s" if wall is not None else "")]
        parts += [f"began {attempt['began']} on {attempt['host']}"] if attempt["began"] else []
        parts += ["this one counts"] if attempt["counts"] else []
        lines += ["", f"attempt {attempt['name']}: {', '.join(parts)}"]
        lines += [f"  {line}" for line in (attempt["error"] or "").splitlines()]
        lines += _epoch_table(attempt["last_epochs"])
        lines += [f"  | {line}" for line in attempt["log"].splitlines()]
    return "\n".join(lines)


def _epoch_table(rows: list[dict[str, Any]]) -> list[str]:
    names = [name for name in SHOWN if any(name in row for row in rows)]
    cells = [[f"{row[name]:.5g}" if name in row else "-" for name in names] for row in rows]
    return table(names, cells) if rows else []
