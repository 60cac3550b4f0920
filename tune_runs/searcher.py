"""The searcher of a campaign's one Tune run: it hands out jobs, and says how their trials ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from tune_runs.cluster import node_of
from tune_runs.dispatch import Dispatch
from tune_runs.nodes import Nodes


@dataclass(frozen=True, slots=True)
class ClusterPlacement:
    """Where trials may be placed in a cluster. With `named`, each trial's request has a name of its own, by
    which its node is found also where its process died without a word."""

    nodes: Nodes
    named: bool

    def config(self, trial_id: str, job: str) -> dict[str, Any]:
        """What `tune_runs.cluster.request` reads."""
        return {"name": self._name(trial_id), "without": self.nodes.without(job)}

    def node(self, trial_id: str) -> str | None:
        return node_of(self._name(trial_id))

    def _name(self, trial_id: str) -> str:
        return f"autoreid-{trial_id}" if self.named else ""


class InOrder(FIFOScheduler):
    """Trials start as they were suggested. Tune's own looks through all trials of the run for the first that
    waits, at every event; of those that wait Tune keeps a list besides, by which it starts them."""

    def choose_trial_to_run(self, tune_controller: object) -> None:
        return None


class JobSearcher(Searcher):
    """Suggests job ids to Tune; a trial's configuration is its job's id alone.

    Tune asks for the next job several times a second. `begin` is called at the first time. In a cluster the
    configuration also says where the trial may be placed, and of a job that runs alone that it does.
    """

    def __init__(
        self, dispatch: Dispatch, begin: Callable[[], None], placement: ClusterPlacement | None = None
    ) -> None:
        super().__init__()
        self.placement = placement
        self.dispatch = dispatch
        self.begin: Callable[[], None] | None = begin
        self.trials: dict[str, str] = {}
        self.nodes: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None while there is none at this moment, and at last the end of the run."""
        if self.begin is not None:
            self.begin()
            self.begin = None
        job = self.dispatch.next()
        if job is None:
            return Searcher.FINISHED if self.dispatch.over else None
        self.trials[trial_id] = job
        alone = {"alone": True} if job in self.dispatch.alone else {}
        return {"job": job} | alone | ({} if self.placement is None else self.placement.config(trial_id, job))

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if "node" in result:
            self.nodes[trial_id] = result["node"]
        if "epoch" in result:
            self.dispatch.reported(self.trials[trial_id], result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        said = {} if error or result is None else result
        node = self.nodes.pop(trial_id, None) or said.get("node")
        if node is None and self.placement is not None:
            node = self.placement.node(trial_id)
        self.dispatch.ended(self.trials.pop(trial_id), said.get("ended"), said.get("problem"), node)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its searcher to a file, which nobody reads."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the truth is in the storage."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""
