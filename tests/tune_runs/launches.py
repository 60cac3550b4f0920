"""A launch in memory, under a clock that is set by hand: for tests of how jobs are dispatched."""

from __future__ import annotations

from campaigns import FINGERPRINT, small

from autoreid.errors import StorageError
from tune_runs.dispatch import Dispatch
from tune_runs.planning import make_plan
from tune_runs.progress import Progress
from tune_runs.releases import Releases
from tune_runs.states import State


class Jobs:
    """The surroundings of a launch in memory: what files would say, and whom it asked to stop."""

    def __init__(self):
        self.states, self.gone, self.asked, self.described = {}, set(), [], []
        self.broken = False

    def state(self, job):
        if self.broken:
            raise StorageError("the network is away")
        return self.states.get(job, State("waiting"))

    def describe(self, job):
        self.described.append(job)

    def cancelled(self):
        if self.broken:
            raise OSError("the network is away")
        return frozenset(self.gone)

    def interrupt(self, jobs):
        self.asked += jobs

    def fails(self, job, error="no", *, final=False):
        attempts = self.state(job).attempts + 1
        self.states[job] = State("failed", attempts=attempts, error=error, final=final)

    def does(self, job):
        self.states[job] = State("done", attempts=1)


class Launch:
    """A dispatch of two searches and their trainings, or of one, under a clock that is set by hand."""

    def __init__(self, *, alone=False, retries=3):
        plan = make_plan(small("repeats=1"), FINGERPRINT)
        self.lines, self.now, self.stopped = [], 0.0, False
        needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
        self.jobs, self.site = list(needs), Jobs()
        progress = Progress(plan, write=self.lines.append, clock=lambda: self.now)
        self.dispatch = Dispatch(
            Releases(needs),
            self.site,
            progress,
            slots=2,
            retries=retries,
            stopping=lambda: self.stopped,
            clock=lambda: self.now,
        )
        if alone:
            self.dispatch.releases.skip(self.jobs[2], "of no interest")

    def finish(self, job):
        self.site.does(job)
        self.dispatch.ended(job, None, None)

    def next_within(self, seconds):
        """The next job, and how long it took until there was one; None where none came in so many seconds."""
        begin = self.now
        while self.now <= begin + seconds:
            job = self.dispatch.next()
            if job is not None:
                return job, self.now - begin
            self.now += 0.25
        return None
