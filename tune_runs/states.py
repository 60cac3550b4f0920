"""What is known of jobs from their files: the storage is the only truth."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoreid.attempts import Attempt, Outcome
from autoreid.many import each
from autoreid.storage import JobFolder, Storage

STATES = ("done", "running", "started", "waiting", "failed", "skipped")
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class State:
    """How far a job is: its status, the epochs done, and why it failed or was skipped.

    `running` is held by a living process, which `where` names; `started` has an attempt that was
    interrupted. `final` says of a failed job that it is not run again unless somebody asks.
    """

    status: str
    epochs: int = 0
    attempts: int = 0
    error: str | None = None
    final: bool = False
    where: str | None = None


def state_of(folder: JobFolder, attempts: Sequence[Attempt] | None = None) -> State:
    """The state of one job by its own files alone; its attempts are given where they were just listed."""
    attempts = folder.attempts() if attempts is None else attempts
    if not attempts:
        return State("waiting")
    finished = folder.finished(attempts)
    if finished is not None:
        return done(finished[1], len(attempts))
    holder = folder.holder(attempts)
    if holder is not None:
        return State("running", _recorded(attempts[-1]), len(attempts), where=str(holder))
    outcome = attempts[-1].outcome()
    if outcome is not None and outcome.status == "failed":
        final = folder.failed_for_good() is not None
        return State("failed", int(outcome.facts.get("epochs", 0)), len(attempts), outcome.error, final)
    if outcome is not None and outcome.status == "done":
        return State("failed", 0, len(attempts), "files that the outcome vouches for are missing or damaged")
    return State("started", _recorded(attempts[-1]), len(attempts))


def done(outcome: Outcome, attempts: int) -> State:
    """The state of a job whose outcome counts."""
    return State("done", int(outcome.facts.get("epochs", 0)), attempts)


def _recorded(attempt: Attempt) -> int:
    """Epochs in the records of an attempt; none where they are damaged."""
    try:
        return len(attempt.records())
    except (OSError, ValueError):
        return 0


def states_of(
    storage: Storage, needs: Mapping[str, Iterable[str]], cancelled: Container[str] = ()
) -> dict[str, State]:
    """The states of jobs, given which jobs each one needs, in any order."""
    names = set(storage.jobs())
    begun = [job_id for job_id in needs if job_id in names]
    found = each(storage.folder, lambda job_id: state_of(storage.job(job_id)), begun)
    own = dict.fromkeys(needs, State("waiting")) | dict(zip(begun, found, strict=True))
    return related(own, needs, cancelled)


def related(
    states: Mapping[str, State], needs: Mapping[str, Iterable[str]], cancelled: Container[str] = ()
) -> dict[str, State]:
    """The states of jobs by their own files, held against each other.

    A job that is cancelled and not done is skipped; one that waits is skipped while one that it needs has
    failed or is skipped.
    """
    own = dict(states)
    for job_id, state in own.items():
        if job_id in cancelled and state.status not in ("done", "running"):
            own[job_id] = State("skipped", state.epochs, state.attempts, CANCELLED)
    broken = {job_id: state.status for job_id, state in own.items() if state.status in ("failed", "skipped")}
    changed = True
    while changed:
        changed = False
        for job_id, needed in needs.items():
            because = next((other for other in needed if other in broken), None)
            if because is not None and own[job_id].status == "waiting":
                own[job_id] = State("skipped", error=f"needs job {because}, which {_how(broken[because])}")
                broken[job_id] = "skipped"
                changed = True
    return own


def _how(status: str) -> str:
    return "failed" if status == "failed" else "was skipped"
