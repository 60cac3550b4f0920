"""The epochs of a storage's jobs as event files that TensorBoard shows: one run for each repeat of each arm.

The storage's records stay the truth: the files are made of them, and made again they are the same bytes, so
that a job which was interrupted and continued has every epoch once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoreid.errors import InputError, RunError
from autoreid.folders import LocalFolder, sha256
from autoreid.storage import JobFolder, Storage
from tune_runs.event_files import event_bytes
from tune_runs.tracked import curve_of, manifests_of, runs_text

FILE = "events.out.tfevents.autoreid"
FOLDER = "tensorboard"
UNFIT = re.compile(r"[^\w .,=+()-]")


def write_curves(storage: Storage, out: Path | None = None, campaigns: Sequence[str] = ()) -> dict[str, Any]:
    """Write or bring up to date the event files of campaigns, all unless named, below `out`, or below the
    storage where that is a folder of this machine.

    InputError where a manifest cannot be read, or `out` is missing.
    """
    root = _root(storage, out)
    manifests = manifests_of(storage, campaigns)
    begun = set(storage.jobs())
    made: dict[str, bytes | None] = {}
    runs = changed = 0
    planned = [(name, entry) for name, manifest in manifests.items() for entry in manifest["entries"]]
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
    return f"{runs_text(plain)} Look at them: tensorboard --logdir '{plain['out']}'"


def _events(folder: JobFolder) -> bytes | None:
    """The event file of a job; None before its first checkpoint."""
    curve = curve_of(folder, folder.attempts())
    if not curve.steps:
        return None
    last = (curve.last,) if curve.scores else ()
    return event_bytes((*curve.steps, *last), curve.began)


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
