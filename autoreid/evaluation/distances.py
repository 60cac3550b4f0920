"""Distances between features, a block of queries at a time, never the whole matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np


def prepare(features: np.ndarray, normalise: bool) -> np.ndarray:
    """A float64 copy of features (images, dim), rows L2-normalised on request; no zero rows then.

    >>> prepare(np.array([[3.0, 4.0]]), normalise=True)
    array([[0.6, 0.8]])
    """
    rows = features.astype(np.float64)
    if normalise:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows += 0.0  # -0.0 and 0.0 become the same bytes
    return rows


def distance_blocks(query: np.ndarray, gallery: np.ndarray, chunk: int) -> Iterator[np.ndarray]:
    """Blocks (at most chunk, gallery images) that order each row as its Euclidean distances do.

    The values are |g|^2 - 2 q.g, the squared distances without |q|^2. In float64, because in float32 the
    features of a nearly collapsed network fall on a few values, and ties count against the match. A matrix
    product may round equal columns differently, depending on their place: each distinct gallery row is
    computed once, so that images with equal features tie exactly.

    query, gallery: (images, dim), as `prepare` gives them.

    >>> [block.tolist() for block in distance_blocks(np.array([[1.0]]), np.array([[2.0], [3.0], [2.0]]), 1)]
    [[[0.0, 3.0, 0.0]]]
    """
    kept, place = distinct_rows(gallery)
    repeated = len(kept) < len(gallery)
    gallery = gallery[kept] if repeated else gallery
    squares = np.einsum("ij,ij->i", gallery, gallery)
    for start in range(0, len(query), chunk):
        block = (-2.0 * query[start : start + chunk]) @ gallery.T
        block += squares
        yield block[:, place] if repeated else block


def distinct_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows that differ in their bytes, and for every row its place among them.

    >>> [part.tolist() for part in distinct_rows(np.array([[2.0], [3.0], [2.0]]))]
    [[0, 1], [0, 1, 0]]
    """
    first: dict[bytes, int] = {}
    contiguous = np.ascontiguousarray(rows)
    leader = [first.setdefault(hashlib.sha256(row).digest(), place) for place, row in enumerate(contiguous)]
    return np.unique(leader, return_inverse=True)
