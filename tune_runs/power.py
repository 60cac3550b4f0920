"""How many repeats a comparison with the baseline needs: Welch's t at 5%, Holm over the arms, power 80%."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from tune_runs.words import counted, table

POWER, LEVEL = 0.8, 0.05
# As many repeats as a campaign may have.
MOST = 1000
# Of an integral over a spread; 20 agree with 80 to four digits.
NODES = 20
# Differences in standard deviations, for which repeats are told while nothing is measured.
ASSUMED = (0.5, 1.0, 2.0)


def power(repeats: int, difference: float, deviations: tuple[float, float], arms: int) -> float:
    """The chance that so many repeats on each side tell a difference of two means, whose repeats spread so.

    Of `arms` comparisons with one baseline this is the first that Holm's procedure looks at, which has to
    pass level / arms; the others have it easier. Two repeats or more, and a spread above 0.

    It is the mean over the spreads that repeats may show, by which the test's degrees of freedom vary: a
    noncentral t with those of the true spreads says 0.72 where two repeats have 0.41.

    >>> round(power(17, 1.0, (1.0, 1.0), 1), 3), round(power(2, 5.0, (1.0, 1.0), 1), 2)
    (0.806, 0.41)
    """
    import numpy as np  # deferred: heavy
    from scipy import special

    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    # Of each side the variance of a mean, as the repeats may show it: quantiles of chi-squared.
    shown = special.gammaincinv((repeats - 1) / 2, (nodes + 1) / 2) * 2 / (repeats - 1)
    a, b = (deviation**2 / repeats * shown for deviation in deviations)
    a, b = a[:, None], b[None, :]
    freedom = (a + b) ** 2 * (repeats - 1) / (a**2 + b**2)
    edge = special.stdtrit(freedom, 1 - LEVEL / (2 * arms)) * np.sqrt(a + b)
    error = math.hypot(*deviations) / math.sqrt(repeats)
    told = special.ndtr((difference - edge) / error) + special.ndtr((-difference - edge) / error)
    return float(weights @ told @ weights) / 4


def repeats_needed(difference: float, deviations: tuple[float, float], arms: int = 1) -> int | None:
    """The fewest repeats on each side that tell a difference; None for more than a campaign may have.

    >>> [repeats_needed(difference, (1.0, 1.0)) for difference in (0.5, 1.0, 2.0, 0.01)]
    [64, 17, 6, None]
    >>> repeats_needed(1.0, (1.0, 1.0), arms=3)
    23
    """
    low, high = 1, MOST  # `low` does not suffice
    if power(high, difference, deviations, arms) < POWER:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if power(middle, difference, deviations, arms) < POWER:
            low = middle
        else:
            high = middle
    return high


def least_difference(repeats: int, arms: int = 1) -> float:
    """The smallest difference that so many repeats on each side tell, in standard deviations of a repeat.

    >>> round(least_difference(4), 2), round(least_difference(4, arms=3), 2)
    (2.51, 3.32)
    """
    low, high = 0.0, 1e4
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power(repeats, middle, (1.0, 1.0), arms) < POWER else (low, middle)
    return high


@dataclass(frozen=True, slots=True)
class Compared:
    """An arm beside the baseline: their difference so far, and how many repeats of each would tell it."""

    arm: str
    repeats: int
    repeats_baseline: int
    difference: float
    needed: int | None


def compared(
    scores: Mapping[str, Sequence[float]], baselines: Mapping[str, str], arms: int
) -> list[Compared]:
    """Every arm that can be held against its baseline: two scores or more on both sides, which spread."""
    found = []
    for arm, baseline in baselines.items():
        ours, theirs = scores.get(arm, ()), scores.get(baseline, ())
        if min(len(ours), len(theirs)) > 1 and stdev(ours) + stdev(theirs) > 0:
            difference = fmean(ours) - fmean(theirs)
            needed = repeats_needed(difference, (stdev(ours), stdev(theirs)), arms)
            found.append(Compared(arm, len(ours), len(theirs), difference, needed))
    return found


def comparison_plain(
    scores: Mapping[str, Sequence[float]],
    baseline: str,
    arms: int,
    repeats: int,
    baselines: Mapping[str, str] | None = None,
) -> Any:
    """What a comparison of `arms` arms with the baseline needs, as JSON values; None without any.

    Where arms have baselines of their own, each on its data set, `baselines` says which by arm.
    """
    if not arms:
        return None
    if baselines is None:
        baselines = {arm: baseline for arm in scores if arm != baseline}
    found = compared(scores, baselines, arms)
    return {
        "baseline": baseline,
        "arms": arms,
        "power": POWER,
        "level": LEVEL,
        "repeats": repeats,
        "least_difference": least_difference(repeats, arms) if repeats > 1 else None,
        "assumed": [
            {"deviations": size, "needed": repeats_needed(size, (1.0, 1.0), arms)} for size in ASSUMED
        ],
        "measured": [
            {
                "arm": one.arm,
                "repeats": min(one.repeats, one.repeats_baseline),
                "difference": one.difference,
                "needed": one.needed,
            }
            for one in found
        ],
    }


def comparison_lines(plain: Any) -> list[str]:
    """The repeats that a comparison needs, for people."""
    test = f"(mAP; Welch's t at {plain['level']:.0%}, Holm over {counted(plain['arms'], 'arm')}, "
    lines = [f"to tell an arm from {plain['baseline']} {test}power {plain['power']:.0%}):"]
    if plain["measured"]:
        rows = [
            (one["arm"], f"{100 * one['difference']:+.1f}", str(one["repeats"]), _count(one["needed"]))
            for one in plain["measured"]
        ]
        lines += table(("arm", "points so far", "repeats so far", "repeats needed"), rows)
        return [*lines, "  If the difference and the spread are what these few repeats say: a guess too."]
    if plain["least_difference"] is None:
        lines += ["  1 repeat tells no difference, however large: it shows no spread"]
    else:
        size = f"{plain['least_difference']:.1f} standard deviations of a repeat or more"
        lines += [f"  {plain['repeats']} repeats tell a difference of {size}"]
    needs = ", ".join(f"{one['deviations']:g} needs {_count(one['needed'])}" for one in plain["assumed"])
    return [*lines, f"  a difference of so many standard deviations: {needs} repeats"]


def _count(needed: int | None) -> str:
    return f"over {MOST}" if needed is None else str(needed)
