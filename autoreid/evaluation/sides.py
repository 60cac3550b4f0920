"""Queries and gallery, checked, as their distances are taken from them, within an amount of memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreid.byte_sizes import byte_words
from autoreid.errors import InputError
from autoreid.evaluation.checks import JUNK, feature_problems
from autoreid.evaluation.distances import distance_blocks, prepared
from autoreid.evaluation.matches import Labels

DEFAULT_MEMORY = 2 * 2**30
# Queries that are compared together at most: more are no faster.
TOGETHER = 256
# Bytes for a gallery image beside its features: labels, the digest of its row, one query's row being counted.
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

    def distances(self, memory: int) -> Iterator[np.ndarray]:
        """Blocks as `distance_blocks` gives them. Raises InputError for too little `memory`, in bytes."""
        queries, images = len(self.query), len(self.kept)
        fixed = 8 * self.query.shape[1] * (queries + images) + BESIDE * images
        chunk = rows_within(memory, fixed, 16 * images, "evaluation")
        return _distances(self, min(TOGETHER, chunk))


def _distances(sides: Sides, chunk: int) -> Iterator[np.ndarray]:
    features = sides.joined()
    yield from distance_blocks(features[: len(sides.query)], features[len(sides.query) :], chunk)


def rows_within(memory: int, fixed: int, each: int, what: str) -> int:
    """How many rows of `each` bytes fit into `memory` beside `fixed` bytes.

    Raises InputError, with the least memory, where not even one does.

    >>> rows_within(1000, 400, 100, "evaluation")
    6
    """
    if memory < fixed + each:
        raise InputError(
            f"memory: {byte_words(memory)} is too little for this {what} beside the features. "
            f"Give {byte_words(fixed + each)} or more."
        )
    return (memory - fixed) // each
