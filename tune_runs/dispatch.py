"""Which job is run when: jobs that fail are tried again, others wait for other launches, or are cancelled.

Free of Ray.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from autoreid.errors import InputError
from tune_runs.context import FAILED, HELD, INTERRUPTED, REFUSED
from tune_runs.nodes import Nodes
from tune_runs.progress import Progress
from tune_runs.releases import Releases
from tune_runs.retries import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, Retries
from tune_runs.site import UNREADABLE, Site
from tune_runs.states import CANCELLED, State
from tune_runs.supply import NoMore, Supply

# How often it is looked at what other processes do, and how often running jobs are asked to stop.
LOOK_SECONDS = 3.0
ASK_SECONDS = 0.5
# How trials end that have not done their job: what is done all the same, another process has done.
NOT_DONE_HERE = (HELD, INTERRUPTED, REFUSED)
KILLED = "the worker process ended without an outcome: it was killed, or out of memory"
STOPPED = "the worker process was asked to stop"


def never() -> bool:
    """Nobody asks to stop."""
    return False


class Dispatch:
    """Hands out jobs, at most `slots` at a time, and takes what became of them.

    A job that ended is settled by its files, not by what Tune saw. One that can be tried again waits a while
    first. `supply` gives more jobs when none is left, of which `reused` were done before; `refused` says why
    it cannot go on, if it cannot. Those of `alone` run while no other does. `stopping` says whether the
    launch is to end, as it does where none of `nodes` is left; `clock` gives seconds.
    """

    def __init__(
        self,
        releases: Releases,
        site: Site,
        progress: Progress,
        *,
        slots: int,
        retries: int = 0,
        supply: Supply | None = None,
        nodes: Nodes | None = None,
        stopping: Callable[[], bool] = never,
        clock: Callable[[], float] = time.monotonic,
        alone: Iterable[str] = (),
    ) -> None:
        self.releases, self.site, self.progress = releases, site, progress
        self.slots, self.retries = slots, Retries(retries)
        self.supply: Supply = NoMore() if supply is None else supply
        self.nodes = Nodes() if nodes is None else nodes
        self.stopping, self.clock = stopping, clock
        self.alone = frozenset(alone)
        self.elsewhere: set[str] = set()
        self.reused = 0
        self.refused: str | None = None
        self._cancelled: frozenset[str] = frozenset()
        self._waits: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._next_look = self._next_ask = 0.0
        self._away = self._closed_until = 0.0

    @property
    def ending(self) -> bool:
        """Whether nothing more is to begin."""
        return self.stopping() or self.nodes.none_left

    @property
    def over(self) -> bool:
        """Whether no job runs and none will."""
        if self.releases.running:
            return False
        ended = self.supply.over or self.refused is not None
        return self.ending or (not self.releases.waits and ended)

    def next(self) -> str | None:
        """The next job to run; None where there is none at this moment."""
        self._look_around()
        while not self.ending and len(self.releases.running) < self.slots:
            if self.clock() < self._closed_until or self.alone & self.releases.running:
                return None
            job = self.releases.release(self.clock())
            if job is None and not self.grow():
                return None
            if job in self.alone and len(self.releases.running) > 1:
                self.releases.put_back(job, self.clock() + LOOK_SECONDS)
            elif job is not None and self._begins(job):
                return job
        return None

    def grow(self) -> bool:
        """Take more jobs from the supply; whether there were any."""
        try:
            new = self.supply.more(self.releases)
        except InputError as error:
            self.refused = str(error)
            return False
        except UNREADABLE as error:
            self._close(error)
            return False
        for job in new:
            with contextlib.suppress(*UNREADABLE):  # else it is found out when its turn comes
                if self.site.state(job).status == "done":
                    self.releases.done.add(job)
                    self.reused += 1
                    self.progress.done_before()
        self.releases.add(new)
        return bool(new)

    def reported(self, job: str, row: Mapping[str, Any]) -> None:
        """A running job has done an epoch."""
        self.retries.progressed(job, row["epoch"])
        self.nodes.progressed(row.get("node"))
        with contextlib.suppress(*UNREADABLE):
            self.supply.reported(job, row)
        if "loss" in row:
            self.progress.epoch(job, row)

    def ended(self, job: str, how: str | None, problem: str | None, node: str | None = None) -> None:
        """A job's trial is over; `how` and `problem` are what it said, None where it died without a word.
        `node` is where it ran, if that is known."""
        try:
            state = self.site.state(job)
        except UNREADABLE as error:
            state, how, problem = State("unknown"), FAILED, str(error)
        if state.status == "done":
            self._done(job, here=how not in NOT_DONE_HERE)
            self.nodes.progressed(node)
        elif job in self.supply.given_up:
            self.releases.give_up(job)
            self.progress.given_up(job)
        elif job in self._cancelled:
            self._skip(job, CANCELLED)
        elif how == HELD:
            self._wait(job, state)
        elif how == REFUSED:
            self._refused(job, str(problem), node)
        else:
            said = state.error is not None and state.attempts > self._attempts.get(job, 0)
            words = (state.error if said else STOPPED if how == INTERRUPTED else problem) or KILLED
            if said and state.final:
                self._fail(job, words)
            elif self.ending:
                self.releases.put_back(job)
            elif how == FAILED or not self._blames(job, words, node):
                self._failed(job, words)

    def take(self, states: Mapping[str, State], cancelled: Iterable[str]) -> None:
        """Before anything is run: jobs whose failure is final stay failed, cancelled ones are skipped."""
        for job, state in states.items():
            if state.status == "failed" and state.final and job in self.releases.waiting:
                self._refuse(job, state)
        self._cancel(cancelled)
        self._give_up()

    def _give_up(self) -> None:
        """Jobs that nobody wants any more are not begun, and those that run are asked to stop."""
        unwanted = self.supply.given_up
        for job in [job for job in unwanted if job in self.releases.waiting]:
            self.releases.give_up(job)
            self.progress.given_up(job)
        running = unwanted & self.releases.running
        if running:
            self.site.interrupt(running)

    def _refuse(self, job: str, state: State) -> None:
        self._fail(job, f"{state.error} ('autoreid campaign retry' tries it again)")

    def _cancel(self, jobs: Iterable[str]) -> None:
        """Jobs are not to be run: those that run are asked to stop, the others are skipped."""
        self._cancelled = frozenset(jobs)
        for job in [job for job in self._cancelled if job in self.releases.waiting]:
            if job in self.releases.waiting:  # else skipped meanwhile
                self._skip(job, CANCELLED)
        running = self._cancelled & self.releases.running
        if running:
            self.site.interrupt(running)

    def _look_around(self) -> None:
        now = self.clock()
        try:
            if self.ending and now >= self._next_ask:
                self._next_ask = now + ASK_SECONDS
                self.site.interrupt(self.releases.running)
            elif now >= self._next_look:
                self._next_look = now + LOOK_SECONDS
                self._cancel(self.site.cancelled())
                self._give_up()
        except UNREADABLE:
            pass  # it is looked again in a while

    def _begins(self, job: str) -> bool:
        """Whether a released job is to be run now."""
        try:
            state = self.site.state(job)
            if state.status == "done":
                self._done(job, here=False)
            elif state.status == "running":
                self._wait(job, state)
            elif state.status == "failed" and state.final:
                self._refuse(job, state)
            else:
                self.site.describe(job)
                self._away = 0.0
                self._attempts[job], self._began[job] = state.attempts, self.clock()
                self._waits.discard(job)
                self.progress.started(job)
                return True
        except UNREADABLE as error:
            self._hold(job, error)
        return False

    def _hold(self, job: str, error: Exception) -> None:
        """The storage is away: no job is the worse for it."""
        self._close(error)
        self.releases.put_back(job, self._closed_until)

    def _close(self, error: Exception) -> None:
        """Nothing is handed out for a while."""
        self._away = min(2 * self._away, LONGEST_DELAY_SECONDS) if self._away else FIRST_DELAY_SECONDS
        self._closed_until = self.clock() + self._away
        self.progress.held(str(error), self._away)

    def _done(self, job: str, *, here: bool) -> None:
        self.releases.finish(job)
        if here:
            self.progress.finished(job)
        else:
            self.elsewhere.add(job)
            self.progress.done_elsewhere(job)

    def _wait(self, job: str, state: State) -> None:
        """Another process works on the job: it is looked at again in a while."""
        if job not in self._waits:
            self._waits.add(job)
            self.progress.waits(job, state.where or "another process")
        self.releases.put_back(job, self.clock() + LOOK_SECONDS)

    def _failed(self, job: str, error: str) -> None:
        delay = self.retries.failed(job)
        if delay is None:
            tried = f" (tried {self.retries.limit + 1} times)" if self.retries.limit else ""
            self._fail(job, f"{error}{tried}")
            return
        attempts = self.retries.limit + 1
        self.progress.tried_again(job, self.retries.attempt(job), attempts, delay, error)
        self.releases.put_back(job, self.clock() + delay)

    def _blames(self, job: str, error: str, node: str | None) -> bool:
        """Whether it is its node that a job failed by: then none of its retries is lost."""
        known = len(self.nodes.left_out)
        jobs = self.nodes.failed(node, job, error, began=self._began.get(job, 0.0), now=self.clock())
        if jobs is None:
            return False
        for other in jobs[:-1]:
            self.retries.forgive(other)
        self._moves(job, error, known)
        return True

    def _refused(self, job: str, error: str, node: str | None) -> None:
        """A job was refused where it was to run: of a cluster its node is left out."""
        known = len(self.nodes.left_out)
        if self.nodes.refused(node, error):
            self._moves(job, error, known)
        else:
            self._fail(job, error)

    def _moves(self, job: str, error: str, known: int) -> None:
        if len(self.nodes.left_out) > known:
            node, reason = list(self.nodes.left_out.items())[-1]
            self.progress.left_out(self.nodes.name(node), reason)
        if self.nodes.none_left:
            self.progress.none_left()
        else:
            self.progress.moves(job, error)
        self.releases.put_back(job, self.clock() + FIRST_DELAY_SECONDS)

    def _fail(self, job: str, error: str) -> None:
        skipped = self.releases.fail(job, error)
        self.progress.failed(job, error)
        self._say_skipped(skipped)

    def _skip(self, job: str, reason: str) -> None:
        self._say_skipped(self.releases.skip(job, reason))

    def _say_skipped(self, jobs: Iterable[str]) -> None:
        for job in jobs:
            self.progress.skipped(job, self.releases.skipped[job])
