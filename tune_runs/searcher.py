"""The searcher of a campaign's one Tune run: it releases every job as soon as its inputs exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from tune_runs.progress import Progress
from tune_runs.releases import Releases

# Says of a job, by its files and what its trial said, whether it is done: None, or why it is not.
Settle = Callable[[str, "str | None"], "str | None"]


class JobSearcher(Searcher):
    """Suggests job ids to Tune, at most `slots` at a time; a trial's configuration is its job's id alone.

    A trial that ended is settled by the job's files, not by what Tune saw. A failed job is failed for this
    launch and its dependants are skipped; the next launch tries it again.
    """

    def __init__(self, releases: Releases, slots: int, settle: Settle, progress: Progress) -> None:
        super().__init__()
        self.releases = releases
        self.slots = slots
        self.settle = settle
        self.progress = progress
        self.trials: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None while something runs that others wait for, and else the end of the run."""
        if len(self.releases.running) >= self.slots:
            return None
        job = self.releases.release()
        if job is None:
            # Nothing but None would wait for ever, so None is given only while something runs.
            return None if self.releases.running else Searcher.FINISHED
        self.trials[trial_id] = job
        self.progress.started(job)
        return {"job": job}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "epoch" in result and "loss" in result:
            self.progress.epoch(self.trials[trial_id], result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        job = self.trials.pop(trial_id)
        problem = self.settle(job, (result or {}).get("problem"))
        if problem is None:
            self.releases.finish(job)
            self.progress.finished(job)
        elif error or (result or {}).get("done"):
            skipped = self.releases.fail(job, problem)
            self.progress.failed(job, problem)
            for other in skipped:
                self.progress.skipped(other, self.releases.skipped[other])
        else:
            self.releases.put_back(job)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the truth is in the storage."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
