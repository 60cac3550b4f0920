"""Statistics of few repeats, as pure functions.

With four repeats a mean alone says little: a summary carries every value and an interval. The intervals are
Student's and Welch's; below about ten repeats a percentile bootstrap covers far less than it promises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from autoreid.errors import InputError

CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """What the repeats of one arm gave. `deviation` needs two repeats, `interval` two that differ."""

    values: tuple[float, ...]
    mean: float
    deviation: float | None
    interval: Interval | None

    @property
    def n(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Difference:
    """An arm's mean minus the baseline's, in the unit of the values.

    `interval` is Welch's and needs two repeats on both sides, and a spread on one of them; `relative` is the
    difference as a share of the baseline's mean, None where that mean is 0.
    """

    n: int
    n_baseline: int
    difference: float
    interval: Interval | None
    relative: float | None


def _present(values: Sequence[float]) -> tuple[float, ...]:
    kept = tuple(float(value) for value in values)
    if not kept:
        raise InputError("no values to summarise. Wait for the first repeat, or leave the arm out.")
    if not all(math.isfinite(value) for value in kept):
        raise InputError(f"values: {list(kept)} are not all finite numbers. Leave the missing ones out.")
    return kept


def _around(centre: float, error: float, freedom: float, confidence: float) -> Interval | None:
    """centre -+ t * error; None for an error of 0: equal values do not tell how far others would lie."""
    if error == 0:
        return None
    reach = float(special.stdtrit(freedom, (1 + confidence) / 2)) * error
    return centre - reach, centre + reach


def summarise(values: Sequence[float], confidence: float = CONFIDENCE) -> Summary:
    """Mean, sample standard deviation (n - 1), and Student's interval of the mean.

    InputError for no values and for values that are not finite.

    >>> summary = summarise([0.61, 0.64, 0.60, 0.63])
    >>> summary.n, round(summary.mean, 4), round(summary.deviation, 4)
    (4, 0.62, 0.0183)
    >>> [round(end, 3) for end in summary.interval]
    [0.591, 0.649]
    """
    kept = _present(values)
    equal, n = len(set(kept)) == 1, len(kept)  # told apart here: a mean of equal values may be rounded
    mean = kept[0] if equal else float(np.mean(kept))
    deviation = None if n == 1 else 0.0 if equal else float(np.std(kept, ddof=1))
    interval = None if deviation is None else _around(mean, deviation / math.sqrt(n), n - 1, confidence)
    return Summary(kept, mean, deviation, interval)


def compare(values: Sequence[float], baseline: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """The difference of two means, with Welch's interval (Satterthwaite's degrees of freedom).

    InputError for no values and for values that are not finite, on either side.

    >>> result = compare([0.61, 0.64, 0.60, 0.63], [0.58, 0.57, 0.60, 0.57])
    >>> round(result.difference, 3), round(result.relative, 3), result.n, result.n_baseline
    (0.04, 0.069, 4, 4)
    >>> [round(end, 3) for end in result.interval]
    [0.011, 0.069]
    """
    ours, theirs = summarise(values, confidence), summarise(baseline, confidence)
    difference = ours.mean - theirs.mean
    interval = None
    if ours.deviation is not None and theirs.deviation is not None:
        a, b = ours.deviation**2 / ours.n, theirs.deviation**2 / theirs.n
        freedom = (a + b) ** 2 / (a**2 / (ours.n - 1) + b**2 / (theirs.n - 1)) if a + b > 0 else 1.0
        interval = _around(difference, math.sqrt(a + b), freedom, confidence)
    relative = difference / theirs.mean if theirs.mean else None
    return Difference(ours.n, theirs.n, difference, interval, relative)
