"""The jobs of a storage as runs of Weights & Biases: a campaign is a group, each repeat of an arm a run.

A run's id is made of the project and its place in the campaign, so that it is found again. On the server a
run grows by what is new. Offline there is nothing to resume, and of two folders with one id the server keeps
the one that comes last: a run that has grown is written as a whole, in place of its folder before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoreid.errors import RunError
from autoreid.folders import LocalFolder, sha256
from autoreid.storage import Storage
from tune_runs.tracked import TrackedRun, library, runs_text, tracked_runs

MARK = "autoreid_mark"
# Beside the run's files: what its folder holds, written last.
NOTE = "autoreid.json"
LONGEST_TAG = 64
# What this process prints and the machine that it runs on are not those of the job.
SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
}


@dataclass(frozen=True, slots=True)
class Tracker:
    """The library, the project's name, and the folder below which the library writes `wandb/`."""

    library: Any
    project: str
    root: Path

    def id_of(self, run: TrackedRun) -> str:
        return sha256(f"{self.project}/{run.key}".encode())[:16]


def write_wandb(
    storage: Storage, project: str, mode: str = "offline", campaigns: Sequence[str] = ()
) -> dict[str, Any]:
    """Log campaigns, all unless named, or bring up to date what was logged of them.

    Files are written below the storage where that is a folder of this machine, else below the working
    folder. InputError where a manifest cannot be read or wandb is not installed; RunError where it refuses
    something.
    """
    wandb = library("wandb", "Weights & Biases")
    root = storage.folder.root if isinstance(storage.folder, LocalFolder) else Path.cwd()
    tracker = Tracker(wandb, project, root)
    marks: dict[str, dict[str, str]] = {}
    runs = changed = 0
    try:
        for run in tracked_runs(storage, campaigns):
            runs += 1
            if mode == "offline":
                changed += _write_offline(tracker, run)
                continue
            if run.campaign not in marks:
                marks[run.campaign] = _marks(tracker, run.campaign)
            changed += _write_online(tracker, run, marks[run.campaign].get(tracker.id_of(run)))
    except (wandb.Error, OSError) as error:
        remedy = "For a server: 'wandb login'. Then give the command again: it adds what is missing."
        raise RunError(f"Weights & Biases: {str(error).rstrip('.')}. {remedy}") from error
    where = str(root / "wandb") if mode == "offline" else project
    plain = {"storage": str(storage.folder), "project": project, "mode": mode, "out": where}
    return {**plain, "runs": runs, "changed": changed}


def wandb_text(plain: Mapping[str, Any]) -> str:
    """What was logged, for people."""
    if plain["mode"] == "offline":
        return f"{runs_text(plain)} Send them: wandb sync '{plain['out']}'/offline-run-*"
    return f"{runs_text(plain)} They are in the project {plain['project']}."


def _write_offline(tracker: Tracker, run: TrackedRun) -> bool:
    """Whether a run was written, whole."""
    name = tracker.id_of(run)
    before = sorted((tracker.root / "wandb").glob(f"offline-run-*-{name}*"))
    if any(_noted(folder) == run.mark for folder in before):
        return False
    made = _begin(tracker, run, "offline")
    folder = Path(made.dir).parent
    _log(made, run, 0)
    (folder / NOTE).write_text(json.dumps({"mark": run.mark}))
    for old in before:
        shutil.rmtree(old)
    return True


def _noted(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / NOTE).read_text())["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _marks(tracker: Tracker, campaign: str) -> dict[str, str]:
    """What the server has of a campaign: the marks of its runs by their ids."""
    filters = {"config.campaign": campaign}
    try:
        found = tracker.library.Api().runs(tracker.project, filters=filters, lazy=False)
        return {run.id: str(run.config[MARK]) for run in found if MARK in run.config}
    except ValueError as error:
        if "Could not find project" in str(error):  # it is made with its first run
            return {}
        raise


def _write_online(tracker: Tracker, run: TrackedRun, mark: str | None) -> bool:
    """Whether something of a run was sent."""
    if mark == run.mark:
        return False
    known = None if mark is None else run.known(mark)
    # Without `resume` a run replaces the one of its id.
    made = _begin(tracker, run, "online", resume=None if known is None else "allow")
    _log(made, run, known or 0)
    return True


def _begin(tracker: Tracker, run: TrackedRun, mode: str, resume: str | None = None) -> Any:
    place = {"campaign": run.campaign, "arm": run.arm, "kind": run.kind, "repeat": run.repeat}
    # A run that ends early is resumed: it has nothing for certain.
    mark = {} if resume else {MARK: "0 " + sha256(repr(()).encode())[:16]}
    return tracker.library.init(
        project=tracker.project,
        id=tracker.id_of(run),
        name=run.name,
        group=run.campaign,
        job_type=run.kind,
        tags=[text[:LONGEST_TAG] for text in dict.fromkeys((run.campaign, run.arm, run.status))],
        config={**place, **run.settings, **mark},
        allow_val_change=True,
        dir=str(tracker.root),
        mode=mode,
        resume=resume,
        reinit="finish_previous",
        settings=tracker.library.Settings(**SETTINGS),
    )


def _log(made: Any, run: TrackedRun, known: int) -> None:
    """Log the epochs after those that are known, what is said of the run as a whole, and end it."""
    for step in run.curve.steps[known:]:
        if step.step >= made.starting_step:  # others came before an end in the middle of it
            made.log(dict(step.scalars), step=step.step)
    made.summary.update({**run.curve.scores, "status": run.status, "error": run.error})
    made.config.update({MARK: run.mark}, allow_val_change=True)
    made.finish(exit_code=1 if run.status == "failed" else 0)
