"""How the jobs of campaigns stand: their states, what they have cost, and how fast they go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreid.attempts import Attempt
from autoreid.folders import sha256
from autoreid.inputs import needs_of
from autoreid.many import each
from autoreid.storage import JobFolder, Storage
from tune_runs.states import State, done, state_of

# An epoch's time is the mean of the last few: a job may have moved to another machine.
RECENT_EPOCHS = 5
# The start of a process takes less.
RECENT_SECONDS = 60.0
LOG_LINES = 5
# In place of an arm, of the job that times the networks of all.
EVERY = "all arms"


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a job, and what its attempts left.

    `seconds` is the wall time of all its attempts, `failed_seconds` that of those that failed.
    `epoch_seconds` is the time of an epoch: of the last ones while the job runs, else of all. `log` holds the
    last lines of a job that failed.
    """

    state: State
    seconds: float = 0.0
    failed_seconds: float = 0.0
    epoch_seconds: float | None = None
    loss: float | None = None
    device: str | None = None
    log: tuple[str, ...] = ()


WAITING = Standing(State("waiting"))


def standing_of(folder: JobFolder) -> Standing:
    """How one job stands by its own files alone."""
    attempts = folder.attempts()
    if not attempts:
        return WAITING
    attempt, outcome = folder.finished(attempts) or (None, None)
    state = done(outcome, len(attempts)) if outcome is not None else state_of(folder, attempts)
    # In an object store, to read an outcome once more is a request.
    outcomes = [outcome if found is attempt else found.outcome() for found in attempts]
    known = [found.facts for found in outcomes if found is not None]
    failed = sum(_number(found.facts) for found in outcomes if found is not None and found.status == "failed")
    ended = zip(attempts, outcomes, strict=True)
    seconds = sum(map(_number, known)) + sum(
        found.interrupted_seconds() for found, its in ended if its is None
    )
    pace, loss = seconds / state.epochs if state.status == "done" and state.epochs else None, None
    if state.status in ("running", "started"):
        pace, loss = _recent(attempts[-1])
    devices = [str(facts["device"]) for facts in known if facts.get("device")]
    log = attempts[-1].read_log().splitlines()[-LOG_LINES:] if state.status == "failed" else []
    return Standing(state, seconds, failed, pace, loss, devices[-1] if devices else None, tuple(log))


def _number(facts: Mapping[str, Any]) -> float:
    seconds = facts.get("wall_seconds")
    return float(seconds) if isinstance(seconds, (int, float)) else 0.0


def _recent(attempt: Attempt) -> tuple[float | None, float | None]:
    """The mean time of the last epochs and the last loss; None where records do not hold them."""
    try:
        rows = attempt.records()
        timed = [row for row in rows if row.get("wall_seconds")][-RECENT_EPOCHS:]
        times = [row["wall_seconds"] + (row.get("health_seconds") or 0) for row in timed]
        return sum(times) / len(times) if times else None, rows[-1].get("loss") if rows else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None, None


@dataclass(frozen=True, slots=True)
class Task:
    """A job as a manifest plans it: its kind, the first arm and repeat that it stands for, and its epochs."""

    kind: str
    arm: str
    repeat: int
    epochs: int

    def __str__(self) -> str:
        return f"{self.kind} {self.arm}, repeat {self.repeat + 1}"


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a sweep: how many are settled and asked so far, and how many its studies want. Once it is
    over no more jobs follow."""

    settled: int
    asked: int
    wanted: int
    over: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """The jobs of a campaign by id, in launch order; what each one needs; and the jobs of every arm and kind.
    A job that several arms share stands under each of them, the one that times all networks under `EVERY`.
    `points` are its sweep's, if it has one, and `given_up` the jobs that only pruned ones need."""

    tasks: Mapping[str, Task]
    needs: Mapping[str, Sequence[str]]
    arms: Mapping[tuple[str, str], Sequence[str]]
    points: Points | None = None
    given_up: frozenset[str] = frozenset()


