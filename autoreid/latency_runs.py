"""The timing of all networks of a campaign as a job: in one run, side by side."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from autoreid.epochs import Position
from autoreid.execution import Execution
from autoreid.facts import where
from autoreid.latency import WARM_UP, Bench, Subject, Timed, random_pixels, stopwatch_of
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.optimisation import set_up
from search_spaces.genotype import Genotype


class LatencyRun:
    """The timing of networks, whose architectures stand in the order of the recipe's `networks`.

    Its single epoch is all of it: interrupted, it begins again, since passes of two processes, or of a
    machine before and after a break, are not to be compared.
    """

    def __init__(self, recipe: LatencyRecipe, genotypes: Sequence[Genotype], execution: Execution) -> None:
        self.recipe, self.execution = recipe, execution
        self.device = set_up(execution, recipe.precision)
        self.position = Position(1, 1)
        self.networks = list(zip(genotypes, recipe.networks, strict=True))
        self.remarks: list[str] = []
        self.result: dict[str, Any] = {}
        # Searches may have found the same: it is timed once.
        different = dict.fromkeys(self.networks)
        self.bench = Bench(
            [Subject(genotype.digest, genotype, build) for genotype, build in different],
            recipe,
            self.device,
            execution,
            pixels=random_pixels(max(recipe.batch), self.device),
            stopwatch=stopwatch_of(self.device),
            pulse=lambda: self.position.pulse(),
            note=self.remarks.append,
        )

    def advance(self) -> dict[str, Any]:
        """All passes; the record of the run."""
        begin = time.perf_counter()
        found: dict[tuple[Genotype, Build], list[Timed]] = {}
        for timed in self.bench.run():
            found.setdefault((timed.subject.genotype, timed.subject.build), []).append(timed)
        about = where(self.device, self.execution)
        self.result = {
            "latency": [
                {**timed.plain(), **about, "precision": self.recipe.precision, "network": number}
                for number, network in enumerate(self.networks)
                for timed in found[network]
            ]
        }
        self.position.epoch_seconds = time.perf_counter() - begin
        return {"epoch": self.position.epoch + 1, "wall_seconds": self.position.next_epoch()}

    def check(self) -> None:
        """Nothing learns that could become NaN."""

    def state(self) -> dict[str, Any]:
        """What was found, if it was; else nothing is carried over."""
        return {"position": self.position.state(), "result": json.dumps(self.result)}

    def load(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken: after the end, or at the beginning."""
        self.position.load(state["position"], self.device)
        self.result = json.loads(state["result"])

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The times of every network."""
        return self.result | {"latency_seconds": self.position.seconds}, {}


def timed_batches(recipe: LatencyRecipe) -> int:
    """Batches of every network, those of the warm-up among them."""
    each = (-(-recipe.images // batch) for batch in recipe.batch)
    return sum(WARM_UP + recipe.passes * batches for batches in each)
