"""From which distance on two images are taken for different people: the threshold of a chosen rate of false
matches. Free of torch.

Pairs under two cameras count, as in the protocol of evaluation: an image and the next one of the same camera
are no test. Pairs of one person look alike, and so do those of the same two people; intervals are therefore
from draws of whole identities. Taking pairs as independent (Clopper and Pearson) would make them far too
narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from autoreid.errors import InputError
from autoreid.evaluation.distances import prepare
from autoreid.evaluation.intervals import CONFIDENCE, DRAWS, LEAST_IDENTITIES

# Images that are compared with all others together; pairs that are held beyond those that are wanted.
TOGETHER, ROOM = 256, 1 << 16
# Pairs of identities that enter the draws together.
PIECE = 2048
# Bytes of a pair that is kept: its distance and its two identities.
PAIR_BYTES, MOST_BYTES = 16, 4 << 30

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Two images are taken for one person where their Euclidean distance is below `distance`.

    false_match_rate: of the `different` pairs of two people, how many are then taken for one; at most the
    rate that was asked for. true_match_rate: of the `same` pairs of one person. The intervals, of 95 %, say
    how far the rates would move with other people; None for fewer than 20 identities.
    """

    distance: float
    false_match_rate: float
    false_match_interval: Interval | None
    true_match_rate: float
    true_match_interval: Interval | None
    different: int
    same: int
    identities: int
    images: int


@dataclass(frozen=True, slots=True, eq=False)
class _People:
    """Who is on the images, and how many images each has. of: identity of every image, from 0. counts:
    float64 (identities,); seen: (identities, cameras), without columns where cameras do not matter."""

    of: np.ndarray
    counts: np.ndarray
    seen: np.ndarray

    def different(self, draws: np.ndarray) -> np.ndarray:
        """Pairs of two people, under two cameras where these matter, in every draw, (draws, identities)."""
        alone = draws**2 @ (self.counts**2 - (self.seen**2).sum(axis=1))
        whole = (draws @ self.counts) ** 2 - ((draws @ self.seen) ** 2).sum(axis=1)
        pairs: np.ndarray = (whole - alone) / 2
        return pairs


def calibrate(
    features: np.ndarray, identities: np.ndarray, cameras: np.ndarray | None, rate: float
) -> Calibrated:
    """The largest threshold whose false matches are at most a share `rate` of all pairs of two people.

    features: (images, dim); identities, cameras: whole numbers (images,); cameras are None where one camera
    saw all, and all pairs count. InputError where the pairs are too few for the rate, and where nobody was
    seen twice.

    >>> features = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
    >>> found = calibrate(features, np.array([1, 1, 2, 2]), np.array([1, 2, 1, 2]), 0.5)
    >>> round(found.distance, 3), found.false_match_rate, found.true_match_rate
    (1.414, 0.5, 1.0)
    """
    known, of = np.unique(identities, return_inverse=True)
    people = _People(of, np.bincount(of).astype(float), _seen(of, len(known), cameras))
    total = round(float(people.different(np.ones((1, len(known))))[0]))
    wanted = _false_matches(total, rate)
    features = prepare(features, normalise=True)
    squares, pairs = _smallest(features, of, cameras, wanted + 1)
    limit = squares.max()
    hits, same = _same_pairs(features, of, cameras, limit)
    if not same.sum():
        where = "by two cameras" if cameras is not None else "twice"
        raise InputError(
            f"--data: nobody was seen {where}, so there are no pairs of one person to calibrate on."
        )
    pairs = pairs[squares < limit]
    false, true = _intervals(people, pairs, hits, same)
    return Calibrated(
        distance=math.sqrt(limit),
        false_match_rate=len(pairs) / total,
        false_match_interval=false,
        true_match_rate=float(hits.sum() / same.sum()),
        true_match_interval=true,
        different=total,
        same=int(same.sum()),
        identities=len(known),
        images=len(of),
    )


