"""What the records of a storage say of its jobs, as programs that track experiments take it: a run for each
repeat of each arm, with numbers for each epoch."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from autoreid.attempts import STARTED, Attempt
from autoreid.errors import InputError, Problems
from autoreid.folders import sha256
from autoreid.records import EPOCH_COLUMNS
from autoreid.storage import JobFolder, Storage
from tune_runs.event_files import Step
from tune_runs.states import related, state_of
from tune_runs.words import counted

# Charts are grouped by what stands before the slash.
GROUPS = {
    column.name: "machine" if column.measured else "epoch"
    for column in EPOCH_COLUMNS
    if column.kind in ("float64", "int64") and column.name != "epoch"
}
# What of a mark tells the first epochs.
FIRST = re.compile(r"(\d+) (\w+)")


@dataclass(frozen=True, slots=True)
class Curve:
    """The epochs of a job so far, when the first began (seconds since 1970; 0 where nothing tells), and the
    numbers of its result."""

    began: float
    steps: tuple[Step, ...]
    scores: Mapping[str, float]

    @property
    def last(self) -> Step:
        """The scores as a step: at the last epoch, and at its time."""
        end = self.steps[-1] if self.steps else Step(0, self.began, {})
        return Step(end.step, end.wall, self.scores)


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A begun job in its place in a campaign. `key` names it among all runs: by campaign, arm, kind, repeat
    and job. `settings` never change; the rest grows."""

    key: str
    campaign: str
    arm: str
    kind: str
    repeat: int
    settings: Mapping[str, Any]
    status: str
    error: str
    curve: Curve

    @property
    def name(self) -> str:
        return f"{self.arm}/{self.kind} {self.repeat + 1}"

    @property
    def mark(self) -> str:
        """What is left with a tracker to know later what it was given: how many epochs, a digest of them, and
        a digest of everything."""
        steps = self.curve.steps
        whole = (self.status, self.error, sorted(self.curve.scores.items()), steps)
        return f"{len(steps)} {_digest(steps)} {_digest(whole)}"

    def known(self, mark: str) -> int | None:
        """How many of the first epochs a tracker has that holds this mark; None where it has others."""
        found = FIRST.match(mark)
        if found is None:
            return None
        count = int(found[1])
        steps = self.curve.steps[:count]
        return count if len(steps) == count and _digest(steps) == found[2] else None


def _digest(value: object) -> str:
    return sha256(repr(value).encode())[:16]


def tracked_runs(storage: Storage, campaigns: Sequence[str] = ()) -> Iterator[TrackedRun]:
    """The begun jobs of campaigns, all unless named, in the order of the manifests.

    InputError where a manifest cannot be read.
    """
    manifests = manifests_of(storage, campaigns)
    begun = set(storage.jobs())
    for campaign, manifest in manifests.items():
        cancelled = storage.cancelled(campaign)
        for entry in manifest["entries"]:
            job = str(entry["job"])
            attempts = storage.job(job).attempts() if job in begun else []
            if not attempts:
                continue
            state = related({job: state_of(storage.job(job), attempts)}, {}, cancelled)[job]
            arm, kind, repeat = str(entry["arm"]), str(entry["kind"]), int(entry["repeat"])
            yield TrackedRun(
                _digest((campaign, arm, kind, repeat, job)),
                campaign,
                arm,
                kind,
                repeat,
                _settings(manifest, job),
                state.status,
                state.error or "",
                curve_of(storage.job(job), attempts),
            )


def _settings(manifest: Mapping[str, Any], job: str) -> dict[str, Any]:
    """What entered a job's id, and the id."""
    plain = manifest["jobs"][job]
    names = ("recipe", "seeds", "inputs", "engine_revision")
    return {"job": job, "data_fingerprint": plain["data"], **{name: plain[name] for name in names}}


def manifests_of(storage: Storage, campaigns: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The manifests of campaigns by name; all problems at once as an InputError."""
    names, problems = campaigns or storage.campaigns(), Problems()
    if not names:
        raise InputError(f"{storage.folder}: no campaign in this folder. Give the --storage of a launch.")
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            found[name] = storage.read_manifest(name)
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    return found


def curve_of(folder: JobFolder, attempts: Sequence[Attempt]) -> Curve:
    """What the attempts at a job have recorded."""
    finished = folder.finished(attempts)
    # An attempt that continues another holds the records of both.
    rows = finished[0].records() if finished else max(map(_records, attempts), key=len, default=[])
    began = _began(attempts)
    scores = {} if finished is None else _scores(finished[1].result)
    return Curve(began, tuple(_steps(rows, began)), scores)


def _records(attempt: Attempt) -> list[dict[str, Any]]:
    try:
        return attempt.records()
    except (OSError, ValueError):
        return []


def _began(attempts: Iterable[Attempt]) -> float:
    for attempt in attempts:
        try:
            started = json.loads(attempt.folder.read(STARTED))["started"]
            return datetime.datetime.fromisoformat(started).timestamp()
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
    return 0.0


def _steps(rows: Iterable[Mapping[str, Any]], began: float) -> Iterator[Step]:
    """A step for each epoch, at the time that it would have ended if nothing had come between."""
    wall = began
    for row in rows:
        wall += float(row.get("wall_seconds") or 0.0)
        scalars = {
            f"{GROUPS[name]}/{name}": float(value)
            for name, value in row.items()
            if name in GROUPS and _is_number(value)
        }
        yield Step(int(row["epoch"]), wall, scalars)


def _scores(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation, also after re-ranking; of a selection, the mAP by which it chose."""
    found = _part(result, "evaluation")
    found |= {f"reranked_{name}": value for name, value in _part(found, "reranked").items()}
    found |= {name: result[name] for name in ("validation_mAP",) if name in result}
    return {f"result/{name}": float(value) for name, value in found.items() if _is_number(value)}


def _part(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What stands under a name, where that is an object."""
    value = given.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def runs_text(plain: Mapping[str, Any]) -> str:
    """How many runs there are, for people."""
    return f"{counted(plain['runs'], 'run')}, {plain['changed']} of them new or longer."


def library(name: str, title: str) -> ModuleType:
    """A library that is an extra; InputError where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = f"Install it: pip install 'autoreid[{name}]'"
        raise InputError(f"{title} cannot be loaded ({error}). {remedy}") from error
