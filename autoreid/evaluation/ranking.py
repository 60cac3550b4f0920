"""CMC, mAP and mINP without sorting the gallery and without a compiler.

The rank of a match is its place among the matches plus the number of non-matches at its distance or below.
So only gallery images up to the worst true match count: for each query the non-matches among them are
taken out, sorted, and counted by a binary search for each match. The gallery is grouped by identity once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from autoreid.errors import InputError
from autoreid.evaluation.checks import JUNK, feature_problems, label_problems, matrix_problems, nan_problems
from autoreid.evaluation.distances import distance_blocks, prepare
from autoreid.evaluation.intervals import over_identities

PROTOCOL: Mapping[str, Any] = {
    "distance": "euclidean",
    "normalised": True,
    "average_precision": "mean-precision",
    "single_query": True,
    "same_camera_ignored": True,
    "ties": "against",
}


@dataclass(frozen=True, slots=True, eq=False)
class RankingScores:
    """What one ranking scored. Fractions, not percent.

    mean_average_precision, mean_inverse_negative_penalty: means over the queries with a valid match.
    cmc: (gallery images without junk,) cmc[r - 1] is rank-r, the share of these queries with a match among
    the first r images.
    queries: how many queries have a valid match; the others are left out of every mean.
    average_precisions, first_ranks, identities: (queries,) of the queries that `valid`, a bool for every
    query given, marks; `first_ranks` are those of the first match, from 1.
    """

    mean_average_precision: float
    cmc: np.ndarray
    mean_inverse_negative_penalty: float
    queries: int
    average_precisions: np.ndarray
    first_ranks: np.ndarray
    identities: np.ndarray
    valid: np.ndarray

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
    chunk: int = 256,
) -> RankingScores:
    """Score a distance matrix (queries, gallery images); lower is better.

    Single query. Gallery images of the query's identity under the query's camera are ignored, identity -1
    (junk) is dropped, identity 0 (a distractor) matches nothing. A match ranks after all non-matches at its
    distance; tied matches take consecutive ranks. AP is the mean of the precisions at the matches. Queries
    without a match under another camera are left out and counted.

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
    return score_blocks((distance[start : start + chunk] for start in range(0, len(distance), chunk)), labels)


