"""Rounds that interleave what is timed, and what is made of their seconds. Free of torch.

What else runs on a machine, or makes it slower as it gets warm, then touches all alike, and a ratio that is
taken within a round holds on a busy machine too.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

Given = TypeVar("Given")

# Less than any call takes: a clock may not have moved within a very short one.
SHORTEST_SECONDS = 1e-9


def interleaved(turns: Sequence[Callable[[], Given]], rounds: int) -> list[list[Given]]:
    """What each of the turns gave, by its place, in every round.

    A round takes every turn once. Each begins with another one, so that none always follows the same.

    >>> called = []
    >>> turns = [lambda name=name: called.append(name) for name in "abc"]
    >>> seen = interleaved(turns, 3)
    >>> "".join(called)
    'abcbcacab'
    """
    seen: list[list[Given]] = [[] for _ in turns]
    for first in range(rounds):
        for step in range(len(turns)):
            place = (first + step) % len(turns)
            seen[place].append(turns[place]())
    return seen


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values and their quartiles, between which half of them lie."""

    median: float
    low: float
    high: float

    @property
    def iqr(self) -> float:
        """The distance between the quartiles."""
        return self.high - self.low


def spread(values: Sequence[float]) -> Spread:
    """The median and the quartiles, linear between values; of one value all are that value.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    Spread(median=3.0, low=2.0, high=4.0)
    """
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def median_ratio(first: Sequence[float], own: Sequence[float]) -> float:
    """How many times as fast as the first: the median of the ratios of seconds, taken round by round.

    >>> median_ratio([10.0, 12.0, 40.0], [2.0, 4.0, 5.0])
    5.0
    """
    return statistics.median(
        one / max(other, SHORTEST_SECONDS) for one, other in zip(first, own, strict=True)
    )
