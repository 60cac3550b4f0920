"""The epochs of a storage's jobs as event files that TensorBoard shows: one run for each repeat of each arm.

The storage's records stay the truth: the files are made of them, and made again they are the same bytes, so
that a job which was interrupted and continued has every epoch once.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreid.attempts import STARTED, Attempt
from autoreid.errors import InputError, Problems, RunError
from autoreid.folders import LocalFolder, sha256
from autoreid.records import EPOCH_COLUMNS
from autoreid.storage import JobFolder, Storage
from tune_runs.event_files import Step, event_bytes
from tune_runs.words import counted

FILE = "events.out.tfevents.autoreid"
FOLDER = "tensorboard"
# Cards of TensorBoard are grouped by what stands before the slash.
GROUPS = {
    column.name: "machine" if column.measured else "epoch"
    for column in EPOCH_COLUMNS
    if column.kind in ("float64", "int64") and column.name != "epoch"
}
UNFIT = re.compile(r"[^\w .,=+()-]")


def write_curves(storage: Storage, out: Path | None = None, campaigns: Sequence[str] = ()) -> dict[str, Any]:
    """Write or bring up to date the event files of campaigns, all unless named, below `out`, or below the
    storage where that is a folder of this machine.

    InputError where a manifest cannot be read, or `out` is missing.
    """
    root = _root(storage, out)
    planned = _planned(storage, campaigns)
    begun = set(storage.jobs())
    made: dict[str, bytes | None] = {}
    runs = changed = 0
    for name, entry in planned:
        job = str(entry["job"])
        if job not in made:  # several arms may share it
            made[job] = _events(storage.job(job)) if job in begun else None
        data = made[job]
        if data is not None:
            runs += 1
            changed += _bring_up_to_date(root / run_name(name, entry) / FILE, data)
    return {"storage": str(storage.folder), "out": str(root), "runs": runs, "changed": changed}


def _root(storage: Storage, out: Path | None) -> Path:
    if out is not None:
        return out
    if isinstance(storage.folder, LocalFolder):
        return storage.folder.root / FOLDER
    raise InputError(f"{storage.folder}: TensorBoard reads folders. Give one of this machine by --out.")


def _planned(storage: Storage, campaigns: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """The entries of campaigns, each with its campaign's name."""
    names, problems = campaigns or storage.campaigns(), Problems()
    if not names:
        raise InputError(f"{storage.folder}: no campaign in this folder. Give the --storage of a launch.")
    found: list[tuple[str, dict[str, Any]]] = []
    for name in names:
        try:
            found += [(name, entry) for entry in storage.read_manifest(name)["entries"]]
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    return found


def run_name(campaign: str, entry: Mapping[str, Any]) -> str:
    """The folder of a manifest's entry, which TensorBoard shows as the run's name.

    >>> run_name("small", {"arm": "cnet, k=1", "kind": "search", "repeat": 0})
    'small/cnet, k=1/search 1'
    >>> run_name("small", {"arm": "a/b", "kind": "train", "repeat": 1})
    'small/a_b c14cddc0/train 2'
    """
    arm = str(entry["arm"])
    plain = UNFIT.sub("_", arm).strip(". ") or "_"
    if plain != arm:  # two arms must not meet
        plain += f" {sha256(arm.encode())[:8]}"
    return f"{campaign}/{plain}/{entry['kind']} {int(entry['repeat']) + 1}"


def curves_text(plain: Mapping[str, Any]) -> str:
    """What was written, for people."""
    runs = f"{counted(plain['runs'], 'run')}, {plain['changed']} of them new or longer."
    return f"{runs} Look at them: tensorboard --logdir '{plain['out']}'"


def _events(folder: JobFolder) -> bytes | None:
    """The event file of a job; None before its first checkpoint."""
    attempts = folder.attempts()
    finished = folder.finished(attempts)
    # An attempt that continues another holds the records of both.
    rows = finished[0].records() if finished else max(map(_records, attempts), key=len, default=[])
    if not rows:
        return None
    began = _began(attempts)
    steps = list(_steps(rows, began))
    scores = {} if finished is None else _scores(finished[1].result)
    if scores:
        steps.append(Step(steps[-1].step, steps[-1].wall, scores))
    return event_bytes(steps, began)


def _records(attempt: Attempt) -> list[dict[str, Any]]:
    try:
        return attempt.records()
    except (OSError, ValueError):
        return []


def _began(attempts: Iterable[Attempt]) -> float:
    """When the first attempt began, in seconds since 1970; 0 where none tells."""
    for attempt in attempts:
        try:
            started = json.loads(attempt.folder.read(STARTED))["started"]
            return datetime.datetime.fromisoformat(started).timestamp()
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
    return 0.0


def _steps(rows: Iterable[Mapping[str, Any]], began: float) -> Iterable[Step]:
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
    """The numbers of an evaluation at the end."""
    scores = result.get("evaluation")
    found = scores.items() if isinstance(scores, Mapping) else ()
    return {f"result/{name}": float(value) for name, value in found if _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _bring_up_to_date(path: Path, data: bytes) -> bool:
    """Whether a file was made, lengthened or replaced.

    One that is longer now is lengthened in place: a TensorBoard that reads it goes on from where it was.
    """
    try:
        old = path.read_bytes() if path.is_file() else b""
        if old == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if data.startswith(old) else "wb") as file:
            file.write(data[len(old) :] if data.startswith(old) else data)
        return True
    except OSError as error:
        remedy = "Free space, or give another folder by --out."
        raise RunError(f"{path}: cannot be written: {error.strerror or error}. {remedy}") from error