def planned_of(manifest: Mapping[str, Any]) -> Planned:
    """What a manifest plans. KeyError, TypeError, AttributeError or ValueError where it is damaged."""
    tasks: dict[str, Task] = {}
    arms: dict[tuple[str, str], list[str]] = {}
    # In launch order, which the file's sorted keys have lost.
    for entry in manifest["entries"]:
        job_id, job = entry["job"], manifest["jobs"][entry["job"]]
        task = Task(job["kind"], entry["arm"], entry["repeat"], _epochs(job))
        tasks.setdefault(job_id, task)
        if entry.get("timed"):
            arms[EVERY, entry["kind"]] = [job_id]
        else:
            arms.setdefault((entry["arm"], entry["kind"]), []).append(job_id)
    needs = {job_id: needs_of(manifest["jobs"][job_id]["inputs"]) for job_id in tasks}
    points = _points(manifest) if "sweep" in manifest else None
    return Planned(tasks, needs, arms, points, frozenset(manifest.get("given_up", ())))


def _points(manifest: Mapping[str, Any]) -> Points:
    from tune_runs.enumeration import is_over  # deferred: most campaigns have no sweep
    from tune_runs.points import Point, of_study
    from tune_runs.sweeps import Sweep

    studies = Sweep.from_plain(manifest["sweep"]).studies
    # A point that was known before costs nothing, and is not counted by its study either.
    points = [Point.from_plain(plain) for plain in manifest["points"]]
    asked = [point for point in points if point.state != "known"]
    return Points(
        settled=sum(point.state != "open" for point in asked),
        asked=len(asked),
        wanted=sum(study.settings.points for study in studies),
        over=all(is_over(study, of_study(study, points)) for study in studies),
    )


def _epochs(job: Mapping[str, Any]) -> int:
    """How many epochs a job takes: fewer where a search stops early, or searches found the same."""
    recipe = job["recipe"]
    if job["kind"] == "random-search":
        return int(recipe["samples"]) * int(recipe["train"]["epochs"])
    if job["kind"] in ("evaluate", "latency"):
        return 1
    if job["kind"] != "select":
        return int(recipe["epochs"])
    each = recipe["train"]["epochs"] if recipe["rule"] == "retrain" else 1
    return int(each) * len(job["inputs"]["jobs"])


class Memory:
    """Looks at a storage again and again, without reading anew what does not change: jobs that are done, and
    manifests whose bytes are the same.

    It also remembers how many jobs ran at once: one that has ended and the next one, whose process starts,
    share a place. Damage that comes to the files of a finished job between two looks is not seen.
    """

    def __init__(self, storage: Storage, clock: Callable[[], float] = time.monotonic) -> None:
        self.storage, self.clock = storage, clock
        self._done: dict[str, Standing] = {}
        self._planned: dict[str, tuple[str, Planned]] = {}
        self._running: dict[str, list[tuple[float, int]]] = {}

    def planned(self, name: str) -> Planned:
        """What a campaign plans now; errors as of `Storage.read_manifest` and `planned_of`."""
        found = sha256(self.storage.folder.read(f"campaigns/{name}/manifest.json"))
        if name not in self._planned or self._planned[name][0] != found:
            self._planned[name] = found, planned_of(self.storage.read_manifest(name))
        return self._planned[name][1]

    def standings(self, jobs: Iterable[str]) -> dict[str, Standing]:
        """How jobs stand now, each by its own files alone."""
        wanted, names = list(jobs), set(self.storage.jobs())
        begun = [job_id for job_id in wanted if job_id in names]
        found = each(self.storage.folder, self._standing, begun)
        return dict.fromkeys(wanted, WAITING) | dict(zip(begun, found, strict=True))

    def at_once(self, name: str, running: int) -> int:
        """How many jobs of a campaign run at once, where so many run now: the most of the last looks."""
        now = self.clock()
        seen = [(when, count) for when, count in self._running.get(name, ()) if now - when < RECENT_SECONDS]
        self._running[name] = [*seen, (now, running)]
        return max(count for _, count in self._running[name])

    def _standing(self, job_id: str) -> Standing:
        if job_id in self._done:
            return self._done[job_id]
        standing = standing_of(self.storage.job(job_id))
        if standing.state.status == "done":
            self._done[job_id] = standing
        return standing
