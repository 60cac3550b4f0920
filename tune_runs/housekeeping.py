"""Removing what nobody needs any more: old checkpoints, and what was left by launches that were killed.

Results, records, genotypes, weights and tables are never touched. Free of torch.
"""

from __future__ import annotations

import re
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreid.attempts import DAMAGED, INTERRUPTED, LOG, OUTCOME, RECORDS, STARTED, Attempt
from autoreid.errors import InputError, Problems
from autoreid.folders import File, amount
from autoreid.leases import FILE as LEASE
from autoreid.storage import Storage
from tune_runs.words import counted, table

# What stays of an attempt that another one superseded: how it went, and what it cost.
NOTES = frozenset((OUTCOME, RECORDS, LOG, STARTED, INTERRUPTED, DAMAGED, LEASE))
# A file that has not changed for so long is not being written; a lease is renewed far more often.
QUIET_SECONDS = 3600.0
CHECKPOINTS = "checkpoints/"
OF_ATTEMPT = re.compile(r"jobs/([^/]+)/attempts/([^/]+)/(.+)")
OF_REHEARSAL = re.compile(r"(rehearsals/[^/]+)/.+")
BROKEN_OFF = re.compile(r"(?:.*/)?\.part-[0-9a-f]{32}")

FINISHED = "checkpoints of finished jobs"
UNPLANNED = "checkpoints of jobs that no campaign plans"
SUPERSEDED = "files of attempts that another one finished"
WRITES = "writes that broke off"
REHEARSALS = "rehearsals that were killed"
KINDS = (FINISHED, UNPLANNED, SUPERSEDED, WRITES, REHEARSALS)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file that nobody needs: its name in the storage, its bytes, and what it is of."""

    name: str
    bytes: int
    kind: str


@dataclass(frozen=True, slots=True)
class Running:
    """A job that a process works on: its files are left alone."""

    job: str


def planned_jobs(storage: Storage, campaigns: Iterable[str]) -> frozenset[str]:
    """The jobs of campaigns. InputError with every one that cannot be read: nothing is known then of what is
    needed."""
    problems, jobs = Problems(), set[str]()
    for name in dict.fromkeys(campaigns):
        try:
            jobs |= storage.read_manifest(name)["jobs"].keys()
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    return frozenset(jobs)


def leftovers(
    storage: Storage, files: Mapping[str, File], planned: Container[str]
) -> Iterator[Leftover | Running]:
    """What nobody needs among the files of a storage, where only `planned` jobs are to be continued; and the
    jobs that are left alone.

    A job is looked at when it is its turn, so that one which began meanwhile is seen to run.
    """
    quiet_since = time.time() - QUIET_SECONDS
    for job in _candidates(files):
        yield from _of_job(storage, job, planned)
    yield from _rehearsals(files, quiet_since)
    for name, file in files.items():
        if BROKEN_OFF.fullmatch(name) and not OF_REHEARSAL.fullmatch(name) and file.changed < quiet_since:
            yield Leftover(name, file.bytes, WRITES)


def _candidates(files: Iterable[str]) -> list[str]:
    """Jobs that may hold something to remove, by the names of their files: most finished ones do not."""
    attempts: dict[str, set[str]] = {}
    found: dict[str, None] = {}
    for match in filter(None, map(OF_ATTEMPT.fullmatch, files)):
        job, attempt, file = match.groups()
        known = attempts.setdefault(job, set())
        known.add(attempt)
        if file.startswith(CHECKPOINTS) or len(known) > 1:
            found[job] = None
    return list(found)


def _of_job(storage: Storage, job: str, planned: Container[str]) -> Iterator[Leftover | Running]:
    folder = storage.job(job)
    attempts = folder.attempts()
    if folder.holder(attempts) is not None:
        yield Running(job)
        return
    finished = folder.finished(attempts)
    if finished is None and job in planned:
        return
    for attempt in attempts:
        superseded = finished is not None and not _is_done(attempt)
        for file, size in _files(attempt).items():
            name = f"jobs/{job}/attempts/{attempt.name}/{file}"
            if file.startswith(CHECKPOINTS):
                yield Leftover(name, size, UNPLANNED if finished is None else FINISHED)
            elif superseded and file not in NOTES:
                yield Leftover(name, size, SUPERSEDED)


def _files(attempt: Attempt) -> Mapping[str, int]:
    return attempt.folder.sizes() if attempt.sizes is None else attempt.sizes


def _is_done(attempt: Attempt) -> bool:
    """Whether it vouches for its files: the one that counts, or a second one, which is its copy."""
    outcome = attempt.outcome()
    return outcome is not None and outcome.status == "done"


def _rehearsals(files: Mapping[str, File], quiet_since: float) -> Iterator[Leftover]:
    """The files of rehearsals in which nothing has changed for long: one that goes on renews its leases."""
    groups: dict[str, list[str]] = {}
    for name in files:
        match = OF_REHEARSAL.fullmatch(name)
        if match:
            groups.setdefault(match[1], []).append(name)
    for names in groups.values():
        if max(files[name].changed for name in names) < quiet_since:
            yield from (Leftover(name, files[name].bytes, REHEARSALS) for name in names)


def tidy(storage: Storage, *, dry_run: bool = False, keep: Sequence[str] = ()) -> dict[str, Any]:
    """Remove what nobody needs, or only say what that is, as JSON values.

    `keep` names the campaigns that are to be continued; all of them, unless given. InputError, before
    anything is removed, where the folder is no storage or a manifest cannot be read.
    """
    if not storage.campaigns():
        raise InputError(f"{storage.folder}: no campaign in this folder. Give the --storage of a launch.")
    # In this order: a job is in a manifest before it has files.
    files = storage.folder.files()
    planned = planned_jobs(storage, keep or storage.campaigns())
    found: list[Leftover] = []
    running: list[str] = []
    for item in leftovers(storage, files, planned):
        if isinstance(item, Running):
            running.append(item.job)
            continue
        if not dry_run:
            storage.folder.remove(item.name)
        found.append(item)
    kinds = {kind: [item.bytes for item in found if item.kind == kind] for kind in KINDS}
    return {
        "storage": str(storage.folder),
        "dry_run": dry_run,
        "bytes": sum(item.bytes for item in found),
        "kinds": {kind: {"files": len(sizes), "bytes": sum(sizes)} for kind, sizes in kinds.items() if sizes},
        "files": [item.name for item in found],
        "running": running,
    }


def tidy_text(plain: dict[str, Any]) -> str:
    """What was removed, for people."""
    rows = [(kind, str(of["files"]), amount(of["bytes"])) for kind, of in plain["kinds"].items()]
    lines = table(("what", "files", "size"), rows) if rows else []
    if not rows:
        lines.append(f"{plain['storage']}: nothing to remove.")
    elif plain["dry_run"]:
        lines.append(f"{amount(plain['bytes'])} would be removed; this was a dry run.")
    else:
        lines.append(f"{amount(plain['bytes'])} removed.")
    if plain["running"]:
        lines.append(f"{counted(len(plain['running']), 'running job')} left alone.")
    return "\n".join(lines)
