"""Queries and gallery, checked, as their distances are taken from them, within an amount of memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from autoreid.byte_sizes import byte_count, byte_words
from autoreid.errors import InputError, TooLittleMemoryError
from autoreid.evaluation.checks import JUNK, feature_problems
from autoreid.evaluation.distances import (
    PIECE,
    centre,
    distance_blocks,
    distinct_rows,
    prepare,
    prepared,
)
from autoreid.evaluation.matches import Block, Labels
from autoreid.execution import Execution

DEFAULT_MEMORY = byte_count(Execution().evaluation_memory)
# Queries that are compared together at most: more are no faster.
TOGETHER = 256
# Bytes for a gallery image beside its features: labels, its place among distinct ones, the digest of its row.
BESIDE = 400


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Features as given, and the gallery images that are no junk; `labels` are of these."""

    query: np.ndarray
    gallery: np.ndarray
    kept: np.ndarray  # int64: rows of the gallery
    labels: Labels
    normalise: bool

    @classmethod
    def of(cls, found: Mapping[str, Any], normalise: bool) -> Sides:
        """Of arrays by the names that `rank_features` gives them. Raises InputError as `checked` does."""
        names = ("query_ids", "query_cameras", "gallery_ids", "gallery_cameras")
        labels = Labels(*(np.asarray(found[name]) for name in names))
        return cls.checked(found["query_features"], found["gallery_features"], labels, normalise)

    @classmethod
    def checked(cls, query: np.ndarray, gallery: np.ndarray, labels: Labels, normalise: bool) -> Sides:
        """Raises InputError, all problems together, for what cannot be ranked."""
        query, gallery = np.asarray(query), np.asarray(gallery)
        features = {"query_features": query, "gallery_features": gallery}
        problems = feature_problems(features | labels.by_name(), normalise)
        if problems:
            raise InputError(*problems)
        kept = labels.gallery_ids != JUNK
        return cls(query, gallery, np.flatnonzero(kept), labels.of_gallery(kept), normalise)

    def joined(self) -> np.ndarray:
        """Float64 (queries + gallery images, dim), the queries first."""
        return prepared([(self.query, None), (self.gallery, self.kept)], self.normalise)

    def distances(self, memory: int) -> Iterator[Block]:
        """Squared distances less what a row shares. Raises InputError for too little `memory`, in bytes."""
        queries, images, dim = len(self.query), len(self.kept), self.query.shape[1]
        fixed = 8 * dim * (queries + images) + BESIDE * images
        chunk = rows_within(memory, fixed, 16 * (images + dim), "evaluation")
        return self._blocks(min(TOGETHER, chunk))

    def _blocks(self, chunk: int) -> Iterator[Block]:
        features, queries = self.joined(), len(self.query)
        squared = Squared(self, features[queries:])
        slack, start = np.full(chunk, centre(features)), 0
        for values in distance_blocks(features[:queries], features[queries:], chunk):
            yield Block(values, slack, partial(squared, start))
            start += len(values)


class Squared:
    """Squared distances as sums of the squares of differences: the same for equal features, whatever lies
    beside them. Few are wanted, and they are computed from the features as given.

    gallery: float64 (images, dim), as `joined` gives it; it is not kept.
    """

    def __init__(self, sides: Sides, gallery: np.ndarray) -> None:
        self._sides = sides
        self._first, self._place = distinct_rows(gallery)

    def __call__(self, start: int, place: int, columns: np.ndarray) -> np.ndarray:
        """Of query `start` + `place` and gallery images by their numbers, equal ones computed once."""
        sides = self._sides
        query = prepare(sides.query[start + place : start + place + 1], sides.normalise)
        wanted, where = np.unique(self._place[columns], return_inverse=True)
        found = np.empty(len(wanted))
        for first in range(0, len(wanted), PIECE):
            rows = sides.kept[self._first[wanted[first : first + PIECE]]]
            apart = prepare(sides.gallery[rows], sides.normalise) - query
            found[first : first + PIECE] = np.einsum("ij,ij->i", apart, apart)
        return found[where]


def rows_within(memory: int, fixed: int, each: int, what: str) -> int:
    """How many rows of `each` bytes fit into `memory` beside `fixed` bytes.

    Raises TooLittleMemoryError, with the least memory, where not even one does.

    >>> rows_within(1000, 400, 100, "evaluation")
    6
    """
    if memory < fixed + each:
        raise TooLittleMemoryError(
            f"memory: {byte_words(memory)} is too little for this {what} beside the features. "
            f"Give {byte_words(fixed + each)} or more."
        )
    return (memory - fixed) // each
