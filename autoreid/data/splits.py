"""Splits of a training set into a part to train on and a part held out. Free of torch.

Each is a pure function of (identities, seed) and returns (train positions, held-out positions), both int64
and ascending.
"""

from __future__ import annotations

import numpy as np

from autoreid.data.streams import permutation
from autoreid.errors import InputError

Split = tuple[np.ndarray, np.ndarray]


def by_image(identities: np.ndarray, fraction: float = 0.5, *, seed: int) -> Split:
    """Hold out `fraction` of the images at random, whoever they show. Source: Auto-ReID, Algorithm 1.

    >>> train, held_out = by_image(np.array([4, 4, 4, 7, 7, 7]), seed=0)
    >>> len(train), len(held_out)
    (3, 3)
    """
    held_out = permutation(seed, "split", len(identities))[: share(len(identities), fraction, "images")]
    return _parts(len(identities), held_out)


def per_identity(identities: np.ndarray, held_out: int = 4, *, seed: int) -> Split:
    """Hold out min(held_out, n // 2) of the n images of every identity. Source: CDNet, section 4.1 (4 images;
    that an identity keeps at least half of its images is our reading, since 27 of Market-1501's 751 have 4
    images or fewer).

    >>> train, held_out = per_identity(np.array([4, 4, 4, 7, 7, 9]), held_out=1, seed=0)
    >>> len(train), len(held_out)
    (4, 2)
    """
    if held_out < 1:
        raise InputError(f"split: {held_out} held-out images an identity is too small. Use 1 or more.")
    shuffled = permutation(seed, "split", len(identities))
    grouped = shuffled[np.argsort(identities[shuffled], kind="stable")]
    _, starts, counts = np.unique(identities[grouped], return_index=True, return_counts=True)
    rank = np.arange(len(grouped)) - np.repeat(starts, counts)
    chosen = grouped[rank < np.minimum(held_out, np.repeat(counts, counts) // 2)]
    if not len(chosen):
        raise InputError("split: no identity has two images, so none can be held out. Split by identity.")
    return _parts(len(identities), chosen)


def by_identity(identities: np.ndarray, fraction: float = 0.5, *, seed: int) -> Split:
    """Hold out `fraction` of the identities with all their images; the two parts share nobody.

    >>> train, held_out = by_identity(np.array([4, 4, 4, 7, 7, 7]), seed=0)
    >>> len(train), len(held_out)
    (3, 3)
    """
    known = np.unique(identities)
    chosen = known[permutation(seed, "split", len(known))[: share(len(known), fraction, "identities")]]
    return _parts(len(identities), np.flatnonzero(np.isin(identities, chosen)))


def share(count: int, fraction: float, what: str) -> int:
    """How many of `count` to hold out: rounded down, at least one, never all.

    >>> share(75, 0.1, "identities")
    7
    """
    if not 0 < fraction < 1:
        raise InputError(f"split: a held-out fraction of {fraction} leaves one part empty. Use 0 < f < 1.")
    if count < 2:
        raise InputError(f"split: too few {what} to divide in two: {count}. Use a data set with more.")
    return max(1, int(count * fraction))


def _parts(count: int, held_out: np.ndarray) -> Split:
    chosen = np.zeros(count, dtype=bool)
    chosen[held_out] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
