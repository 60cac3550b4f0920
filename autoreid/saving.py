"""Saving a run between two steps, and continuing it from what was saved."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from autoreid.attempts import Attempt
from autoreid.building import remarks
from autoreid.cli import say
from autoreid.errors import StorageError
from autoreid.execution import Execution
from autoreid.leases import read_lease
from autoreid.runs import Row, Run
from autoreid.snapshots import Label, checkpoints, remove_checkpoints, write_checkpoint
from autoreid.values import canonical_json

# What a run raises that cannot take up a state: one of other code under the same revision.
UNFIT = (RuntimeError, KeyError, ValueError, TypeError, IndexError)


def resume(
    build: Callable[[], Run], attempt: Attempt, earlier: Iterable[Attempt], forms: str
) -> tuple[Run, Saved]:
    """A run that continues from the checkpoint of these attempts that is farthest on, and what goes with it.

    Where it does not fit, the next one is tried. Records after the checkpoint are dropped: the epochs they
    tell of are run again. Of earlier attempts, only the one that is continued keeps its checkpoints. `forms`
    are those in which the run goes on.
    """
    run, earlier = build(), list(earlier)
    for other, label, state in checkpoints(earlier):
        try:
            run.load(state)
        except torch.OutOfMemoryError:
            raise  # the checkpoint is well
        except UNFIT as error:
            words = f"{other.folder}/{label.name} does not fit this run ({error!r}): it is passed over"
            attempt.log(words)
            say(words)
            run = build()  # some of the state may have been taken up
            continue
        saved = _continued(run, attempt, earlier, other, label, state)
        _say_what_differs(attempt, label, forms)
        return run, saved
    return run, Saved()


def _continued(
    run: Run, attempt: Attempt, earlier: list[Attempt], other: Attempt, label: Label, state: dict[str, Any]
) -> Saved:
    """Put down in an attempt what it continues: a checkpoint of `other`."""
    rows = json.loads(state["records"])
    attempt.write_records(rows)
    if other.folder is not attempt.folder:
        write_checkpoint(attempt, state, label.part, label.forms, label.threads)
        with contextlib.suppress(StorageError):
            clear(past for past in earlier if past.folder is not other.folder)
    attempt.log(f"continues {other.name or 'this attempt'} after {run.position}")
    return Saved(label.part, tuple(rows))


def _say_what_differs(attempt: Attempt, label: Label, forms: str) -> None:
    """Log and say where a run goes on otherwise than its checkpoint was computed."""
    threads, found = torch.get_num_threads(), []
    if label.threads != threads:
        found.append(f"its checkpoint was computed on {label.threads} threads, this is {threads}")
    if label.forms and label.forms != forms:
        found.append(f"its checkpoint was computed in the form {label.forms}, this is {forms}")
    for words in found:
        attempt.log(words)
        say(f"job {attempt.job}: {words}: the last digits may differ from those of an undisturbed run.")


def clear(attempts: Iterable[Attempt]) -> None:
    """Remove the checkpoints of attempts on which no other process works."""
    for attempt in attempts:
        lease = read_lease(attempt.folder)
        if lease is None or not lease.holds() or lease.is_of_this_process():
            remove_checkpoints(attempt)


@dataclass(frozen=True, slots=True)
class Saved:
    """The number of the checkpoint that a run continues from, and the records that go with it."""

    part: int = 0
    rows: tuple[Row, ...] = ()


class Saver:
    """Saves a run in an attempt: the records of all finished epochs, and a checkpoint that holds them too."""

    def __init__(self, run: Run, attempt: Attempt, execution: Execution, saved: Saved) -> None:
        self.run, self.attempt, self.execution = run, attempt, execution
        self.part, self.rows = saved.part, list(saved.rows)
        self._saved = copy.copy(run.position)
        self._time = time.monotonic()
        self._logged: set[str] = set()
        self.log_remarks()

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
        # Under the checkpoint's digest, so that a damaged record cannot travel on.
        state = self.run.state() | {"records": canonical_json(self.rows)}
        write_checkpoint(self.attempt, state, self.part, self.execution.forms())
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
        self.log_remarks()
        at = self.run.position
        if at.epoch % self.execution.checkpoint_epochs == 0 or at.epoch == at.epochs:
            self.save()

    def log_remarks(self) -> None:
        """Log what the run says of itself, each thing once."""
        for words in remarks(self.run):
            if words not in self._logged:
                self.attempt.log(words)
                self._logged.add(words)