def _seen(of: np.ndarray, identities: int, cameras: np.ndarray | None) -> np.ndarray:
    """Images of every identity under every camera, float64 (identities, cameras)."""
    if cameras is None:
        return np.zeros((identities, 0))
    known, camera = np.unique(cameras, return_inverse=True)
    places = np.bincount(of * len(known) + camera, minlength=identities * len(known))
    return places.reshape(identities, len(known)).astype(float)


def _false_matches(total: int, rate: float) -> int:
    """How many of `total` pairs a rate allows, rounded down; InputError where it allows none, or so many that
    they cannot be held."""
    exact = Fraction(repr(rate))
    allowed = math.floor(exact * total)
    if allowed < 1:
        raise InputError(
            f"--false-match-rate: {rate:g} cannot be told from {total:,} pairs of different people: it takes "
            f"{math.ceil(1 / exact):,} or more. Give more people, or a larger rate."
        )
    if PAIR_BYTES * 2 * allowed > MOST_BYTES:
        raise InputError(
            f"--false-match-rate: {rate:g} of {total:,} pairs are too many to hold. Use a smaller rate."
        )
    return allowed


def _smallest(
    features: np.ndarray, of: np.ndarray, cameras: np.ndarray | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances of the `count` nearest pairs of two people, and the people: (count,), (count, 2)."""
    squares, pairs, limit = np.empty(0), np.empty((0, 2), dtype=np.int32), np.inf
    for start in range(0, len(of), TOGETHER):
        some = slice(start, start + TOGETHER)
        found = 2 - 2 * (features[some] @ features[start:].T)
        counted = (of[some, None] != of[start:]) & (found <= limit)
        if cameras is not None:
            counted &= cameras[some, None] != cameras[start:]
        row, column = np.nonzero(np.triu(counted, 1))
        squares = np.concatenate([squares, found[row, column]])
        pairs = np.concatenate([pairs, np.stack([of[start + row], of[start + column]], 1).astype(np.int32)])
        if len(squares) > count + ROOM or start + TOGETHER >= len(of):
            kept = np.argpartition(squares, count - 1)[:count] if len(squares) > count else slice(None)
            squares, pairs = squares[kept], pairs[kept]
            limit = squares.max() if len(squares) == count else np.inf
    return np.maximum(squares, 0), pairs


def _same_pairs(
    features: np.ndarray, of: np.ndarray, cameras: np.ndarray | None, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of every identity the pairs below a squared distance, and all its pairs, int64 (identities,)."""
    order = np.argsort(of, kind="stable")
    hits, same = [], []
    for rows in np.split(order, np.cumsum(np.bincount(of))[:-1]):
        counted = np.triu(np.ones((len(rows), len(rows)), dtype=bool), 1)
        if cameras is not None:
            counted &= cameras[rows, None] != cameras[rows]
        squares = 2 - 2 * (features[rows] @ features[rows].T)
        hits.append(np.count_nonzero(squares[counted] < limit))
        same.append(np.count_nonzero(counted))
    return np.array(hits), np.array(same)


def _intervals(
    people: _People, pairs: np.ndarray, hits: np.ndarray, same: np.ndarray
) -> tuple[Interval | None, Interval | None]:
    """Percentile intervals of the two rates over draws of identities. A person who is drawn twice is not two
    people: pairs of the two copies are left out.

    pairs: identities of every false match, (matches, 2); hits, same: of the identities' own pairs.
    """
    count = len(people.counts)
    if count < LEAST_IDENTITIES:
        return None, None
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(float)
    true = (draws @ hits) / np.maximum(draws @ same, 1)
    who, times = np.unique(np.sort(pairs, axis=1), axis=0, return_counts=True)
    false = np.zeros(DRAWS)
    for start in range(0, len(who), PIECE):
        first, second = who[start : start + PIECE].T
        false += (draws[:, first] * draws[:, second]) @ times[start : start + PIECE]
    return _middle(false / np.maximum(people.different(draws), 1)), _middle(true)


def _middle(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
