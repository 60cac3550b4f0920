"""Intervals of the scores of one network: how far they would move with other people as queries.

Queries of one identity look alike and are found, or not, together: whole identities are drawn, not queries.
Other trainings of the same recipe are another matter, which repeats alone can tell.
"""

from __future__ import annotations

import numpy as np

CONFIDENCE = 0.95
DRAWS = 2000
# With fewer identities a percentile bootstrap covers far less than it promises.
LEAST_IDENTITIES = 20


def over_identities(
    values: np.ndarray, identities: np.ndarray, *, confidence: float = CONFIDENCE, draws: int = DRAWS
) -> tuple[float, float] | None:
    """The percentile interval of the mean of `values` (queries,), over draws of whole identities (queries,).

    None for fewer than 20 identities. Equal input gives an equal interval: the draws have a seed of their
    own.
    Source: the cluster bootstrap, Davison and Hinkley (1997), section 3.8.

    >>> low, high = over_identities(np.repeat([0.0, 1.0], 100), np.arange(200) // 2)
    >>> round(low, 2), round(high, 2)
    (0.41, 0.6)
    """
    _, group, sizes = np.unique(identities, return_inverse=True, return_counts=True)
    count = len(sizes)
    if count < LEAST_IDENTITIES:
        return None
    sums = np.bincount(group, weights=np.asarray(values, dtype=float))
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=draws)
    means = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
