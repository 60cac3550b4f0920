"""How large a difference is: in standard deviations, relative to a baseline, and the least one to be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from analysis.permutations import LEVEL
from analysis.statistics import CONFIDENCE, Interval, Summary, summarise

POWER = 0.8
STEPS = 60
# Of an integral over a spread; 20 agree with 80 to four digits.
NODES = 20


def hedges_g(values: Sequence[float], baseline: Sequence[float]) -> float | None:
    """The difference of the means in standard deviations of one repeat, pooled, corrected for few repeats.

    None where neither side spreads, or with fewer than four repeats on both sides together. Source: Hedges
    (1981), with the exact correction.

    >>> round(hedges_g([0.61, 0.64, 0.60, 0.63], [0.58, 0.57, 0.60, 0.57]), 2)
    2.13
    """
    ours, theirs = summarise(values), summarise(baseline)
    freedom = ours.n + theirs.n - 2
    if freedom < 2:
        return None
    squares = (side.deviation**2 * (side.n - 1) for side in (ours, theirs) if side.deviation)
    pooled = math.sqrt(sum(squares) / freedom)
    if pooled == 0:
        return None
    return (ours.mean - theirs.mean) / pooled * _correction(freedom)


def _correction(freedom: int) -> float:
    """Hedges' J: by its logarithm, so that it holds for any number of repeats."""
    log = float(special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2))
    return math.exp(log) / math.sqrt(freedom / 2)


def relative_interval(
    values: Sequence[float], baseline: Sequence[float], confidence: float = CONFIDENCE
) -> Interval | None:
    """The interval of the relative improvement, (mean - baseline's mean) / baseline's mean, by Fieller.

    The baseline's own spread counts, which the interval of a difference divided by a mean leaves out. None
    with fewer than two repeats on a side, without a spread, or where the baseline may be 0.
    Source: Fieller (1954); degrees of freedom by Welch and Satterthwaite.

    >>> low, high = relative_interval([0.61, 0.64, 0.60, 0.63], [0.58, 0.57, 0.60, 0.57])
    >>> round(low, 3), round(high, 3)
    (0.019, 0.121)
    """
    ours, theirs = summarise(values), summarise(baseline)
    if ours.deviation is None or theirs.deviation is None or not theirs.mean:
        return None
    a, b = ours.deviation**2 / ours.n, theirs.deviation**2 / theirs.n
    if a + b == 0:
        return None
    freedom = (a + b) ** 2 / (a**2 / (ours.n - 1) + b**2 / (theirs.n - 1))
    t = float(special.stdtrit(freedom, (1 + confidence) / 2))
    doubt = t**2 * b / theirs.mean**2
    if doubt >= 1:
        return None
    ratio = ours.mean / theirs.mean
    reach = t / abs(theirs.mean) * math.sqrt(a * (1 - doubt) + ratio**2 * b)
    low, high = ((ratio + sign * reach) / (1 - doubt) - 1 for sign in (-1, 1))
    return low, high


def least_difference(
    values: Sequence[float], baseline: Sequence[float], comparisons: int = 1
) -> float | None:
    """The difference that as many repeats, spread as these, would tell four times in five.

    By Welch's t at 5% divided among the comparisons (the first step of Holm's procedure). None where a side
    has fewer than two repeats, or none spreads. It is a property of the design: the difference that was found
    does not enter.

    >>> round(least_difference([0.61, 0.64, 0.60, 0.63], [0.58, 0.57, 0.60, 0.57]), 3)
    0.041
    """
    sides = summarise(values), summarise(baseline)
    if any(side.deviation is None for side in sides) or not any(side.deviation for side in sides):
        return None
    edges, weights, error = _design(sides, comparisons)
    low, high = 0.0, 1e4 * max(side.deviation or 0.0 for side in sides)
    for _ in range(STEPS):
        middle = (low + high) / 2
        told = special.ndtr((middle - edges) / error) + special.ndtr((-middle - edges) / error)
        power = float(weights @ told @ weights) / 4
        low, high = (middle, high) if power < POWER else (low, middle)
    return high


def _design(sides: tuple[Summary, Summary], comparisons: int) -> tuple[np.ndarray, np.ndarray, float]:
    """What a difference of means has to pass by Welch's t, over the spreads that the repeats may show, by
    which the degrees of freedom vary: (NODES, NODES); the weights of both axes; the true standard error."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    true = [(side.deviation or 0.0) ** 2 / side.n for side in sides]
    freedoms = [side.n - 1 for side in sides]
    # The variances of the means as the repeats may show them: quantiles of chi-squared.
    a, b = (
        variance * special.gammaincinv(freedom / 2, (nodes + 1) / 2) * 2 / freedom
        for variance, freedom in zip(true, freedoms, strict=True)
    )
    a, b = a[:, None], b[None, :]
    freedom = (a + b) ** 2 / (a**2 / freedoms[0] + b**2 / freedoms[1])
    edges = special.stdtrit(freedom, 1 - LEVEL / (2 * comparisons)) * np.sqrt(a + b)
    return edges, weights, math.sqrt(sum(true))
