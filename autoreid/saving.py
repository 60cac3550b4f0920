"""Saving a run between two steps, and continuing it from what was saved."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autoreid.attempts import Attempt
from autoreid.cli import say
from autoreid.recipes import Execution
from autoreid.snapshots import newest_checkpoint, remove_checkpoints, write_checkpoint

if TYPE_CHECKING:
    from autoreid.running import Run


def resume(run: Run, attempt: Attempt, earlier: Iterable[Attempt]) -> int:
    """Continue from the checkpoint of these attempts that is farthest on; the parts of records that are kept.

    Records after the checkpoint are dropped: the epochs they tell of are run again.
    """
    found = newest_checkpoint(earlier)
    if found is None:
        return 0
    other, label, state = found
    run.load(state)
    for name in other.folder.sizes("records/"):
        if int(Path(name).stem) <= label.part:
            attempt.write(name, other.read(name))
        elif other.folder is attempt.folder:
            attempt.remove(name)
    if other.folder is not attempt.folder:
        write_checkpoint(attempt, state, label.part)
    attempt.log(f"continues {other.name or 'this attempt'} after {run.position}")
    if label.threads != torch.get_num_threads():
        words = f"its checkpoint was computed on {label.threads} threads, this is {torch.get_num_threads()}"
        attempt.log(words)
        say(f"job {attempt.job}: {words}: the last digits may differ from those of an undisturbed run.")
    return label.part


class Saver:
    """Saves a run in an attempt: the records of finished epochs in parts, each part with a checkpoint."""

    def __init__(self, run: Run, attempt: Attempt, part: int, execution: Execution) -> None:
        self.run, self.attempt, self.part, self.execution = run, attempt, part, execution
        self.rows: list[dict[str, Any]] = []
        self._saved = copy.copy(run.position)
        self._time = time.monotonic()

    @property
    def kept(self) -> str:
        """What would not be lost now."""
        if str(self._saved) == "the start":
            return "There is no checkpoint yet."
        return f"The checkpoint after {self._saved} is kept."

    def save(self) -> None:
        """Put the records so far and a checkpoint, unless nothing has happened since the last one."""
        if str(self.run.position) == str(self._saved):
            return
        self.run.check()
        self.part += 1
        self.attempt.write_records(self.part, self.rows)
        write_checkpoint(self.attempt, self.run.state(), self.part)
        self.attempt.flush_log()
        self.rows, self._saved, self._time = [], copy.copy(self.run.position), time.monotonic()

    def save_if_late(self) -> None:
        """Save where the last checkpoint is older than the execution wants."""
        minutes = self.execution.checkpoint_minutes
        if minutes and time.monotonic() - self._time > 60 * minutes:
            self.save()

    def add(self, row: dict[str, Any]) -> None:
        """Take the record of the epoch that is over, and save where it is time to."""
        self.rows.append(row)
        at = self.run.position
        if at.epoch % self.execution.checkpoint_epochs == 0 or at.epoch == at.epochs:
            self.save()

    def clear(self) -> None:
        """Remove the checkpoints: the outcome is there."""
        remove_checkpoints(self.attempt)
