"""Exact tests of few repeats, what they can show at best, and the correction for several comparisons.

A p-value here is the share of all ways to deal the same values that differ at least as much as the way they
were found. With few repeats there are few ways, and so a smallest p that no difference can get below: it is
told beside every p.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from autoreid.errors import InputError

LEVEL = 0.05
# Up to so many ways are looked at one by one; of more, some are drawn, with a seed of their own.
MOST_WAYS, DRAWS = 200_000, 20_000
CHUNK = 20_000
# Sums of the same numbers in another order may differ by so much of their size.
TOLERANCE = 1e-9
# More repeats than this are never called for.
MOST_REPEATS = 1000


@dataclass(frozen=True, slots=True)
class PValue:
    """A two-sided p, and the smallest one that as many repeats can give. `exact` says whether all ways were
    looked at."""

    p: float
    smallest: float
    exact: bool


def unpaired(values: Sequence[float], baseline: Sequence[float]) -> PValue:
    """Fisher's permutation test of a difference of means, two-sided: which repeat belongs to which side.

    InputError for an empty side. Up to 200,000 ways, which 10 against 10 have, the test is exact; of more,
    20,000 are drawn.

    >>> unpaired([4, 5, 6, 7], [0, 1, 2, 3])
    PValue(p=0.02857142857142857, smallest=0.02857142857142857, exact=True)
    """
    _check(values, baseline)
    n, both = len(values), np.array([*values, *baseline], dtype=float)
    ways = math.comb(len(both), n)
    observed = abs(both[:n].mean() - both[n:].mean())
    count = 0
    for firsts in _all_ways(len(both), n) if ways <= MOST_WAYS else _drawn_ways(len(both), n):
        sums = both[firsts].sum(1)
        differences = np.abs(sums / n - (both.sum() - sums) / (len(both) - n))
        count += _reached(differences, observed, both)
    if ways <= MOST_WAYS:
        return PValue(count / ways, smallest_unpaired(n, len(both) - n), exact=True)
    return PValue((1 + count) / (1 + DRAWS), 1 / (1 + DRAWS), exact=False)


def paired(values: Sequence[float], baseline: Sequence[float]) -> PValue:
    """Fisher's test of the mean of paired differences, two-sided: which of a pair belongs to which side.

    InputError for sides of different lengths, or empty ones. Up to 17 pairs the test is exact.

    >>> paired([4, 5, 6, 7], [0, 1, 2, 3])
    PValue(p=0.125, smallest=0.125, exact=True)
    """
    _check(values, baseline)
    if len(values) != len(baseline):
        raise InputError(f"pairs: {len(values)} values and {len(baseline)}. Give one of each for every pair.")
    found = np.array(values, dtype=float) - np.array(baseline, dtype=float)
    n, observed = len(found), abs(found.sum())
    if 2**n <= MOST_WAYS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
        return PValue(_reached(np.abs(signs @ found), observed, found) / 2**n, smallest_paired(n), exact=True)
    signs = np.random.default_rng(0).choice((1.0, -1.0), size=(DRAWS, n))
    p = (1 + _reached(np.abs(signs @ found), observed, found)) / (1 + DRAWS)
    return PValue(p, 1 / (1 + DRAWS), exact=False)


def smallest_unpaired(n: int, n_baseline: int) -> float:
    """The smallest two-sided p of `unpaired`: of equally many repeats both extreme ways differ equally.

    >>> round(smallest_unpaired(4, 4), 4), smallest_unpaired(1, 4)
    (0.0286, 0.2)
    """
    return (2 if n == n_baseline else 1) / math.comb(n + n_baseline, n)


def smallest_paired(n: int) -> float:
    """The smallest two-sided p of `paired`.

    >>> smallest_paired(4)
    0.125
    """
    return 2.0 ** (1 - n)


def holm(ps: Sequence[float]) -> list[float]:
    """P-values of several comparisons, adjusted by Holm's procedure, in the order given.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted, highest = [0.0] * len(ps), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[i]))
        adjusted[i] = highest
    return adjusted


def repeats_to_pass(comparisons: int, level: float = LEVEL) -> int:
    """The fewest repeats on both sides with which one of several comparisons can pass at all, after Holm.

    >>> repeats_to_pass(1), repeats_to_pass(2), repeats_to_pass(10)
    (4, 5, 6)
    """
    return next(n for n in range(2, MOST_REPEATS) if comparisons * smallest_unpaired(n, n) <= level)


def _check(values: Sequence[float], baseline: Sequence[float]) -> None:
    if not (len(values) and len(baseline)):
        raise InputError("no values to compare. Wait for the first repeat, or leave the arm out.")


def _reached(differences: np.ndarray, observed: float, values: np.ndarray) -> int:
    """How many differences are no smaller than the observed one."""
    slack = TOLERANCE * max(1.0, len(values)) * float(np.abs(values).max())
    return int((differences >= observed - slack).sum())


@lru_cache(maxsize=2)
def _all_ways(total: int, n: int) -> tuple[np.ndarray, ...]:
    """All ways to choose `n` of `total`, some thousand at a time; kept, as a design has many comparisons."""
    ways = itertools.combinations(range(total), n)
    found = []
    while chunk := list(itertools.islice(ways, CHUNK)):
        found.append(np.array(chunk))
    return tuple(found)


def _drawn_ways(total: int, n: int) -> Iterator[np.ndarray]:
    """As many ways as are looked at, drawn with a seed of their own."""
    generator, order = np.random.default_rng(0), np.arange(total)
    for _ in range(0, DRAWS, CHUNK):
        yield generator.permuted(np.tile(order, (CHUNK, 1)), axis=1)[:, :n]
