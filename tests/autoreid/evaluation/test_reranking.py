"""Re-ranking in pieces against a dense form written from the paper, over ties, duplicates and clusters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreid.errors import InputError
from autoreid.evaluation.matches import Labels
from autoreid.evaluation.neighbours import nearest, squared_distances
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranking import rank, rank_features
from autoreid.evaluation.reranking import rerank_features, reranked_blocks
from autoreid.evaluation.sides import Sides


def naive(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    """The whole matrix (images, images), loops over images. An image is its own nearest."""
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


def blocks_of(query: np.ndarray, gallery: np.ndarray, settings: Reranking) -> np.ndarray:
    """Re-ranked distances of features as they are."""
    ones = [np.ones(len(side), int) for side in (query, gallery)]
    sides = Sides.checked(query, gallery, Labels(ones[0], ones[0], ones[1], 2 * ones[1]), normalise=False)
    return np.concatenate([block.copy() for block in reranked_blocks(sides, settings)])


# Whole numbers: distances are exact, so that ties are ties in both forms.
SIDES = st.tuples(st.integers(1, 8), st.integers(3, 30), st.integers(1, 4), st.integers(0, 2**32 - 1))


@given(SIDES, st.integers(1, 12), st.integers(1, 7), st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=80, deadline=None)
def test_blocks_equal_the_dense_form(sides: tuple[int, ...], k1: int, k2: int, weight: float) -> None:
    queries, gallery, dim, seed = sides
    random = np.random.default_rng(seed)
    rows = random.integers(0, 3, (queries + gallery, dim)).astype(float)
    k1 = min(k1, len(rows) - 1)
    k2 = min(k2, k1 + 1)
    found = blocks_of(rows[:queries], rows[queries:], Reranking(k1, k2, weight))
    expected = naive(rows[:queries], rows[queries:], k1, k2, weight)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def clusters(seed: int, people: int = 12, views: int = 6, dim: int = 16) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((people + 1, dim))
    ids = np.repeat(np.arange(1, people + 1), views)
    features = centres[ids] + 0.5 * random.standard_normal((len(ids), dim))
    cameras = np.tile(np.arange(views) % 3 + 1, people)
    query = np.arange(len(ids)) % views == 0
    return {
        "query_features": features[query],
        "gallery_features": features[~query],
        "query_ids": ids[query],
        "query_cameras": cameras[query],
        "gallery_ids": ids[~query],
        "gallery_cameras": cameras[~query],
    }


def labels(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in arrays.items() if not name.endswith("features")}


@pytest.mark.parametrize("memory", [68_000_000, 1 << 30])
def test_scores_are_those_of_the_dense_distances_whatever_the_memory(memory: int) -> None:
    arrays = clusters(0)
    sides = [arrays[f"{side}_features"] for side in ("query", "gallery")]
    sides = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    expected = rank(naive(*sides, 20, 6, 0.3), **labels(arrays))
    found = rerank_features(**arrays, memory=memory)
    assert found.mean_average_precision == pytest.approx(expected.mean_average_precision, abs=1e-12)
    np.testing.assert_array_equal(found.cmc, expected.cmc)


def test_re_ranking_helps_where_people_form_clusters() -> None:
    arrays = clusters(1, people=30, views=9)
    plain, better = (
        rank_features(**arrays),
        rerank_features(**arrays, protocol=Protocol(reranking=Reranking(k1=8, k2=3))),
    )
    assert plain.mean_average_precision < 0.99 < better.mean_average_precision + 0.05
    assert better.mean_average_precision > plain.mean_average_precision + 0.02


def test_junk_takes_no_part_and_distractors_do() -> None:
    arrays = clusters(2)
    expected = rerank_features(**arrays)
    random = np.random.default_rng(3)
    junk = arrays | {
        "gallery_features": np.concatenate([arrays["gallery_features"], random.random((9, 16))]),
        "gallery_ids": np.concatenate([arrays["gallery_ids"], np.full(9, -1)]),
        "gallery_cameras": np.concatenate([arrays["gallery_cameras"], np.ones(9, int)]),
    }
    found = rerank_features(**junk)
    assert found.average_precisions.tolist() == expected.average_precisions.tolist()
    distractors = junk | {"gallery_ids": np.where(junk["gallery_ids"] < 0, 0, junk["gallery_ids"])}
    assert len(rerank_features(**distractors).cmc) == len(expected.cmc) + 9


@pytest.mark.parametrize("spread", [1.0, 1e-5, 0.0])
def test_neighbours_are_exact_where_float32_sees_one_point(spread: float) -> None:
    """A collapsed network: distances far below float32's steps, and many equal rows."""
    random = np.random.default_rng(4)
    features = np.ones((60, 8)) + spread * random.integers(0, 3, (60, 8))
    distances = squared_distances(features, np.repeat(np.arange(60), 60), np.tile(np.arange(60), 60))
    distances = distances.reshape(60, 60)
    largest = distances.max(1)
    np.fill_diagonal(distances, -1)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :5]
    found = nearest(features, 5, torch.device("cpu"), 7)
    np.testing.assert_array_equal(found.images, expected)
    np.testing.assert_array_equal(found.farthest, np.where(largest > 0, largest, 1.0))


def test_bad_settings_and_features_are_refused_together() -> None:
    arrays = clusters(5)
    with pytest.raises(InputError) as caught:
        rerank_features(**arrays, protocol=Protocol(reranking=Reranking(k1=72, k2=0, weight=1.5)))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["k1", "k2", "weight"]
    broken = arrays | {"query_features": np.full_like(arrays["query_features"], np.nan)}
    with pytest.raises(InputError, match="query_features"):
        rerank_features(**broken)
