"""What is known of jobs from their files: the storage is the only truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoreid.storage import JobFolder, Storage

STATES = ("done", "started", "waiting", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class State:
    """How far a job is: its status, the epochs done, and why it failed or was skipped.

    `started` has an attempt without an outcome: it runs at this moment, or was interrupted.
    """

    status: str
    epochs: int = 0
    attempts: int = 0
    error: str | None = None


def state_of(folder: JobFolder) -> State:
    """The state of one job by its own files alone."""
    attempts = folder.attempts()
    if not attempts:
        return State("waiting")
    finished = folder.finished()
    if finished is not None:
        return State("done", int(finished[1].facts.get("epochs", 0)), len(attempts))
    outcome = attempts[-1].outcome()
    if outcome is not None and outcome.status == "failed":
        return State("failed", int(outcome.facts.get("epochs", 0)), len(attempts), outcome.error)
    if outcome is not None and outcome.status == "done":
        return State("failed", 0, len(attempts), "files that the outcome vouches for are missing or damaged")
    return State("started", len(attempts[-1].records()), len(attempts))


def states_of(storage: Storage, needs: Mapping[str, Iterable[str]]) -> dict[str, State]:
    """The states of jobs, given which jobs each one needs; needed jobs come before those that need them.

    A job is skipped while one that it needs has failed.
    """
    states: dict[str, State] = {}
    for job_id, needed in needs.items():
        state = state_of(storage.job(job_id))
        broken = [
            other for other in needed if other in states and states[other].status in ("failed", "skipped")
        ]
        if broken and state.status == "waiting":
            state = State("skipped", error=f"needs job {broken[0]}, which is {states[broken[0]].status}")
        states[job_id] = state
    return states


def settle(storage: Storage, job_id: str) -> str | None:
    """None where a job is done; else why it is not, in the words of its last attempt."""
    state = state_of(storage.job(job_id))
    if state.status == "done":
        return None
    return state.error or "the worker process ended without an outcome: it was killed, or out of memory"
