"""Which job is released next: a queue over a graph of jobs. Free of Ray."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping


class Releases:
    """Jobs in launch order, each released as soon as all jobs that it needs are done.

    `needs` maps every job to the jobs that it needs, in launch order; `done` are those that are done
    already. A job that needs a failed or skipped one is skipped, with the reason. No step looks at more
    than one job and those that need it.
    """

    def __init__(self, needs: Mapping[str, Iterable[str]], done: Iterable[str] = ()) -> None:
        self.needs: dict[str, tuple[str, ...]] = {}
        self.done = set(done)
        self.waiting: set[str] = set()
        self.running: set[str] = set()
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.given_up: set[str] = set()
        self._order: dict[str, int] = {}
        self._dependants: dict[str, list[str]] = {}
        self._missing: dict[str, int] = {}
        self._ready: list[tuple[int, str]] = []
        self._held_back: list[tuple[float, int, str]] = []
        self.add(needs)

    def add(self, needs: Mapping[str, Iterable[str]]) -> None:
        """More jobs, which come after those that are there; and jobs that were given up, taken up again."""
        self.given_up -= needs.keys()
        new = {job: tuple(dict.fromkeys(needed)) for job, needed in needs.items()}
        self.needs |= new
        self.waiting |= {job for job in new if job not in self.done and job not in self.running}
        for job, needed in new.items():
            if job not in self._order:
                self._order[job] = len(self._order)
                for other in needed:
                    self._dependants.setdefault(other, []).append(job)
            self._missing[job] = sum(other not in self.done for other in needed)
            if job in self.waiting and not self._missing[job]:
                heapq.heappush(self._ready, (self._order[job], job))
        for job in [job for job in new if job in self.waiting]:
            reason = self._never(job)
            if reason and job in self.waiting:
                self.skip(job, reason)

    def _never(self, job: str) -> str | None:
        """Why a job that was added can never be released, if it cannot."""
        for other in self.needs[job]:
            if other not in self.needs and other not in self.done:
                return f"needs job {other}, which is not planned"
            if other in self.failed or other in self.skipped:
                return f"needs job {other}, which {'failed' if other in self.failed else 'was skipped'}"
        return None

    @property
    def unfinished(self) -> list[str]:
        """Jobs that neither ended nor were skipped: what an interruption leaves."""
        return [job for job in self.needs if job in self.waiting or job in self.running]

    @property
    def waits(self) -> bool:
        """Whether a job waits for nothing but its turn or its time."""
        queued = [*(job for _, job in self._ready), *(job for _, _, job in self._held_back)]
        return any(job in self.waiting for job in queued)

    def release(self, now: float = 0.0) -> str | None:
        """The next job whose inputs exist and whose time has come, now counted as running; else None."""
        while self._held_back and self._held_back[0][0] <= now:
            _, place, job = heapq.heappop(self._held_back)
            heapq.heappush(self._ready, (place, job))
        while self._ready:
            _, job = heapq.heappop(self._ready)
            if job in self.waiting:  # else it was skipped meanwhile
                self.waiting.remove(job)
                self.running.add(job)
                return job
        return None

    def finish(self, job: str) -> None:
        """The job is done: what needs nothing else can be released."""
        self.running.discard(job)
        self.done.add(job)
        for other in self._dependants.get(job, ()):
            self._missing[other] -= 1
            if not self._missing[other] and other in self.waiting:
                heapq.heappush(self._ready, (self._order[other], other))

    def put_back(self, job: str, due: float = 0.0) -> None:
        """A running job waits again, and is not released before the time `due`."""
        self.running.remove(job)
        self.waiting.add(job)
        heapq.heappush(self._held_back, (due, self._order[job], job))

    def fail(self, job: str, error: str) -> list[str]:
        """The job failed for good; returns the jobs that are skipped because of it."""
        self._leave(job)
        self.failed[job] = error
        return self._skip_dependants(job, "failed")

    def skip(self, job: str, reason: str) -> list[str]:
        """The job is not to be run; returns it and the jobs that are skipped because of it."""
        self._leave(job)
        self.skipped[job] = reason
        return [job, *self._skip_dependants(job, "was skipped")]

    def give_up(self, job: str) -> None:
        """The job is no longer wanted, which is no failure."""
        self._leave(job)
        self.given_up.add(job)

    def _leave(self, job: str) -> None:
        self.running.discard(job)
        self.waiting.discard(job)

    def _skip_dependants(self, job: str, how: str) -> list[str]:
        skipped = []
        for other in self._dependants.get(job, ()):
            if other in self.waiting:
                skipped += self.skip(other, f"needs job {job}, which {how}")
        return skipped
