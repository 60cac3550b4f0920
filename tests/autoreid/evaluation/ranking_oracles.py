"""Evaluation and re-ranking as plain as can be: whole matrices and loops, written from the papers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from autoreid.evaluation.protocol import USUAL, Protocol
from autoreid.evaluation.ranking import RankingScores

Labels = Mapping[str, np.ndarray]


def ranking(row: Any, person: int, camera: int, labels: Labels, protocol: Protocol = USUAL) -> list[bool]:
    """One query's gallery in order, as whether each is a match; a tie counts against the match."""
    seen = [
        (value, identity == person)  # False sorts before True
        for value, identity, view in zip(row, labels["gallery_ids"], labels["gallery_cameras"], strict=True)
        if identity != -1 and not (protocol.same_camera_ignored and identity == person and view == camera)
    ]
    return [match for _, match in sorted(seen)]


def mean_precision(order: Sequence[bool]) -> float:
    """The mean of the precisions at the matches."""
    places = [place for place, match in enumerate(order, start=1) if match]
    return math.fsum(n / place for n, place in enumerate(places, start=1)) / len(places)


def trapezoid(order: Sequence[bool]) -> float:
    """`compute_AP.m` of Market-1501: walk down the ranking, add up trapezoids of precision over recall."""
    area, old_recall, old_precision, hits = 0.0, 0.0, 1.0, 0
    for place, match in enumerate(order, start=1):
        hits += match
        recall, precision = hits / sum(order), hits / place
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def scores(distance: np.ndarray, labels: Labels, protocol: Protocol = USUAL) -> dict[str, Any]:
    """What `rank` has to give for a matrix of distances."""
    average = trapezoid if protocol.average_precision == "trapezoid" else mean_precision
    queries = zip(distance.tolist(), labels["query_ids"], labels["query_cameras"], strict=True)
    orders = [ranking(row, person, camera, labels, protocol) for row, person, camera in queries]
    found = [order for order in orders if any(order)]
    places = [[place for place, match in enumerate(order, 1) if match] for order in found]
    size = sum(identity != -1 for identity in labels["gallery_ids"])
    count = max(1, len(found))
    return {
        "valid": [any(order) for order in orders],
        "average_precisions": [average(order) for order in found],
        "mAP": math.fsum(map(average, found)) / count,
        "mINP": math.fsum(len(hits) / hits[-1] for hits in places) / count,
        "cmc": [sum(hits[0] <= r for hits in places) / count for r in range(1, size + 1)],
        "absent": sum(person not in set(labels["gallery_ids"].tolist()) for person in labels["query_ids"]),
    }


def assert_equal(found: RankingScores, expected: Mapping[str, Any]) -> None:
    assert found.valid.tolist() == expected["valid"]
    assert found.queries == sum(expected["valid"])
    assert found.left_out == len(expected["valid"]) - sum(expected["valid"])
    assert found.absent_identities == expected["absent"]
    assert found.average_precisions.tolist() == pytest.approx(expected["average_precisions"], abs=1e-12)
    assert found.mean_average_precision == pytest.approx(expected["mAP"], abs=1e-12)
    assert found.mean_inverse_negative_penalty == pytest.approx(expected["mINP"], abs=1e-12)
    assert found.cmc.tolist() == pytest.approx(expected["cmc"], abs=1e-12)


def reranked(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    """Re-ranked distances, by the whole matrix (images, images) and loops over images.

    An image is its own nearest, equal ones follow in the order of the images.
    """
    features = np.concatenate([query, gallery])
    count, queries = len(features), len(query)
    distances = ((features[:, None] - features[None]) ** 2).sum(2)
    scaled = distances / np.where(distances.max(1) > 0, distances.max(1), 1)[:, None]
    np.fill_diagonal(distances, -1)
    order = np.argsort(distances, axis=1, kind="stable")

    def reciprocal(image: int, k: int) -> set[int]:
        return {int(j) for j in order[image, : k + 1] if image in order[j, : k + 1]}

    encoded = np.zeros((count, count))
    for image in range(count):
        own = reciprocal(image, k1)
        members = set(own)
        for candidate in own:
            theirs = reciprocal(candidate, int(np.around(k1 / 2)))
            members |= theirs if len(theirs & own) > 2 / 3 * len(theirs) else set()
        chosen = sorted(members)
        weights = np.exp(-scaled[image, chosen])
        encoded[image, chosen] = weights / weights.sum()
    encoded = np.stack([encoded[order[image, :k2]].mean(0) for image in range(count)])
    shared = np.minimum(encoded[:queries, None], encoded[None]).sum(2)
    jaccard = 1 - shared / (2 - shared)
    return np.asarray((1 - weight) * jaccard + weight * scaled[:queries])[:, queries:]
