"""The nearest of many features, exactly: a block of the gallery at a time, in bounded memory. Free of torch.

A product in float32 finds who may be among the nearest; their distances are then computed in float64, as sums
of squared differences. So neither the size of blocks nor the kind of product decides an order: equal features
are equally far, and ties stand in the order of the gallery.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreid.errors import InputError
from autoreid.gallery.feature_files import LENGTH_SLACK

# Queries that are compared with a block together, and pairs whose distances are computed together.
TOGETHER, PIECE = 256, 2048
# What faiss is asked for beyond the nearest, so that near ties are among it.
MORE = 16
NOBODY = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Of every query the nearest gallery images: their rows, int64 (queries, top), nearest first, and their
    Euclidean distances, float64. Row `NOBODY`, at an infinite distance, where there are no more."""

    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The cameras of queries and of the gallery, int64 (images,), -1 where it is not known: pairs under one
    camera are left out of a search."""

    queries: np.ndarray
    gallery: np.ndarray

    def shared(self, queries: slice, gallery: slice) -> np.ndarray:
        """Whether pairs are under one camera, (queries, gallery images)."""
        own = self.queries[queries, None]
        same: np.ndarray = (own == self.gallery[gallery]) & (own >= 0)
        return same


class _Best:
    """The nearest so far, as squared distances. Row `NOBODY` at an infinite distance where there is none."""

    def __init__(self, queries: np.ndarray, top: int) -> None:
        self.queries, self.top = queries, top
        self.rows = np.full((len(queries), top), NOBODY)
        self.squares = np.full((len(queries), top), np.inf)

    def offer(self, queries: np.ndarray, rows: np.ndarray, features: np.ndarray, places: np.ndarray) -> None:
        """Pairs of a query and a gallery row, whose feature is at that place among `features`."""
        if not len(queries):
            return
        squares = _squares(self.queries, queries, features, places)
        touched, group = np.unique(queries, return_inverse=True)
        before = np.repeat(np.arange(len(touched)), self.top)
        owner = np.concatenate([before, group])
        every = np.concatenate([self.squares[touched].ravel(), squares])
        named = np.concatenate([self.rows[touched].ravel(), rows])
        order = np.lexsort((named, every, owner))
        ends = np.cumsum(np.bincount(owner))
        first = np.concatenate([[0], ends[:-1]])[:, None] + np.arange(self.top)
        self.squares[touched] = every[order[first]]
        self.rows[touched] = named[order[first]]

    def done(self) -> Nearest:
        return Nearest(self.rows, np.sqrt(self.squares))


def _squares(queries: np.ndarray, rows: np.ndarray, features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Squared distances of pairs, float64: the same for equal features, whatever lies beside them."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), PIECE):
        taken = slice(start, start + PIECE)
        apart = features[places[taken]].astype(np.float64) - queries[rows[taken]]
        found[taken] = np.einsum("ij,ij->i", apart, apart)
    return found


def _slack(dimension: int) -> float:
    """How far a product in float32 of two features can be from 1 - d²/2, d being their distance: what their
    lengths are off, and twice the rounding of a sum, of the product and of the lengths."""
    return (dimension + 8) * 2.0**-23 + LENGTH_SLACK


def nearest(
    queries: np.ndarray, blocks: Iterable[np.ndarray], top: int, views: Views | None = None
) -> Nearest:
    """The `top` nearest of a gallery that comes in blocks.

    queries, blocks: float32 (images, dim), of length 1 each. views: what pairs may not share, if anything.

    >>> found = nearest(np.eye(2, dtype="f"), [np.eye(2, dtype="f")[[1, 0]], np.eye(2, dtype="f")], 2)
    >>> found.rows.tolist(), found.distances.tolist()
    ([[1, 2], [0, 3]], [[0.0, 0.0], [0.0, 0.0]])
    """
    best, start = _Best(queries, top), 0
    for block in blocks:
        for first in range(0, len(queries), TOGETHER):
            some = slice(first, first + TOGETHER)
            shared = None if views is None else views.shared(some, slice(start, start + len(block)))
            rows, places = _candidates(queries[some], block, best.squares[some, -1], top, shared)
            best.offer(rows + first, places + start, block, places)
        start += len(block)
    return best.done()


def _candidates(
    queries: np.ndarray, block: np.ndarray, bounds: np.ndarray, top: int, left_out: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a query and a place in the block that may be among the `top` nearest. bounds: the squared
    distances that are to be undercut; left_out: pairs that do not count, (queries, places)."""
    slack = _slack(queries.shape[1])
    likeness = queries @ block.T
    near = likeness >= (1 - bounds / 2 - slack).astype(np.float32)[:, None]
    if left_out is not None:
        near &= ~left_out
        likeness[left_out] = -np.inf
    many = np.flatnonzero(np.count_nonzero(near, axis=1) > top)
    if many.size:
        crowded = likeness[many]
        last = np.partition(crowded, -top, axis=1)[:, -top]
        near[many] &= crowded >= (last - np.float32(2 * slack))[:, None]
    rows, places = np.nonzero(near)
    return rows, places


def faiss_index(blocks: Iterable[np.ndarray], dimension: int) -> Any:
    """faiss's IndexFlatIP of a gallery, all of it in memory. InputError where faiss is not installed."""
    try:
        import faiss  # deferred: an extra
    except ImportError:
        raise InputError(
            "--index: faiss is not installed. Install autoreid[faiss], or leave --index out: the results are "
            "the same."
        ) from None
    index = faiss.IndexFlatIP(dimension)
    for block in blocks:
        index.add(np.ascontiguousarray(block))
    return index


def nearest_by_faiss(index: Any, queries: np.ndarray, top: int) -> Nearest:
    """As `nearest`, with the products of an index of `faiss_index`."""
    best = _Best(queries, top)
    for first in range(0, len(queries), TOGETHER):
        for rows, places in _found_by(index, queries[first : first + TOGETHER], top):
            for start in range(0, len(rows), PIECE):
                some = slice(start, start + PIECE)
                features = index.reconstruct_batch(places[some])
                best.offer(rows[some] + first, places[some], features, np.arange(len(features)))
    return best.done()


def _found_by(index: Any, queries: np.ndarray, top: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of a query and a gallery row that may be among the `top` nearest, by an index of faiss."""
    queries, slack = np.ascontiguousarray(queries), _slack(queries.shape[1])
    asked = min(top + MORE, index.ntotal)
    likeness, rows = index.search(queries, asked)
    least = likeness[:, top - 1] - np.float32(2 * slack)
    # Where even the last one may be among the nearest, there may be others like it.
    whole = (likeness[:, -1] < least) | (asked == index.ntotal)
    taken, column = np.nonzero((likeness >= least[:, None]) & whole[:, None])
    yield taken, rows[taken, column]
    for query in np.flatnonzero(~whole):
        # Only what is above the radius is found.
        radius = float(np.nextafter(least[query], np.float32(-np.inf)))
        _, _, near = index.range_search(queries[query : query + 1], radius)
        yield np.full(len(near), query), near
