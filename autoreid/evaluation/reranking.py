"""k-reciprocal re-ranking in pieces: no matrix of all images against all images is ever held.

An image's neighbours that have it among their own nearest are its k-reciprocal neighbours; two images are
near where these overlap (a Jaccard distance). The products of features run on the device given, a block at a
time; everything else is sparse and small. Source: Zhong, Zheng, Cao and Li (2017), Re-ranking person
re-identification with k-reciprocal encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from autoreid.evaluation.distances import distance_blocks
from autoreid.evaluation.matches import Labels
from autoreid.evaluation.neighbours import nearest, squared_distances
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranking import RankingScores, score_blocks
from autoreid.evaluation.sides import DEFAULT_MEMORY, Sides
from autoreid.evaluation.sparse_rows import SparseRows

RERANKED = Protocol(reranking=Reranking())
# Of the share of a candidate's own reciprocal neighbours that must be the image's too.
OVERLAP = 2 / 3
# Images that are smoothed together.
PIECE = 4096


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

    Neighbours are sought among queries and gallery together, without junk images. `memory` bounds the bytes
    of a block of products. Raises InputError as `rank_features` does, and for settings that mean nothing.

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
    settings.check(len(sides.query) + len(sides.kept))
    blocks = reranked_blocks(sides.joined(), len(sides.query), settings, device, memory)
    return score_blocks(blocks, sides.labels, protocol)


def reranked_blocks(
    features: np.ndarray,
    queries: int,
    settings: Reranking,
    device: torch.device | str = "cpu",
    memory: int = DEFAULT_MEMORY,
) -> Iterator[np.ndarray]:
    """Blocks of re-ranked distances (queries of the block, gallery images); lower is better.

    query, gallery: float64 (images, dim), as `prepare` gives them.
    """
    query, gallery = features[:queries], features[queries:]
    neighbours, farthest = nearest(features, settings.k1 + 1, torch.device(device), memory)
    encoded = _encode(features, neighbours, farthest, settings)
    columns = encoded.transposed(len(features))
    squares = np.einsum("ij,ij->i", query, query)
    chunk = max(1, min(256, memory // (16 * max(1, len(gallery)))))
    start = 0
    for block in distance_blocks(query, gallery, chunk):
        rows = slice(start, start + len(block))
        original = np.maximum(block + squares[rows, None], 0.0) / farthest[rows, None]
        shared = _shared(encoded, np.arange(rows.start, rows.stop), columns, len(query))
        jaccard = 1.0 - shared / (2.0 - shared)
        yield (1.0 - settings.weight) * jaccard + settings.weight * original
        start += len(block)


def _encode(
    features: np.ndarray, neighbours: np.ndarray, farthest: np.ndarray, settings: Reranking
) -> SparseRows:
    """Every image as weights over its expanded reciprocal neighbours, summing to 1, smoothed over its k2
    nearest."""
    count = len(features)
    rows, columns = _expanded(neighbours, settings.k1)
    weights = np.exp(-squared_distances(features, rows, columns) / farthest[rows])
    weights /= np.bincount(rows, weights=weights)[rows]  # every image is a neighbour of its own
    encoded = SparseRows.of_entries(rows, columns, weights, count)
    if settings.k2 == 1:
        return encoded
    pieces = (np.arange(start, min(start + PIECE, count)) for start in range(0, count, PIECE))
    return SparseRows.stacked([_smoothed(encoded, neighbours[piece, : settings.k2]) for piece in pieces])


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


def _shared(encoded: SparseRows, images: np.ndarray, columns: SparseRows, queries: int) -> np.ndarray:
    """What each of these images shares with every gallery image: the sum of the smaller weights."""
    result = np.empty((len(images), len(columns) - queries))
    for place, image in enumerate(images):
        part = slice(encoded.ends[image], encoded.ends[image + 1])
        taken, sizes = columns.of_rows(encoded.columns[part])
        smaller = np.minimum(columns.weights[taken], np.repeat(encoded.weights[part], sizes))
        summed = np.bincount(columns.columns[taken], weights=smaller, minlength=len(columns))
        result[place] = summed[queries:]
    return result
