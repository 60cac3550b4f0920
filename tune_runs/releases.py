"""Which job is released next: a queue over a graph of jobs. Free of Ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Releases:
    """Jobs in launch order, each released as soon as all jobs that it needs are done.

    `needs` maps every job to the jobs that it needs, in launch order; `done` are those that are done
    already. A job that needs a failed one is skipped, with the reason.
    """

    def __init__(self, needs: Mapping[str, Iterable[str]], done: Iterable[str] = ()) -> None:
        self.needs = {job: tuple(needed) for job, needed in needs.items()}
        self.done = set(done)
        self.waiting = {job: None for job in self.needs if job not in self.done}
        self.running: set[str] = set()
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        for job in list(self.waiting):
            alien = [needed for needed in self.needs[job] if needed not in self.needs]
            if alien and alien[0] not in self.done:
                self._skip(job, f"needs job {alien[0]}, which is not planned")

    @property
    def unfinished(self) -> list[str]:
        """Jobs that neither ended nor were skipped: what an interruption leaves."""
        return [job for job in self.needs if job in self.waiting or job in self.running]

    def release(self) -> str | None:
        """The next job whose inputs exist, now counted as running; None while there is no such job."""
        for job in self.waiting:
            if all(needed in self.done for needed in self.needs[job]):
                del self.waiting[job]
                self.running.add(job)
                return job
        return None

    def finish(self, job: str) -> None:
        self.running.discard(job)
        self.done.add(job)

    def put_back(self, job: str) -> None:
        """A job that stopped without an end waits again."""
        self.running.discard(job)
        self.waiting[job] = None

    def fail(self, job: str, error: str) -> list[str]:
        """The job failed for good; returns the jobs that are skipped because of it."""
        self.running.discard(job)
        self.failed[job] = error
        return self._skip_dependants(job, "failed")

    def _skip_dependants(self, job: str, how: str) -> list[str]:
        skipped = []
        for other in [other for other in self.waiting if job in self.needs[other]]:
            if other in self.waiting:
                skipped += self._skip(other, f"needs job {job}, which {how}")
        return skipped

    def _skip(self, job: str, reason: str) -> list[str]:
        del self.waiting[job]
        self.skipped[job] = reason
        return [job, *self._skip_dependants(job, "was skipped")]
