"""k-reciprocal re-ranking in pieces: no matrix of all images against all images is ever held.

An image's neighbours that have it among their own nearest are its k-reciprocal neighbours; two images are
near where these overlap (a Jaccard distance). The products of features run on the device given, a block at a
time; everything else is sparse and small. Source: Zhong, Zheng, Cao and Li (2017), Re-ranking person
re-identification with k-reciprocal encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from autoreid.evaluation.distances import centre, distance_blocks
from autoreid.evaluation.matches import Block, Labels
from autoreid.evaluation.neighbours import Neighbours, nearest, row_bytes
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranking import RankingScores, score_blocks
from autoreid.evaluation.sides import BESIDE, DEFAULT_MEMORY, TOGETHER, Sides, Squared, rows_within
from autoreid.evaluation.sparse_rows import TURNED_BYTES, SparseRows

RERANKED = Protocol(reranking=Reranking())
# Of the share of a candidate's own reciprocal neighbours that must be the image's too.
OVERLAP = 2 / 3
# Images that are smoothed together.
PIECE = 2048
# Entries that an image shares with others, as a rule; memory for these is asked for at the start.
USUAL_ENTRIES = 100
# Bytes for what is computed a piece at a time.
WORK_BYTES = 64 * 2**20
WHAT = "re-ranking"
# What sums of distances of at most 1 are off by.
ROUNDING_OF_SUMS = 2.0**-49


def rerank_features(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    query_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_ids: np.ndarray,
    gallery_cameras: np.ndarray,
    protocol: Protocol = RERANKED,
    device: torch.device | str = "cpu",
    memory: int = DEFAULT_MEMORY,
) -> RankingScores:
    """Score features (images, dim) as `rank_features` does, by their re-ranked distances.

    Neighbours are sought among queries and gallery together, without junk images. memory: bytes that are held
    at once beside the arrays given: the features in float64 and float32, a block of distances, the neighbours
    and what images share with them; a GPU holds less than that besides. Figures do not depend on it, on the
    device or on the number of threads. Raises InputError as `rank_features` does, and for settings that mean
    nothing.

    >>> views = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> scores = rerank_features(
    ...     views[:2], views[2:], query_ids=np.array([1, 2]), query_cameras=np.array([1, 1]),
    ...     gallery_ids=np.array([2, 1]), gallery_cameras=np.array([2, 2]),
    ...     protocol=Protocol(reranking=Reranking(k1=1, k2=1)),
    ... )
    >>> scores.queries
    2
    """
    settings = protocol.reranking or Reranking()
    labels = Labels(*map(np.asarray, (query_ids, query_cameras, gallery_ids, gallery_cameras)))
    sides = Sides.checked(query_features, gallery_features, labels, protocol.normalised)
    blocks = reranked_blocks(sides, settings, device, memory)
    return score_blocks(blocks, sides.labels, protocol)


def reranked_blocks(
    sides: Sides,
    settings: Reranking,
    device: torch.device | str = "cpu",
    memory: int = DEFAULT_MEMORY,
) -> Iterator[Block]:
    """Re-ranked distances, lower is better.

    Raises InputError for settings that mean nothing, and for too little memory.
    """
    images, queries = len(sides.query) + len(sides.kept), len(sides.query)
    settings.check(images)
    plan = _Plan(images, queries, sides.query.shape[1], settings.k1 + 1, memory)
    together = plan.rows_of_products()
    features = sides.joined()
    neighbours = nearest(features, settings.k1 + 1, torch.device(device), together)
    encoded = _encode(features, neighbours, settings)
    chunk = plan.queries_together(len(encoded.columns))
    blended = _Blended(
        encoded=encoded,
        columns=encoded.from_row(queries).transposed(images),
        farthest=neighbours.farthest[:queries],
        squared=Squared(sides, features[queries:]),
        weight=settings.weight,
    )
    slack = settings.weight * centre(features) / blended.farthest + ROUNDING_OF_SUMS
    squares = np.einsum("ij,ij->i", features[:queries], features[:queries])
    start = 0
    for values in distance_blocks(features[:queries], features[queries:], chunk):
        rows = slice(start, start + len(values))
        values += squares[rows, None]
        for place, row in enumerate(values):
            blended.blend(start + place, row)
        yield Block(values, slack[rows], partial(blended.exact, start))
        start += len(values)


@dataclass(frozen=True, slots=True, eq=False)
class _Blended:
    """Re-ranked distances of queries: of their Jaccard distances and their own, as `weight` says.

    encoded: all images; columns: the gallery's, turned, so that row j holds who has a weight at image j.
    """

    encoded: SparseRows
    columns: SparseRows
    farthest: np.ndarray
    squared: Squared
    weight: float

    def blend(self, query: int, row: np.ndarray) -> None:
        """Squared distances, (gallery images,), become re-ranked ones in place."""
        np.maximum(row, 0.0, out=row)
        row /= self.farthest[query]
        row *= self.weight
        shared = self._shared(query, len(row))
        near = np.flatnonzero(shared > 0)  # the others are at a distance of 1
        blended = (1.0 - self.weight) * _jaccard(shared[near]) + row[near]
        row += 1.0 - self.weight
        row[near] = blended

    def exact(self, start: int, place: int, wanted: np.ndarray) -> np.ndarray:
        """Re-ranked distances to gallery images by their numbers, free of a product's rounding."""
        query = start + place
        shared = self._shared(query, int(wanted.max()) + 1)[wanted]
        own = self.squared(start, place, wanted) / self.farthest[query] * self.weight
        found: np.ndarray = (1.0 - self.weight) * _jaccard(shared) + own
        return found

    def _shared(self, query: int, least: int) -> np.ndarray:
        """What a query shares with gallery images, `least` of them or more: sums of the smaller weights."""
        part = slice(self.encoded.ends[query], self.encoded.ends[query + 1])
        taken, sizes = self.columns.of_rows(self.encoded.columns[part])
        smaller = np.minimum(self.columns.weights[taken], np.repeat(self.encoded.weights[part], sizes))
        return np.bincount(self.columns.columns[taken], weights=smaller, minlength=least)


