"""How a trained network is evaluated once more. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from autoreid.values import Spelling, bounded

# What bounds the memory of a ranking, in messages.
MEMORY_FIELD = "execution.evaluation_memory"


@dataclass(frozen=True, slots=True)
class EvaluateRecipe:
    """An evaluation of a trained network on the queries and the gallery, beside the one at its training's
    end.

    `normalised`: distances between L2-normalised features. `average_precision`: the mean of the precisions at
    the matches, or their trapezoids. `flip`: the mean of the features of an image and its mirror image.
    `rerank`: also by k-reciprocal distances, with the neighbours `k1` and `k2` and the weight lambda of the
    original distance. `pictures`: ranked lists, activation maps and features of some people are kept as
    files.
    """

    normalised: bool = True
    average_precision: Literal["mean-precision", "trapezoid"] = "mean-precision"
    flip: bool = False
    rerank: bool = False
    k1: int = bounded(20, 1)
    k2: int = bounded(6, 1)
    weight: float = bounded(0.3, 0, 1)
    pictures: bool = False

    spellings: ClassVar = {"lambda": Spelling(0, 1, lambda weight: {"weight": weight})}

    def effective(self) -> EvaluateRecipe:
        """With the default in each field that has no effect: equal work is one job.

        >>> EvaluateRecipe(k1=8).effective() == EvaluateRecipe()
        True
        """
        if self.rerank:
            return self
        plain = EvaluateRecipe()
        return replace(self, k1=plain.k1, k2=plain.k2, weight=plain.weight)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows, as (field, message)."""
        if self.rerank and self.k2 > self.k1 + 1:
            yield "k2", f"{self.k2} with k1 = {self.k1}. Use 1 to {self.k1 + 1}; the paper has 6."
