"""What became of one job, read from its attempts in a storage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoreid.attempts import RECORDS, Attempt, Outcome
from autoreid.storage import JobFolder

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """The status of a job, and the records of the attempt that counts, else of the newest one."""

    status: str = "waiting"
    attempts: int = 0
    failed_seconds: float = 0.0
    interrupted_seconds: float = 0.0
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epochs: tuple[Row, ...] = ()
    error: str | None = None

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def epoch_count(self) -> int:
        """Epochs done: what the outcome says, else the records that were found."""
        given = self.facts.get("epochs")
        return given if self.done and isinstance(given, int) else len(self.epochs)

    def after(self, job_id: str, source: Seen) -> Seen:
        """A job that never began, given what became of the job that it needs."""
        if source.status not in ("failed", "skipped"):
            return self
        reason = f"its input, job {job_id}, {'failed' if source.status == 'failed' else 'was skipped'}"
        return dataclasses.replace(self, status="skipped", error=f"{reason}: {source.error}")


def part(given: Any, name: str) -> Mapping[str, Any]:
    """The object under a name, or an empty one where it is absent or something else."""
    value = given.get(name) if isinstance(given, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _label(attempt: Attempt) -> str:
    return "attempt " + str(attempt.folder).rsplit("/", 1)[-1]


def read_epochs(attempt: Attempt, place: str) -> tuple[tuple[Row, ...], list[str]]:
    """The epoch records as far as they can be read, and a warning where they are damaged."""
    rows: list[Row] = []
    try:
        for line in attempt.folder.read(RECORDS).decode(errors="replace").splitlines():
            row = json.loads(line)
            rows.append({**row, "epoch": row["epoch"]})
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError):
        words = f"{RECORDS} is damaged; what comes after epoch {len(rows)} is left out."
        return tuple(rows), [f"{place}: {_label(attempt)}: {words}"]
    return tuple(rows), []


def _damage(attempt: Attempt, outcome: Outcome | None) -> str | None:
    """Why an attempt that ended does not count, if it does not."""
    if outcome is None:
        present = "outcome.json" in attempt.folder.children()
        return f"{_label(attempt)}: outcome.json is damaged, or of another job" if present else None
    if outcome.status == "done" and not attempt.valid(outcome):
        return f"{_label(attempt)}: files are missing or differ from what its outcome vouches for"
    return None


def _all_damage(attempts: list[Attempt], outcomes: list[Outcome | None], counts: Attempt | None) -> list[str]:
    """The damage of every attempt but the one that counts, whose files have just been checked."""
    found = (
        _damage(attempt, outcome)
        for attempt, outcome in zip(attempts, outcomes, strict=True)
        if counts is None or str(attempt.folder) != str(counts.folder)
    )
    return [text for text in found if text]


def _seconds(attempt: Attempt, outcome: Outcome) -> float:
    """Wall time of an attempt: by its outcome, else the sum of its epochs."""
    given = part({"facts": outcome.facts}, "facts").get("wall_seconds")
    if isinstance(given, (int, float)):
        return float(given)
    times = (row.get("wall_seconds") for row in read_epochs(attempt, "")[0])
    return float(sum(time for time in times if isinstance(time, (int, float))))


def _unfinished(outcomes: list[Outcome | None], damage: list[str]) -> Seen:
    """The status by the newest attempt: without an outcome it runs at this moment, or was interrupted."""
    if not outcomes:
        return Seen()
    again = f"{damage[-1]}. Run the campaign again." if damage else None
    newest = outcomes[-1]
    if newest is None:
        return Seen("started", error=again)
    return Seen("failed", facts=newest.facts, error=newest.error or again or "failed without a message")


def look(job: JobFolder, place: str) -> tuple[Seen, list[str]]:
    """What became of a job, and what was found damaged. `place` goes in front of each warning."""
    attempts = job.attempts()
    outcomes = [attempt.outcome() for attempt in attempts]
    finished = job.finished(attempts)
    damage = _all_damage(attempts, outcomes, finished[0] if finished else None)
    if finished is not None:
        seen = Seen("done", result=finished[1].result, facts=finished[1].facts)
    else:
        seen = _unfinished(outcomes, damage)
    newest = attempts[-1] if attempts else None
    counts = finished[0] if finished else newest
    epochs, damaged = read_epochs(counts, place) if counts else ((), [])
    lost = (
        _seconds(attempt, outcome)
        for attempt, outcome in zip(attempts, outcomes, strict=True)
        if outcome is not None and outcome.status == "failed"
    )
    seen = dataclasses.replace(
        seen,
        attempts=len(attempts),
        failed_seconds=sum(lost),
        interrupted_seconds=sum(
            attempt.interrupted_seconds()
            for attempt, outcome in zip(attempts, outcomes, strict=True)
            if outcome is None
        ),
        epochs=epochs,
    )
    return seen, [f"{place}: {text}." for text in damage] + damaged
