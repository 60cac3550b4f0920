"""Several genotypes, each trained for a short while and scored by the mAP on identities that were left out.

What a selection by the rule `retrain` and a random search have in common.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from autoreid.epochs import Position
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.recipes import TrainRecipe
from autoreid.training import TrainRun
from autoreid.weights import WeightFile
from search_spaces.genotype import Genotype

Scores = Sequence[dict[str, Any]]
# The result and the files of a run, from the scores of its genotypes and the seconds that it took.
Conclusion = Callable[[Scores, float], tuple[dict[str, Any], dict[str, bytes]]]


class ShortTrainings:
    """Trains one genotype after the other; an epoch is one of these trainings' epochs.

    `data` has the left-out images as its queries and gallery (`autoreid.validation.divided`). All trainings
    take the same seed. `steps` are the batches of an epoch: by default one for every batch that the images
    fill.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        genotypes: Sequence[Genotype],
        data: PreparedData,
        *,
        train_seed: int,
        execution: Execution,
        conclude: Conclusion,
        steps: int | None = None,
        teacher: WeightFile | None = None,
    ) -> None:
        self.recipe, self.genotypes, self.data = recipe, genotypes, data
        self.train_seed, self.execution = train_seed, execution
        self.conclude, self.steps, self.teacher = conclude, steps, teacher
        self.scores: list[dict[str, Any]] = []
        self.row: dict[str, Any] | None = None
        self.run: TrainRun | None = self._next()
        assert self.run is not None
        self.device = self.run.device
        guide = self.run.teacher
        self.taught = {} if guide is None else {"teacher": guide.facts(held_out=True)}
        self.position = Position(len(genotypes) * recipe.epochs, self.run.position.steps)

    def _next(self) -> TrainRun | None:
        """The training of the first genotype that has no score yet."""
        if len(self.scores) == len(self.genotypes):
            return None
        genotype = self.genotypes[len(self.scores)]
        run = TrainRun(
            self.recipe,
            genotype,
            self.data,
            train_seed=self.train_seed,
            execution=self.execution,
            teacher=self.teacher,
        )
        if self.steps is not None:
            run.position = Position(self.recipe.epochs, self.steps)
        run.position.pulse = self._pulse
        return run

    def _pulse(self) -> None:
        """A step of the present training is done, or, once its epochs are, a batch of its evaluation."""
        assert self.run is not None
        self.position.step = self.position.steps if self.row else self.run.position.step
        self.position.pulse()

    def advance(self) -> dict[str, Any]:
        """The rest of the present epoch; its record. With its last epoch a training is scored."""
        assert self.run is not None
        if self.row is None:
            self.row = self.run.advance()
        if self.run.position.epoch == self.recipe.epochs:
            self.scores.append(self.run.evaluate())
            self.run = self._next()
        row, self.row = self.row, None
        self.position.next_epoch()
        self.position.seconds += row["wall_seconds"]
        return row | {"epoch": self.position.epoch}

    def check(self) -> None:
        """RunError when anything that a checkpoint would hold is not finite."""
        if self.run is not None:
            self.run.check()

    def state(self) -> dict[str, Any]:
        """The scores so far, and the state of the present training."""
        return {
            "position": self.position.state(),
            "scores": json.dumps(self.scores),
            "row": json.dumps(self.row),
            "run": None if self.run is None else self.run.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.position.load(state["position"], self.device)
        self.scores, self.row = json.loads(state["scores"]), json.loads(state["row"])
        self.run = self._next()
        if self.run is not None:
            self.run.load(state["run"])

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The result, and the chosen genotype as a file."""
        result, files = self.conclude(self.scores, self.position.seconds)
        return result | self.taught, files
