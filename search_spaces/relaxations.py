"""Relaxations: alphas -> which branches to compute, and with which weights.

A relaxation never knows which network it moves: it sees one vector of alphas per place, and answers one
`Branches` per place. A supernet computes the branches that are named there, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from search_spaces.errors import InputError
from search_spaces.genotype import Genotype


class Branches(NamedTuple):
    """The branches to compute at one place: their numbers (ascending), and one weight each, shape (k,)."""

    indices: tuple[int, ...]
    weights: Tensor


class Relaxation(Protocol):
    """Turns the alphas of all places into the branches of all places."""

    def __call__(self, alphas: Mapping[str, Tensor]) -> dict[str, Branches]: ...


@dataclass(frozen=True, slots=True)
class Softmax:
    """Every branch, weighed by softmax(alpha), as in DARTS.

    >>> Softmax()({"a": torch.zeros(2)})["a"].weights
    tensor([0.5000, 0.5000])
    """

    def __call__(self, alphas: Mapping[str, Tensor]) -> dict[str, Branches]:
        return {
            place: Branches(tuple(range(len(alpha))), alpha.softmax(0)) for place, alpha in alphas.items()
        }


@dataclass(frozen=True, slots=True)
class TopK:
    """Top-k Sample Search: the k branches of largest p = softmax(alpha), each of weight 1, whose gradient
    reaches alpha through p (straight-through). Ties: the lower number. Source: CDNet, Eqs. 3-8.

    `k` is a number, at most the options of every place, or "all".

    >>> TopK(2)({"a": torch.tensor([0.0, 2.0, 1.0])})["a"].indices
    (1, 2)
    """

    k: int | str = 2

    def __call__(self, alphas: Mapping[str, Tensor]) -> dict[str, Branches]:
        probabilities = {place: alpha.softmax(0) for place, alpha in alphas.items()}
        if self.k == "all":
            return {place: _straight(tuple(range(len(p))), p) for place, p in probabilities.items()}
        numbers = self._choose(list(probabilities.values()))
        # One copy to the host for all places; none to the device, for the weights are picked there.
        indices = torch.stack(numbers).tolist()
        return {
            place: _straight(tuple(row), p.index_select(0, own))
            for (place, p), own, row in zip(probabilities.items(), numbers, indices, strict=True)
        }

    def _choose(self, probabilities: Sequence[Tensor]) -> list[Tensor]:
        """The numbers of the chosen branches of each place, ascending, on the device."""
        k, fewest = int(self.k), min(map(len, probabilities))
        if not 1 <= k <= fewest:
            raise InputError(f"k: {k} branches asked of {fewest}. Use 1 to that number, or 'all'.")
        orders = (p.detach().sort(descending=True, stable=True).indices[:k] for p in probabilities)
        return [order.sort().values for order in orders]


def _straight(indices: tuple[int, ...], selected: Tensor) -> Branches:
    """Chosen branches: h - p without gradient, plus p. The value is exactly h = 1, the gradient that of p."""
    return Branches(indices, (1 - selected).detach() + selected)


def one_hot(
    places: Mapping[str, tuple[str, ...]], genotype: Genotype, device: torch.device | str = "cpu"
) -> dict[str, Branches]:
    """The branches of one architecture: the chosen one at every place, of weight 1."""
    one, choices = torch.ones(1, device=device), dict(genotype.choices)
    return {place: Branches((options.index(choices[place]),), one) for place, options in places.items()}


def relaxation(name: str, k: int | str) -> Relaxation:
    """The relaxation that a recipe names: `softmax`, or `top-k` with its k."""
    return Softmax() if name == "softmax" else TopK(k)
