"""Trying jobs again, and cancelling them: notes in the storage that launches read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from autoreid.errors import InputError, Problems
from autoreid.inputs import needs_of
from autoreid.storage import Storage
from tune_runs.lookup import resolve
from tune_runs.states import CANCELLED, State, states_of
from tune_runs.words import counted


@dataclass(frozen=True, slots=True)
class Campaigns:
    """Campaigns of a storage: the states of their jobs and the jobs that each has cancelled."""

    states: dict[str, State]
    planned: dict[str, frozenset[str]]
    cancelled: dict[str, frozenset[str]]


def read_campaigns(storage: Storage, names: Iterable[str]) -> Campaigns:
    """The campaigns of these names; InputError where one is not there or cannot be read."""
    needs: dict[str, tuple[str, ...]] = {}
    planned, cancelled = {}, {}
    for name in names:
        jobs = storage.read_manifest(name)["jobs"]
        needs |= {job_id: needs_of(job["inputs"]) for job_id, job in jobs.items()}
        planned[name] = frozenset(jobs)
        cancelled[name] = storage.cancelled(name) & planned[name]
    return Campaigns(states_of(storage, needs), planned, cancelled)


def retry(storage: Storage, given: Sequence[str], campaign: str | None) -> dict[str, Any]:
    """Failed jobs are tried again at the next launch, cancelled ones are taken up again.

    All of the campaign, or of every campaign, where no job is given. InputError, before anything is written,
    holds what is wrong with the jobs that are given.
    """
    found = read_campaigns(storage, storage.campaigns() if campaign is None else [campaign])
    gone = frozenset[str]().union(*found.cancelled.values())
    failed = frozenset(job for job, state in found.states.items() if state.status == "failed")
    jobs = failed | gone
    if given:
        jobs = frozenset(_resolve(storage, given, found))
        _refuse(
            f"job {job}: {found.states[job].status}. Only failed and cancelled jobs are tried again."
            for job in sorted(jobs - failed - gone)
        )
    for job in sorted(jobs & failed):
        storage.job(job).ask_again()
    for name, members in found.cancelled.items():
        if members & jobs:
            storage.resume(name, members & jobs)
    return {
        "storage": str(storage.folder),
        "tried_again": sorted(jobs & failed),
        "taken_up": sorted(jobs & gone),
    }


def retry_text(plain: dict[str, Any]) -> str:
    again, up = len(plain["tried_again"]), len(plain["taken_up"])
    parts = [f"{counted(again, 'failed job')} tried again"] if again else []
    parts += [f"{counted(up, 'cancelled job')} taken up again"] if up else []
    return f"At the next launch: {', '.join(parts)}." if parts else "No job has failed or was cancelled."


def cancel(storage: Storage, given: Sequence[str], campaign: str | None) -> dict[str, Any]:
    """Jobs of a campaign are not to be run: all that are not done, where no job is given.

    The campaign must be named where the storage has several. InputError, before anything is written, holds
    what is wrong with the jobs that are given.
    """
    name = _the_campaign(storage, campaign)
    found = read_campaigns(storage, [name])
    done = frozenset(job for job, state in found.states.items() if state.status == "done")
    jobs = frozenset(_resolve(storage, given, found)) if given else found.planned[name] - done
    _refuse(f"job {job}: done already, so that there is nothing to cancel." for job in sorted(jobs & done))
    new = jobs - found.cancelled[name]
    if new:
        storage.cancel(name, new)
    running = {job: found.states[job].where for job in sorted(new) if found.states[job].status == "running"}
    return {"storage": str(storage.folder), "campaign": name, CANCELLED: sorted(new), "running": running}


def cancel_text(plain: dict[str, Any]) -> str:
    if not plain[CANCELLED]:
        return f"{plain['campaign']}: no job is left to cancel."
    lines = [f"{plain['campaign']}: {counted(len(plain[CANCELLED]), 'job')} cancelled."]
    lines += [
        f"job {job} runs on {where}: it is asked to write a checkpoint and to end."
        for job, where in plain["running"].items()
    ]
    return "\n".join([*lines, "'autoreid campaign retry' takes them up again."])


def _the_campaign(storage: Storage, name: str | None) -> str:
    names = storage.campaigns()
    if name is None and len(names) > 1:
        known = ", ".join(names)
        raise InputError(f"{storage.folder}: {len(names)} campaigns: {known}. Name one by --campaign.")
    if name is None and not names:
        raise InputError(f"{storage.folder}: no campaign in this folder. Give the --storage of a launch.")
    return names[0] if name is None else name


def _resolve(storage: Storage, given: Iterable[str], campaigns: Campaigns) -> list[str]:
    """The ids of jobs of these campaigns that begin with the digits given; InputError holds every mistake."""
    problems, found = Problems(), []
    known = frozenset[str]().union(*campaigns.planned.values())
    place = f"{storage.folder} (campaigns {', '.join(campaigns.planned)})"
    for prefix in given:
        try:
            found.append(resolve(prefix, known, place))
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    return found


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise InputError(*found)
