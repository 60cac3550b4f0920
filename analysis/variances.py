"""How much of a spread is owed to the search, and how much to the training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.statistics import CONFIDENCE, Interval


@dataclass(frozen=True, slots=True)
class Components:
    """Standard deviations between the searches and between the trainings of one search.

    `between` is 0 where the means of the searches lie closer together than the trainings alone let expect.
    """

    searches: int
    trainings: int
    between: float
    within: float
    within_interval: Interval | None
    p: float | None

    @property
    def share(self) -> float | None:
        """The part of the variance of one search and training that the search causes."""
        total = self.between**2 + self.within**2
        return self.between**2 / total if total else None


def components(groups: Mapping[str, Sequence[float]], confidence: float = CONFIDENCE) -> Components | None:
    """One-way random-effects analysis of variance: `groups` holds the trainings of each search.

    None where the seeds do not allow it: it takes two searches, and two trainings of one of them. `p` is that
    of the F test of no difference between searches; the interval of `within` is the chi-square one.
    Source: Searle, Casella and McCulloch (1992), Variance Components, section 3.6.

    >>> found = components({"a": [0.30, 0.32], "b": [0.40, 0.42]})
    >>> round(found.between, 4), round(found.within, 4), round(found.share, 2)
    (0.07, 0.0141, 0.96)
    """
    kept = [np.asarray(values, dtype=float) for values in groups.values() if len(values)]
    n = sum(map(len, kept))
    between_freedom, within_freedom = len(kept) - 1, n - len(kept)
    if between_freedom < 1 or within_freedom < 1:
        return None
    mean = sum(values.sum() for values in kept) / n
    within = sum(((values - values.mean()) ** 2).sum() for values in kept) / within_freedom
    among = sum(len(values) * (values.mean() - mean) ** 2 for values in kept) / between_freedom
    size = (n - sum(len(values) ** 2 for values in kept) / n) / between_freedom
    p = float(special.fdtrc(between_freedom, within_freedom, among / within)) if within > 0 else None
    ends = (special.chdtri(within_freedom, tail) for tail in ((1 - confidence) / 2, (1 + confidence) / 2))
    low, high = (math.sqrt(within_freedom * within / float(end)) for end in ends)
    return Components(
        searches=len(kept),
        trainings=n,
        between=math.sqrt(max(0.0, (among - within) / size)),
        within=math.sqrt(within),
        within_interval=(low, high) if within > 0 else None,
        p=p,
    )