def _jaccard(shared: np.ndarray) -> np.ndarray:
    distances: np.ndarray = 1.0 - shared / (2.0 - shared)
    return distances


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is held at once, in bytes: of `images` images, queries among them, with `dim` entries."""

    images: int
    queries: int
    dim: int
    count: int  # neighbours
    memory: int

    def _kept(self) -> int:
        """Features in float64, neighbours with their distances, labels."""
        return self.images * (8 * self.dim + 12 * self.count + BESIDE) + WORK_BYTES

    def rows_of_products(self) -> int:
        """Rows of a block of products. Raises InputError where not one fits."""
        fixed = self._kept() + self.images * max(4 * self.dim, USUAL_ENTRIES * TURNED_BYTES)
        return rows_within(self.memory, fixed, max(row_bytes(self.images), 32 * self.images), WHAT)

    def queries_together(self, entries: int) -> int:
        """Queries of a block, once it is known how much images share. Raises InputError as above."""
        each = 32 * (self.images - self.queries)
        return min(TOGETHER, rows_within(self.memory, self._kept() + entries * TURNED_BYTES, each, WHAT))


def _encode(features: np.ndarray, neighbours: Neighbours, settings: Reranking) -> SparseRows:
    """Every image as weights over its expanded reciprocal neighbours, summing to 1, smoothed over its k2
    nearest."""
    count = len(features)
    rows, columns = _expanded(neighbours.images, settings.k1)
    weights = np.exp(-neighbours.squared(features, rows, columns) / neighbours.farthest[rows])
    weights /= np.bincount(rows, weights=weights)[rows]  # every image is a neighbour of its own
    encoded = SparseRows.of_entries(rows, columns, weights, count)
    if settings.k2 == 1:
        return encoded
    near = neighbours.images[:, : settings.k2]
    pieces = (near[start : start + PIECE] for start in range(0, count, PIECE))
    return SparseRows.stacked([_smoothed(encoded, piece) for piece in pieces])


def _smoothed(encoded: SparseRows, near: np.ndarray) -> SparseRows:
    """For each row of `near` (images, k2) the mean of the images it names."""
    taken, sizes = encoded.of_rows(near.ravel())
    rows = np.repeat(np.repeat(np.arange(len(near)), near.shape[1]), sizes)
    weights = encoded.weights[taken] / near.shape[1]
    return SparseRows.of_entries(rows, encoded.columns[taken], weights, len(near))


def _reciprocal(neighbours: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which of the neighbours of these rows have the row among their own; bool (rows, neighbours)."""
    found: np.ndarray = (neighbours[neighbours[rows]] == rows[:, None, None]).any(2)
    return found


def _expanded(neighbours: np.ndarray, k1: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of an image and each of its reciprocal neighbours, with those of neighbours that agree with it.

    int64 (pairs,) each: the image, in rising order, and the neighbour.
    """
    half = neighbours[:, : int(np.around(k1 / 2)) + 1]
    everyone = np.arange(len(neighbours))
    step = 1 + (1 << 24) // (neighbours.shape[1] ** 2 * half.shape[1])
    pieces = [everyone[start : start + step] for start in range(0, len(everyone), step)]
    mutual = np.concatenate([_reciprocal(half, piece) for piece in pieces])
    found = [_pairs(neighbours, half, mutual, piece) for piece in pieces]
    return np.concatenate([rows for rows, _ in found]), np.concatenate([columns for _, columns in found])


def _pairs(
    neighbours: np.ndarray, half: np.ndarray, mutual: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    own = np.where(_reciprocal(neighbours, rows), neighbours[rows], -1)
    # The candidates' own reciprocal neighbours, of the nearer half; -2 where there is none.
    candidates = np.where(mutual[own], half[own], -2)
    candidates[own < 0] = -2
    agreeing = (candidates[..., None] == own[:, None, None, :]).any(3).sum(2)
    sizes = (candidates >= 0).sum(2)
    joined = np.where((agreeing > OVERLAP * sizes)[..., None], candidates, -2)
    members = np.concatenate([own, joined.reshape(len(rows), -1)], axis=1)
    members.sort(axis=1)
    new = members >= 0
    new[:, 1:] &= members[:, 1:] != members[:, :-1]
    places, columns = np.nonzero(new)
    return rows[places], members[places, columns]
