"""CMC, mAP and mINP without a sorted gallery or a compiler; `matches` has the way of counting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreid.errors import InputError
from autoreid.evaluation.checks import JUNK, label_problems, matrix_problems, nan_problems
from autoreid.evaluation.intervals import over_identities
from autoreid.evaluation.matches import Block, Labels, average_precisions, ranks_of
from autoreid.evaluation.protocol import USUAL, Protocol
from autoreid.evaluation.sides import DEFAULT_MEMORY, Sides


@dataclass(frozen=True, slots=True, eq=False)
class RankingScores:
    """What one ranking scored. Fractions, not percent.

    mean_average_precision, mean_inverse_negative_penalty: means over the queries with a valid match.
    cmc: (gallery images without junk,) cmc[r - 1] is rank-r, the share of these queries with a match among
    the first r images.
    queries: how many queries have a valid match; the others are left out of every mean.
    average_precisions, first_ranks, identities: (queries,) of the queries that `valid`, a bool for every
    query given, marks; `first_ranks` are those of the first match, from 1.
    absent_identities: queries of whose identity the gallery has no image at all; they are left out as well.
    """

    mean_average_precision: float
    cmc: np.ndarray
    mean_inverse_negative_penalty: float
    queries: int
    average_precisions: np.ndarray
    first_ranks: np.ndarray
    identities: np.ndarray
    valid: np.ndarray
    absent_identities: int = 0

    @property
    def left_out(self) -> int:
        """Queries without a match, which no mean takes in."""
        return len(self.valid) - self.queries

    def rank(self, r: int) -> float:
        """Rank-r of the CMC; beyond the size of the gallery its last value."""
        if r < 1:
            raise InputError(f"rank: {r} is too small. Ranks start at 1.")
        return float(self.cmc[min(r, len(self.cmc)) - 1])

    def plain(self, protocol: Mapping[str, Any]) -> dict[str, Any]:
        """The figures as plain numbers, with the protocol that gave them, and the 95% intervals of mAP and
        rank-1 over the identities of the queries, None for few of them."""
        nothing = (None, None)
        precision = over_identities(self.average_precisions, self.identities) or nothing
        first = over_identities(self.first_ranks == 1, self.identities) or nothing
        return {
            "mAP": self.mean_average_precision,
            "rank_1": self.rank(1),
            "rank_5": self.rank(5),
            "rank_10": self.rank(10),
            "mINP": self.mean_inverse_negative_penalty,
            "queries": self.queries,
            "left_out": self.left_out,
            "absent_identities": self.absent_identities,
            "mAP_low": precision[0],
            "mAP_high": precision[1],
            "rank_1_low": first[0],
            "rank_1_high": first[1],
            "protocol": dict(protocol),
        }


def rank(
    distance: np.ndarray,
    *,
    query_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_ids: np.ndarray,
    gallery_cameras: np.ndarray,
    protocol: Protocol = USUAL,
    chunk: int = 256,
) -> RankingScores:
    """Score a distance matrix (queries, gallery images); lower is better.

    Single query. Gallery images of the query's identity under the query's camera are ignored, identity -1
    (junk) is dropped, identity 0 (a distractor) matches nothing. A match ranks after all non-matches at its
    distance; tied matches take consecutive ranks. AP is the mean of the precisions at the matches. Queries
    without a match under another camera are left out and counted.

    protocol: another rule of AP, or matches under the query's own camera; the rest of it has no effect.
    chunk: queries brought into row order together; it matters for the speed of a transposed matrix only.
    Raises InputError, all problems together, for lengths and types that do not fit, for NaN, for queries
    with identity 0 or less, and where no query has a valid match.
    Source: the protocol of Market-1501; mINP is the mean of (matches / rank of the hardest match).

    >>> scores = rank(
    ...     np.array([[0.1, 0.2, 0.3, 0.2]]),
    ...     query_ids=np.array([7]), query_cameras=np.array([1]),
    ...     gallery_ids=np.array([7, 7, 7, 8]), gallery_cameras=np.array([1, 2, 3, 2]),
    ... )
    >>> round(scores.mean_average_precision, 4), scores.rank(1), scores.rank(2)
    (0.5833, 0.0, 1.0)
    """
    distance = np.asarray(distance)
    labels = Labels(*map(np.asarray, (query_ids, query_cameras, gallery_ids, gallery_cameras)))
    problems = _chunk_problems(chunk) + _distance_problems(distance, labels)
    if problems:
        raise InputError(*problems)
    blocks = (Block(distance[start : start + chunk]) for start in range(0, len(distance), chunk))
    return score_blocks(blocks, labels, protocol)


def rank_features(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    query_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_ids: np.ndarray,
    gallery_cameras: np.ndarray,
    protocol: Protocol = USUAL,
    memory: int = DEFAULT_MEMORY,
) -> RankingScores:
    """Score features (images, dim) by Euclidean distance, of L2-normalised rows unless `protocol` says no.

    As `rank` on the matrix of these distances, which is never built. Gallery images with equal features tie
    exactly, and what rounding could have swapped is measured again: figures depend neither on the order of
    the images nor on threads. memory: bytes that are held at once beside the arrays given: the features in
    float64, and as many queries' distances as the rest has room for; figures do not depend on it either.
    Raises InputError as `rank` does, for NaN, infinite or (where normalised) zero features, and for a memory
    that is too small, with the least.

    >>> scores = rank_features(
    ...     np.array([[1.0, 0.0]]), np.array([[0.0, 3.0], [5.0, 1.0]]),
    ...     query_ids=np.array([7]), query_cameras=np.array([1]),
    ...     gallery_ids=np.array([8, 7]), gallery_cameras=np.array([2, 2]),
    ... )
    >>> scores.mean_average_precision
    1.0
    """
    labels = Labels(*map(np.asarray, (query_ids, query_cameras, gallery_ids, gallery_cameras)))
    sides = Sides.checked(query_features, gallery_features, labels, protocol.normalised)
    return score_blocks(sides.distances(memory), sides.labels, protocol)


def _chunk_problems(chunk: int) -> list[str]:
    return [] if chunk >= 1 else [f"chunk: {chunk} is too small. Use 1 or more."]


def _distance_problems(distance: np.ndarray, labels: Labels) -> list[str]:
    problems = matrix_problems("distance", distance, "(queries, gallery images)")
    queries, gallery_images = (None, None) if problems else distance.shape
    problems += [] if problems else nan_problems(distance)
    problems += label_problems(labels.by_name(), "query", queries)
    return problems + label_problems(labels.by_name(), "gallery", gallery_images)


def score_blocks(blocks: Iterable[Block], labels: Labels, protocol: Protocol = USUAL) -> RankingScores:
    """Scores of blocks of distances that follow one another in the order of the queries."""
    return summary(ranks_of(blocks, labels, protocol), labels, protocol)


def summary(ranks: list[np.ndarray], labels: Labels, protocol: Protocol = USUAL) -> RankingScores:
    """Scores by the ranks of every query's matches, of which at least one query has some."""
    matches = np.array([len(found) for found in ranks])
    valid = matches > 0
    matches = matches[valid]
    flat = np.concatenate(ranks)
    ends = np.cumsum(matches)
    first = flat[ends - matches]
    precisions = average_precisions(flat, matches, protocol.average_precision)
    size = int((labels.gallery_ids != JUNK).sum())
    return RankingScores(
        mean_average_precision=float(precisions.mean()),
        cmc=np.bincount(first, minlength=size + 1)[1:].cumsum() / len(matches),
        mean_inverse_negative_penalty=float((matches / flat[ends - 1]).mean()),
        queries=len(matches),
        average_precisions=precisions,
        first_ranks=first,
        identities=labels.query_ids[valid],
        valid=valid,
        absent_identities=int(labels.absent().sum()),
    )
