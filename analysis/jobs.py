"""What became of one job, read from its attempts in a storage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoreid.attempts import INTERRUPTED, RECORDS, Attempt, Outcome
from autoreid.folders import sha256
from autoreid.storage import JobFolder

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt that does not count: whether it failed or was interrupted, its wall time, and its facts."""

    phase: str
    seconds: float
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """The status of a job, and the result and facts of the attempt that counts, else of the newest one.

    `recorded` is the attempt whose epoch records count. `stamp` stands for what they and the result say,
    where the job is done: equal stamps, equal epochs and alphas.
    """

    status: str = "waiting"
    attempts: int = 0
    lost: tuple[Lost, ...] = ()
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    epoch_count: int = 0
    recorded: Attempt | None = None
    stamp: str = ""
    error: str | None = None

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def brief(self) -> Seen:
        """What other jobs ask of it: thousands of these are kept at once."""
        return Seen(self.status, error=self.error)

    def seconds(self, phase: str) -> float:
        """Wall time of the attempts that failed, or were interrupted."""
        return float(sum(lost.seconds for lost in self.lost if lost.phase == phase))

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
        lines = attempt.folder.read(RECORDS).decode(errors="replace").splitlines()
        if (whole := _together(lines)) is not None:
            return whole, []
        for line in lines:
            row = json.loads(line)
            rows.append({**row, "epoch": row["epoch"]})
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError, KeyError):
        words = f"{RECORDS} is damaged; what comes after epoch {len(rows)} is left out."
        return tuple(rows), [f"{place}: {_label(attempt)}: {words}"]
    return tuple(rows), []


def _together(lines: list[str]) -> tuple[Row, ...] | None:
    """All records at once, which takes less time than one by one; None where one of them is damaged."""
    try:
        rows = json.loads(f"[{','.join(lines)}]")
    except ValueError:
        return None
    sound = all(isinstance(row, dict) and "epoch" in row for row in rows)
    return tuple(rows) if sound and len(rows) == len(lines) else None


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


def _failed(attempt: Attempt, outcome: Outcome) -> Lost:
    """A failed attempt; its wall time by its outcome, else the sum of its epochs."""
    given = part({"facts": outcome.facts}, "facts").get("wall_seconds")
    if not isinstance(given, (int, float)):
        times = (row.get("wall_seconds") for row in read_epochs(attempt, "")[0])
        given = sum(time for time in times if isinstance(time, (int, float)))
    return Lost("failed", float(given), part({"facts": outcome.facts}, "facts"))


def _interrupted(attempt: Attempt) -> Lost:
    """An attempt without an outcome; where it was killed, nothing tells what it ran on."""
    try:
        facts = json.loads(attempt.folder.read(INTERRUPTED))
    except (FileNotFoundError, ValueError):
        facts = None
    return Lost("interrupted", attempt.interrupted_seconds(), part({"facts": facts}, "facts"))


def _stamp(outcome: Outcome) -> str:
    """Empty where the outcome does not vouch for the records."""
    records = part(outcome.files, RECORDS).get("sha256")
    said = [records, part({"result": outcome.result}, "result").get("alphas")]
    return sha256(json.dumps(said, sort_keys=True).encode()) if records else ""


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
    finished = next((found for found in zip(attempts, outcomes, strict=True) if _counts(*found)), None)
    damage = _all_damage(attempts, outcomes, finished[0] if finished else None)
    seen = _unfinished(outcomes, damage)
    if finished is not None and finished[1] is not None:
        stamp = _stamp(finished[1])
        seen = Seen("done", result=finished[1].result, facts=finished[1].facts, stamp=stamp)
    recorded = finished[0] if finished else attempts[-1] if attempts else None
    count = seen.facts.get("epochs") if seen.done else None
    damaged: list[str] = []
    if recorded is not None and not isinstance(count, int):
        epochs, damaged = read_epochs(recorded, place)
        count = len(epochs)
    lost = [
        _interrupted(attempt) if outcome is None else _failed(attempt, outcome)
        for attempt, outcome in zip(attempts, outcomes, strict=True)
        if outcome is None or outcome.status == "failed"
    ]
    seen = dataclasses.replace(
        seen, attempts=len(attempts), lost=tuple(lost), epoch_count=count or 0, recorded=recorded
    )
    return seen, [f"{place}: {text}." for text in damage] + damaged


def _counts(attempt: Attempt, outcome: Outcome | None) -> bool:
    """Whether an attempt is done and whole: the first one that is, counts."""
    return outcome is not None and outcome.status == "done" and attempt.valid(outcome)