def rank_features(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    query_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_ids: np.ndarray,
    gallery_cameras: np.ndarray,
    normalise: bool = True,
    chunk: int = 256,
) -> RankingScores:
    """Score features (images, dim) by Euclidean distance, between L2-normalised rows unless told otherwise.

    As `rank` on the matrix of these distances, which is never built: `chunk` queries are compared at a time.
    Gallery images with equal features tie exactly.
    Raises InputError as `rank` does, and for NaN, infinite or (where normalised) zero features.

    >>> scores = rank_features(
    ...     np.array([[1.0, 0.0]]), np.array([[0.0, 3.0], [5.0, 1.0]]),
    ...     query_ids=np.array([7]), query_cameras=np.array([1]),
    ...     gallery_ids=np.array([8, 7]), gallery_cameras=np.array([2, 2]),
    ... )
    >>> scores.mean_average_precision
    1.0
    """
    query, gallery = np.asarray(query_features), np.asarray(gallery_features)
    labels = Labels(*map(np.asarray, (query_ids, query_cameras, gallery_ids, gallery_cameras)))
    features = {"query_features": query, "gallery_features": gallery}
    problems = _chunk_problems(chunk) + feature_problems(features | labels.by_name(), normalise)
    if problems:
        raise InputError(*problems)
    kept = labels.gallery_ids != JUNK
    blocks = distance_blocks(prepare(query, normalise), prepare(gallery[kept], normalise), chunk)
    return score_blocks(blocks, labels.of_gallery(kept))


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Identities and cameras of both sides, one whole number for each image."""

    query_ids: np.ndarray
    query_cameras: np.ndarray
    gallery_ids: np.ndarray
    gallery_cameras: np.ndarray

    def by_name(self) -> dict[str, np.ndarray]:
        return asdict(self)

    def of_gallery(self, kept: np.ndarray) -> Labels:
        """With the gallery images alone that `kept`, a bool for each, marks."""
        return replace(self, gallery_ids=self.gallery_ids[kept], gallery_cameras=self.gallery_cameras[kept])


def _chunk_problems(chunk: int) -> list[str]:
    return [] if chunk >= 1 else [f"chunk: {chunk} is too small. Use 1 or more."]


def _distance_problems(distance: np.ndarray, labels: Labels) -> list[str]:
    problems = matrix_problems("distance", distance, "(queries, gallery images)")
    queries, gallery_images = (None, None) if problems else distance.shape
    problems += [] if problems else nan_problems(distance)
    problems += label_problems(labels.by_name(), "query", queries)
    return problems + label_problems(labels.by_name(), "gallery", gallery_images)


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """The gallery grouped by identity: that of query q is at columns[first[q] : last[q]]."""

    columns: np.ndarray
    cameras: np.ndarray
    first: np.ndarray
    last: np.ndarray
    query_cameras: np.ndarray
    counted: np.ndarray | None  # (gallery images,) False at junk; None where there is no junk
    size: int  # gallery images without junk


def _group(labels: Labels) -> _Groups:
    columns = np.argsort(labels.gallery_ids, kind="stable")
    ordered = labels.gallery_ids[columns]
    counted = labels.gallery_ids != JUNK
    return _Groups(
        columns=columns,
        cameras=labels.gallery_cameras[columns],
        first=np.searchsorted(ordered, labels.query_ids, side="left"),
        last=np.searchsorted(ordered, labels.query_ids, side="right"),
        query_cameras=labels.query_cameras,
        counted=None if counted.all() else counted,
        size=int(counted.sum()),
    )


def score_blocks(blocks: Iterable[np.ndarray], labels: Labels) -> RankingScores:
    """Scores of blocks of distances that follow one another in the order of the queries."""
    groups = _group(labels)
    spans = zip(groups.first, groups.last, groups.query_cameras, strict=True)
    if not any((groups.cameras[first:last] != camera).any() for first, last, camera in spans):
        raise InputError(_no_match(labels))
    ranks: list[np.ndarray] = []
    for block in blocks:
        for row in np.ascontiguousarray(block):
            ranks.append(_match_ranks(row, len(ranks), groups))
    return _summary(ranks, labels.query_ids, groups.size)


def _match_ranks(row: np.ndarray, query: int, groups: _Groups) -> np.ndarray:
    """The ranks of one query's matches, from 1 and rising, by its row of distances."""
    group = slice(groups.first[query], groups.last[query])
    same = groups.columns[group]
    matches = row[same[groups.cameras[group] != groups.query_cameras[query]]]
    if not matches.size:
        return np.empty(0, dtype=np.int64)
    matches.sort()
    near = row <= matches[-1]
    near[same] = False
    if groups.counted is not None:
        near &= groups.counted
    others = row.compress(near)
    others.sort()
    ranks: np.ndarray = others.searchsorted(matches, side="right") + np.arange(1, len(matches) + 1)
    return ranks


def _no_match(labels: Labels) -> str:
    shared = len(np.intersect1d(labels.query_ids, labels.gallery_ids))
    cameras = len(np.union1d(labels.query_cameras, labels.gallery_cameras))
    if not shared:
        remedy = "Number the people of query and gallery in the same way."
    elif cameras == 1:
        remedy = "All images carry one camera: give the query images a camera number of their own."
    else:
        remedy = "Add gallery images of these identities from other cameras, or correct the camera numbers."
    return (
        "query_ids: no query has a gallery image of its identity under another camera "
        f"({len(labels.query_ids)} queries, {shared} identities on both sides, {cameras} cameras). {remedy}"
    )


def _summary(ranks: list[np.ndarray], query_ids: np.ndarray, gallery_size: int) -> RankingScores:
    matches = np.array([len(found) for found in ranks])
    valid = matches > 0
    matches = matches[valid]
    flat = np.concatenate(ranks)
    ends = np.cumsum(matches)
    starts = ends - matches
    nth = np.arange(1, len(flat) + 1) - np.repeat(starts, matches)
    precisions = np.add.reduceat(nth / flat, starts) / matches
    found_first = np.bincount(flat[starts], minlength=gallery_size + 1)[1:]
    return RankingScores(
        mean_average_precision=float(precisions.mean()),
        cmc=found_first.cumsum() / len(matches),
        mean_inverse_negative_penalty=float((matches / flat[ends - 1]).mean()),
        queries=len(matches),
        average_precisions=precisions,
        first_ranks=flat[starts],
        identities=query_ids[valid],
        valid=valid,
    )
