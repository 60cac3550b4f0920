"""What a launch says on stderr: a line when a job starts and ends, and now and then one for an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from autoreid.cli import say
from tune_runs.planning import Plan

EPOCH_LINE_SECONDS = 3.0


class Progress:
    """Says how the jobs of a plan go. `write` takes one line; `clock` gives seconds."""

    def __init__(
        self,
        plan: Plan,
        *,
        done: int = 0,
        write: Callable[[str], None] = say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ended = done
        self.write = write
        self.clock = clock
        self._last_line = -EPOCH_LINE_SECONDS
        self._told_end = False
        self._began: dict[str, float] = {}
        self.follow(plan)

    def follow(self, plan: Plan) -> None:
        """The jobs are those of a plan: of the first one, or of one that has grown from it."""
        self.total = len(plan.jobs)
        self.names: dict[str, str] = {}
        for entry in plan.entries:
            self.names.setdefault(entry.job, f"{entry.kind} {entry.arm} repeat {entry.repeat + 1}")
        self.epochs = {job_id: job.epochs for job_id, job in plan.jobs.items()}

    def started(self, job: str) -> None:
        self._began[job] = self.clock()
        self._say(job, "starts")

    def epoch(self, job: str, row: Mapping[str, Any]) -> None:
        """An epoch is over; said at most every few seconds, for all jobs together."""
        now = self.clock()
        if now - self._last_line >= EPOCH_LINE_SECONDS:
            self._last_line = now
            self._say(job, f"epoch {row['epoch']}/{self.epochs[job]} loss {row['loss']:.2f}")

    def held(self, error: str, seconds: float) -> None:
        """The storage cannot be reached: nothing begins for so many seconds."""
        self.write(f"[{self.ended}/{self.total}] nothing begins for {seconds:.0f} s: {error}")

    def finished(self, job: str) -> None:
        self.ended += 1
        self._say(job, f"done in {self.clock() - self._began[job]:.0f} s")

    def done_before(self) -> None:
        """A job that a sweep has added was done already."""
        self.ended += 1

    def done_elsewhere(self, job: str) -> None:
        self.ended += 1
        self._say(job, "done by another launch")

    def waits(self, job: str, where: str) -> None:
        self._say(job, f"waits: {where} works on it")

    def tried_again(self, job: str, attempt: int, attempts: int, seconds: float, error: str) -> None:
        self._say(job, f"attempt {attempt} of {attempts} in {seconds:.0f} s: {error}")

    def moves(self, job: str, error: str) -> None:
        self._say(job, f"is tried elsewhere: {error}")

    def left_out(self, node: str, reason: str) -> None:
        """Nothing more begins on a node."""
        self.write(f"[{self.ended}/{self.total}] {node} is left out: {reason}")

    def none_left(self) -> None:
        """There is no node on which jobs could run; said once."""
        if not self._told_end:
            self._told_end = True
            self.write(
                f"[{self.ended}/{self.total}] nothing is left to run on, and the launch ends; jobs stay "
                "unfinished. See what 'autoreid doctor' says there, then run the same command again."
            )

    def failed(self, job: str, error: str) -> None:
        self.ended += 1
        self._say(job, f"FAILED: {error}")

    def given_up(self, job: str) -> None:
        self.ended += 1
        self._say(job, "given up: nothing needs it any more")

    def skipped(self, job: str, reason: str) -> None:
        self.ended += 1
        self._say(job, f"skipped: {reason}")

    def _say(self, job: str, what: str) -> None:
        self.write(f"[{self.ended}/{self.total}] {self.names[job]}: {what}")


def silent(_: str) -> None:
    """Takes a line and says nothing."""
