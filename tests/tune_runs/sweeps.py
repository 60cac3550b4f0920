"""A sweep without networks: what every point is worth is a formula, written as the engine would write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from campaigns import FINGERPRINT, small

from autoreid.attempts import Outcome
from autoreid.jobs import Job
from autoreid.recipes import SearchRecipe
from autoreid.storage import Storage
from search_spaces.genotype import Genotype
from search_spaces.registry import find_space
from tune_runs.campaign import Campaign
from tune_runs.dispatch import Dispatch
from tune_runs.manifest import save_manifest
from tune_runs.planning import Plan, make_plan
from tune_runs.progress import Progress
from tune_runs.releases import Releases
from tune_runs.site import StorageSite
from tune_runs.states import states_of
from tune_runs.sweeping import Sweeping, continued

SWEEP = """\
# What it shows.
name: small
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
repeats: 2
search: {recipe: cdnet, epochs: 6}
train: {recipe: cdnet, epochs: 3}
sweep:
  over:
    k: [1, 2, 3, 4]
    search.optimizer.learning_rate: {low: 0.001, high: 0.1, log: true}
  points: 6
arms:
  a: {search: {space: cds-v1}}
  b: {genotype: cdnet-top2}
"""
OVER = SWEEP[SWEEP.index("    k: [") : SWEEP.index("  points")]
RATE = "    search.optimizer.learning_rate: {low: 0.001, high: 0.1, log: true}\n"
Worth = Callable[[SearchRecipe], float]


def sweeping(*settings: str, text: str = SWEEP) -> Campaign:
    return small(*settings, text=text)


def by_rate(recipe: SearchRecipe) -> float:
    """Highest at a learning rate of 0.04, better with a larger k."""
    assert isinstance(recipe.k, int)
    return 0.5 - abs(recipe.optimizer.learning_rate - 0.04) + 0.01 * recipe.k


def points_of(storage: Storage, state: str | None = None) -> list[dict[str, Any]]:
    """The points of the campaign as its manifest has them: all, or those in a state."""
    points: list[dict[str, Any]] = storage.read_manifest("small")["points"]
    return [point for point in points if state in (None, point["state"])]


class Bench:
    """Launches of one campaign in one storage; `stops_after` jobs the process is as if killed."""

    def __init__(
        self, storage: Storage, worth: Worth = by_rate, failing: Callable[[Job], bool] | None = None
    ):
        self.storage, self.worth = storage, worth
        self.failing = failing or (lambda job: False)
        self.lines: list[str] = []
        self.ran: list[str] = []
        self.plan: Plan | None = None

    def launch(self, campaign: Campaign, *, slots: int = 1, stops_after: int = 10_000) -> Dispatch:
        """Run until nothing is left, or until so many jobs have ended."""
        plan = continued(make_plan(campaign, FINGERPRINT), self.storage)
        save_manifest(self.storage, plan)
        states = states_of(self.storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
        done = {job_id for job_id, state in states.items() if state.status == "done"}
        site, progress = StorageSite(self.storage, plan), Progress(plan, write=self.lines.append)
        self.plan = plan

        def grown(plan: Plan) -> None:
            site.plan = self.plan = plan
            progress.follow(plan)

        releases = Releases({job_id: job.needs for job_id, job in plan.jobs.items()}, done)
        supply = Sweeping(plan, self.storage, grown, self.lines.append)
        dispatch = Dispatch(releases, site, progress, slots=slots, supply=supply)
        dispatch.take(states, self.storage.cancelled(campaign.name))
        running: list[str] = []
        ended = 0
        while not dispatch.over and ended < stops_after:
            while (job := dispatch.next()) is not None:
                running.append(job)
            if running:
                self._run(running.pop(0), dispatch)
                ended += 1
        return dispatch

    def _run(self, job_id: str, dispatch: Dispatch) -> None:
        assert self.plan is not None
        job = self.plan.jobs[job_id]
        self.ran.append(job_id)
        attempt = self.storage.job(job_id).new_attempt()
        if self.failing(job):
            attempt.finish(Outcome("failed", error="no", final=True))
        else:
            if isinstance(job.recipe, SearchRecipe):
                rows = [
                    {"epoch": epoch, "loss": 1.0, "validation_accuracy": self.worth(job.recipe)}
                    for epoch in range(1, job.recipe.epochs + 1)
                ]
                attempt.write_records(rows)
                for row in rows:
                    dispatch.reported(job_id, row)
            if job_id not in dispatch.supply.given_up:
                attempt.finish(Outcome("done", facts={"epochs": job.epochs}, result=self._result(job)))
        dispatch._next_look = 0.0  # it is looked at once what was cancelled
        dispatch.ended(job_id, None, None)

    def _result(self, job: Job) -> dict[str, object]:
        if isinstance(job.recipe, SearchRecipe):
            space = find_space(job.recipe.space)
            number = job.recipe.k if isinstance(job.recipe.k, int) else 0
            choices = {place: options[number] for place, options in space.places.items()}
            return {"genotype": Genotype.of(job.recipe.space, choices).plain()}
        if job.kind != "select":
            return {}
        assert self.plan is not None
        worth = [self.worth(self.plan.jobs[search].recipe) for search in job.searches]
        pairs = zip(job.searches, worth, strict=True)
        return {"scores": [{"search": search, "mAP": x, "rank_1": x / 2} for search, x in pairs]}
