"""The scores between each two cameras: of the queries under one, in a gallery of the other's images alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from autoreid.evaluation.matches import Labels, Measure, average_precisions, grouped, match_ranks
from autoreid.evaluation.protocol import USUAL, Protocol
from autoreid.evaluation.sides import DEFAULT_MEMORY, Sides


def by_camera_pair(
    found: Mapping[str, Any], protocol: Protocol = USUAL, *, memory: int = DEFAULT_MEMORY
) -> list[dict[str, Any]]:
    """A row for each pair of cameras with a query that has a match, in the order of their numbers.

    Each has query_camera, gallery_camera, queries (those with a match in that gallery), and their mAP and
    rank_1. The gallery of a pair is every image under its camera, distractors among them. Distances are the
    plain ones, also where `protocol` asks for re-ranking. Raises InputError as `rank_features` does, but for
    queries without any match, which give no row.

    >>> rows = by_camera_pair({
    ...     "query_features": np.array([[1.0, 0.0]]), "gallery_features": np.array([[3.0, 1.0], [5.0, 1.0]]),
    ...     "query_ids": np.array([7]), "query_cameras": np.array([1]),
    ...     "gallery_ids": np.array([7, 8]), "gallery_cameras": np.array([2, 2]),
    ... })
    >>> rows
    [{'query_camera': 1, 'gallery_camera': 2, 'queries': 1, 'mAP': 0.5, 'rank_1': 0.0}]
    """
    sides = Sides.of(found, protocol.normalised)
    labels = sides.labels
    columns = [np.flatnonzero(labels.gallery_cameras == camera) for camera in _cameras(labels)]
    groups = [grouped(labels.of_gallery(part), protocol) for part in columns]
    ranks: list[list[np.ndarray]] = [[] for _ in columns]
    for block in sides.distances(memory):
        for place, row in enumerate(block.values):
            slack, exact = block.measure(place)
            for camera, part in enumerate(columns):
                within = None if exact is None else partial(_among, exact, part)
                query = len(ranks[camera])
                ranks[camera].append(match_ranks(row[part], query, groups[camera], slack, within))
    return [
        row
        for camera in np.unique(labels.query_cameras)
        for row in _rows(int(camera), ranks, labels, protocol)
    ]


def _among(exact: Measure, part: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Distances of images by their numbers among a part of the gallery."""
    return exact(part[columns])


def _cameras(labels: Labels) -> list[int]:
    return [int(camera) for camera in np.unique(labels.gallery_cameras)]


def _rows(
    camera: int, ranks: list[list[np.ndarray]], labels: Labels, protocol: Protocol
) -> list[dict[str, Any]]:
    """The rows of one camera of queries."""
    own = np.flatnonzero(labels.query_cameras == camera)
    rows = []
    for other, every in zip(_cameras(labels), ranks, strict=True):
        hits = [every[query] for query in own if every[query].size]
        if not hits:
            continue
        matches = np.array([len(hit) for hit in hits])
        precisions = average_precisions(np.concatenate(hits), matches, protocol.average_precision)
        rows.append(
            {
                "query_camera": camera,
                "gallery_camera": other,
                "queries": len(hits),
                "mAP": float(precisions.mean()),
                "rank_1": float(np.mean([hit[0] == 1 for hit in hits])),
            }
        )
    return rows
