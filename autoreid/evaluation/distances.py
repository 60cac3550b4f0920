"""Distances between features, a block of queries at a time, never the whole matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Rows that are brought into float64 together.
PIECE = 1024
# Of float64, half of its step at 1.
ROUNDING = 2.0**-53


def prepare(features: np.ndarray, normalise: bool) -> np.ndarray:
    """A float64 copy of features (images, dim), rows L2-normalised on request; no zero rows then.

    >>> prepare(np.array([[3.0, 4.0]]), normalise=True)
    array([[0.6, 0.8]])
    """
    return prepared([(features, None)], normalise)


def prepared(parts: Sequence[tuple[np.ndarray, np.ndarray | None]], normalise: bool) -> np.ndarray:
    """As `prepare`, of several matrices one below the other; of each the rows named, or all of them.

    Nothing else of the result's size is held meanwhile.
    """
    counts = [len(features) if rows is None else len(rows) for features, rows in parts]
    result = np.empty((sum(counts), parts[0][0].shape[1]))
    done = 0
    for (features, rows), count in zip(parts, counts, strict=True):
        for start in range(0, count, PIECE):
            taken = slice(start, start + PIECE)
            piece = result[done + start : done + min(start + PIECE, count)]
            piece[:] = features[taken] if rows is None else features[rows[taken]]
            if normalise:
                piece /= np.linalg.norm(piece, axis=1, keepdims=True)
            piece += 0.0  # -0.0 and 0.0 become the same bytes
        done += count
    return result


def centre(features: np.ndarray) -> float:
    """Take the mean off features, float64 (images, dim), in place, and return the slack of their distances.

    Distances stay as they are, and those of a nearly collapsed network lose no digits to what all features
    share. The slack: how far two distances, each by whichever product or as the square of a difference, can
    be off together.
    """
    features -= features.mean(axis=0)
    largest = max(
        float(np.einsum("ij,ij->i", piece, piece).max())
        for piece in (features[start : start + PIECE] for start in range(0, len(features), PIECE))
    )
    return 16 * (features.shape[1] + 4) * ROUNDING * largest


def distance_blocks(query: np.ndarray, gallery: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    """Blocks (at most chunk, gallery images) that order each row as its Euclidean distances do.

    The values are |g|^2 - 2 q.g, the squared distances without |q|^2. In float64, because in float32 the
    features of a nearly collapsed network fall on a few values, and ties count against the match. A product
    may round equal columns differently, depending on their place. A block lasts until the next one is taken;
    that is computed meanwhile, so that two are held.

    query, gallery: float64 (images, dim).

    >>> [block.tolist() for block in distance_blocks(np.array([[1.0]]), np.array([[2.0], [3.0], [2.0]]), 1)]
    [[[0.0, 3.0, 0.0]]]
    """
    squares = np.einsum("ij,ij->i", gallery, gallery)
    starts = range(0, len(query), chunk)
    buffers = [np.empty((min(chunk, len(query)), len(gallery))) for _ in starts[:2]]

    def block(number: int) -> np.ndarray:
        rows = query[starts[number] : starts[number] + chunk]
        values = np.matmul(-2.0 * rows, gallery.T, out=buffers[number % 2][: len(rows)])
        values += squares
        return values

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(block, 0)
        for number in range(1, len(starts)):
            values, coming = coming.result(), pool.submit(block, number)
            yield values
        yield coming.result()


def distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows that differ in their bytes, and for every row its place among them.

    >>> [part.tolist() for part in distinct_rows(np.array([[2.0], [3.0], [2.0]]))]
    [[0, 1], [0, 1, 0]]
    """
    rows = np.ascontiguousarray(rows)
    _, place, counts = np.unique(rows.sum(axis=1), return_inverse=True, return_counts=True)
    first: dict[bytes, int] = {}
    leader = np.arange(len(rows))
    for row in np.flatnonzero(counts[place] > 1).tolist():  # equal rows have equal sums, few others do
        leader[row] = first.setdefault(hashlib.sha256(rows[row]).digest(), row)
    return np.unique(leader, return_inverse=True)
