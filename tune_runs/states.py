"""What is known of jobs from their files: the storage is the only truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoreid.attempts import Attempt
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
    return State("started", _recorded(attempts[-1]), len(attempts))


def _recorded(attempt: Attempt) -> int:
    """Epochs in the records of an attempt; none where they are damaged."""
    try:
        return len(attempt.records())
    except (OSError, ValueError):
        return 0


def states_of(storage: Storage, needs: Mapping[str, Iterable[str]]) -> dict[str, State]:
    """The states of jobs, given which jobs each one needs, in any order.

    A job that waits is skipped while one that it needs has failed or is skipped.
    """
    own = {job_id: state_of(storage.job(job_id)) for job_id in needs}
    broken = {job_id: "failed" for job_id, state in own.items() if state.status == "failed"}
    changed = True
    while changed:
        changed = False
        for job_id, needed in needs.items():
            because = next((other for other in needed if other in broken), None)
            if because is not None and own[job_id].status == "waiting":
                own[job_id] = State("skipped", error=f"needs job {because}, which is {broken[because]}")
                broken[job_id] = "skipped"
                changed = True
    return own


def settle(storage: Storage, before: Mapping[str, int], job_id: str, problem: str | None) -> str | None:
    """None where a job is done; else why it is not, in the words of its newest outcome.

    `before` counts the attempts that a job had before it was released: they say nothing of this one.
    `problem` is what the trial itself said, which stands where it left no outcome.
    """
    folder = storage.job(job_id)
    state = state_of(folder)
    if state.status == "done":
        return None
    if state.error and len(folder.attempts()) > before.get(job_id, 0):
        return state.error
    return problem or "the worker process ended without an outcome: it was killed, or out of memory"
