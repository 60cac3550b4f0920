"""The nearest of many, against a naive loop: ties, blocks of every size, features that are nearly alike."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from random_galleries import naive, random_features

from autoreid.errors import InputError
from autoreid.gallery import nearest as nearest_module
from autoreid.gallery.nearest import NOBODY, Nearest, Views, faiss_index, nearest, nearest_by_faiss


def blocks_of(features: np.ndarray, size: int) -> list[np.ndarray]:
    return [features[start : start + size] for start in range(0, len(features), size)]


def by_faiss(queries: np.ndarray, blocks: list[np.ndarray], top: int) -> Nearest:
    return nearest_by_faiss(faiss_index(blocks, queries.shape[1]), queries, top)


def galleries() -> dict[str, np.ndarray]:
    """Features as they come, many that are equal, all nearly equal, and each nearer than those before."""
    plain = random_features(200, 24)
    twice = plain[np.random.default_rng(1).integers(0, 20, 200)]
    alike = plain[:1].astype(np.float64) + 1e-5 * random_features(200, 24, seed=2)
    nearer = plain[:1] + np.linspace(1, 1e-3, 200)[:, None] * random_features(200, 24, seed=3)
    found = {"plain": plain, "equal": twice, "nearly equal": alike, "nearer and nearer": nearer}
    return {
        name: (rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)).astype(np.float32)
        for name, rows in found.items()
    }


@pytest.mark.parametrize("way", [nearest, by_faiss], ids=["exact", "faiss"])
@pytest.mark.parametrize("kind", sorted(galleries()))
def test_the_nearest_are_those_of_a_naive_loop(way, kind: str) -> None:
    gallery = galleries()[kind]
    queries = np.concatenate([gallery[:6], random_features(5, 24, seed=9)])
    for top in (1, 7, 200):
        rows, distances = naive(queries, gallery, top)
        found = way(queries, blocks_of(gallery, 48), top)
        assert found.rows.tolist() == rows.tolist(), (kind, top)
        np.testing.assert_allclose(found.distances, distances, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", ["plain", "equal", "nearly equal"])
def test_blocks_of_any_size_give_the_same_bits(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = galleries()[kind]
    queries = np.concatenate([gallery[:3], random_features(60, 24, seed=5)])
    whole = nearest(queries, [gallery], 9)
    monkeypatch.setattr(nearest_module, "TOGETHER", 25)
    for size in (1, 37, 199):
        found = nearest(queries, blocks_of(gallery, size), 9)
        assert np.array_equal(found.rows, whole.rows)
        assert np.array_equal(found.distances, whole.distances)
    alone = [nearest(queries[row : row + 1], [gallery], 9) for row in range(0, 63, 20)]
    assert all(
        np.array_equal(one.distances[0], whole.distances[row])
        for one, row in zip(alone, range(0, 63, 20), strict=True)
    )


def test_equal_features_stand_in_the_order_of_the_gallery() -> None:
    gallery = np.repeat(random_features(3, 8), 50, axis=0)
    found = nearest(gallery[60:61], blocks_of(gallery, 7), 50)
    assert found.rows[0].tolist() == list(range(50, 100))
    assert not found.distances.any()


def test_faiss_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"--index: faiss is not installed. Install autoreid\[faiss\]"):
        faiss_index([random_features(3, 4)], 4)


def test_pairs_under_one_camera_are_left_out() -> None:
    """Against a naive loop over the others; where fewer are left than wanted, there are no more."""
    gallery, queries = galleries()["equal"], random_features(9, 24, seed=4)
    random = np.random.default_rng(3)
    cameras, own = random.integers(-1, 3, 200), np.array([0, 1, 2, -1, 0, 1, 2, -1, 7])
    for top in (3, 200):
        found = nearest(queries, blocks_of(gallery, 64), top, Views(own, cameras))
        for query, camera, rows, distances in zip(queries, own, found.rows, found.distances, strict=True):
            others = np.flatnonzero((cameras != camera) | (camera == -1))
            places, far = naive(query[None], gallery[others], top)
            count = min(top, len(others))
            assert rows[:count].tolist() == others[places[0]].tolist()
            np.testing.assert_allclose(distances[:count], far[0], rtol=1e-12)
            assert (rows[count:] == NOBODY).all() and np.isinf(distances[count:]).all()
