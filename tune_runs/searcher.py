"""The searcher of a campaign's one Tune run: it hands out jobs, and says how their trials ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from tune_runs.dispatch import Dispatch


class JobSearcher(Searcher):
    """Suggests job ids to Tune; a trial's configuration is its job's id alone.

    Tune asks for the next job several times a second. `begin` is called at the first time.
    """

    def __init__(self, dispatch: Dispatch, begin: Callable[[], None]) -> None:
        super().__init__()
        self.dispatch = dispatch
        self.begin: Callable[[], None] | None = begin
        self.trials: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None while there is none at this moment, and at last the end of the run."""
        if self.begin is not None:
            self.begin()
            self.begin = None
        job = self.dispatch.next()
        if job is None:
            return Searcher.FINISHED if self.dispatch.over else None
        self.trials[trial_id] = job
        return {"job": job}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "epoch" in result:
            self.dispatch.reported(self.trials[trial_id], result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        said = {} if error or result is None else result
        self.dispatch.ended(self.trials.pop(trial_id), said.get("ended"), said.get("problem"))

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its searcher to a file, which nobody reads."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the truth is in the storage."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
