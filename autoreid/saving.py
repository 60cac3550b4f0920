"""Saving a run between two steps, and continuing it from what was saved."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from autoreid.attempts import RECORDS, Attempt
from autoreid.cli import say
from autoreid.recipes import Execution
from autoreid.snapshots import newest_checkpoint, remove_checkpoints, write_checkpoint

if TYPE_CHECKING:
    from autoreid.running import Run

Row = dict[str, Any]


def resume(run: Run, attempt: Attempt, earlier: Iterable[Attempt]) -> tuple[int, list[Row]]:
    """Continue from the checkpoint of these attempts that is farthest on; its number and its records.

    Records after the checkpoint are dropped: the epochs they tell of are run again.
    """
    left = list(earlier)
    while found := newest_checkpoint(left):
        other, label, state = found
        rows = _records(other)[: label.epoch]
        if len(rows) == label.epoch:
            break
        say(f"{other.folder}/{RECORDS}: damaged; the checkpoints of this attempt are passed over.")
        left.remove(other)
    else:
        return 0, []
    run.load(state)
    attempt.write_records(rows)
    if other.folder is not attempt.folder:
        write_checkpoint(attempt, state, label.part)
    attempt.log(f"continues {other.name or 'this attempt'} after {run.position}")
    if label.threads != torch.get_num_threads():
        words = f"its checkpoint was computed on {label.threads} threads, this is {torch.get_num_threads()}"
        attempt.log(words)
        say(f"job {attempt.job}: {words}: the last digits may differ from those of an undisturbed run.")
    return label.part, rows


def _records(attempt: Attempt) -> list[Row]:
    try:
        return attempt.records()
    except ValueError:
        return []


class Saver:
    """Saves a run in an attempt: the records of all finished epochs, and then a checkpoint.

    `part` is the number of the last checkpoint, and `rows` are the records that go with it.
    """

    def __init__(
        self, run: Run, attempt: Attempt, execution: Execution, part: int = 0, rows: Iterable[Row] = ()
    ) -> None:
        self.run, self.attempt, self.execution = run, attempt, execution
        self.part, self.rows = part, list(rows)
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
        self.attempt.write_records(self.rows)
        write_checkpoint(self.attempt, self.run.state(), self.part)
        self.attempt.flush_log()
        self._saved, self._time = copy.copy(self.run.position), time.monotonic()

    def save_if_late(self) -> None:
        """Save where the last checkpoint is older than the execution wants."""
        minutes = self.execution.checkpoint_minutes
        if minutes and time.monotonic() - self._time > 60 * minutes:
            self.save()

    def add(self, row: Row) -> None:
        """Take the record of the epoch that is over, and save where it is time to."""
        self.rows.append(row)
        at = self.run.position
        if at.epoch % self.execution.checkpoint_epochs == 0 or at.epoch == at.epochs:
            self.save()

    def clear(self) -> None:
        """Remove the checkpoints: the outcome is there."""
        remove_checkpoints(self.attempt)
