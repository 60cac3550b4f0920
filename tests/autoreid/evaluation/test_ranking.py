"""The fast form against plain loops: ties, duplicates, junk, distractors, single-camera identities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_oracles import assert_equal
from ranking_oracles import scores as dense_scores

from autoreid.errors import InputError
from autoreid.evaluation.distances import distinct_rows, prepare
from autoreid.evaluation.protocol import USUAL, Protocol
from autoreid.evaluation.ranking import rank, rank_features
from autoreid.evaluation.sides import BESIDE, DEFAULT_MEMORY


def make_labels(random: np.random.Generator, queries: int, gallery: int) -> dict[str, np.ndarray]:
    """Few people and cameras, so that every kind occurs: identity 9 is in the gallery under camera 1 only,
    identities above 9 are missing there, 0 are distractors and -1 junk."""
    gallery_ids = random.integers(-1, 10, gallery)
    gallery_cameras = random.integers(1, 4, gallery)
    gallery_cameras[gallery_ids == 9] = 1
    return {
        "query_ids": random.integers(1, 12, queries),
        "query_cameras": random.integers(1, 4, queries),
        "gallery_ids": gallery_ids,
        "gallery_cameras": gallery_cameras,
    }


LABELS = {
    "query_ids": np.array([7, 8]),
    "query_cameras": np.array([1, 2]),
    "gallery_ids": np.array([7, 7, 8, 0, -1]),
    "gallery_cameras": np.array([1, 2, 1, 3, 2]),
}


def test_a_worked_example() -> None:
    # query 7: (its own camera ignored) 8, 0, match at 3 | query 8: match ties with 0 at .2, junk is no rival
    distance = np.array([[0.0, 0.5, 0.1, 0.4, 0.0], [0.9, 0.8, 0.2, 0.2, 0.1]])
    scores = rank(distance, **LABELS)
    assert scores.average_precisions.tolist() == [1 / 3, 1 / 2]
    assert scores.mean_average_precision == pytest.approx(5 / 12)
    assert scores.cmc.tolist() == [0.0, 0.5, 1.0, 1.0]
    assert scores.mean_inverse_negative_penalty == pytest.approx(5 / 12)
    assert scores.queries == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("seed", range(40))
def test_rank_equals_the_naive_loop_under_many_ties(seed: int, dtype: type) -> None:
    random = np.random.default_rng(seed)
    labels = make_labels(random, 23, 57)
    distance = random.integers(0, 2 + seed, (23, 57)).astype(dtype)
    expected = dense_scores(distance, labels)
    assert_equal(rank(distance, **labels), expected)
    assert_equal(rank(np.asfortranarray(distance), **labels, chunk=5), expected)


@pytest.mark.parametrize("values", [40, 100_000])
def test_rank_equals_the_naive_loop_where_a_match_has_many_rivals(values: int) -> None:
    random = np.random.default_rng(values)
    labels = {
        "query_ids": random.integers(1, 200, 20),
        "query_cameras": np.ones(20, int),
        "gallery_ids": random.integers(-1, 200, 700),
        "gallery_cameras": random.integers(1, 3, 700),
    }
    distance = random.integers(0, values, (20, 700)).astype(float)
    distance[:, ::7] += 0.5
    assert_equal(rank(distance, **labels), dense_scores(distance, labels))


def test_the_random_labels_hold_every_kind() -> None:
    labels = make_labels(np.random.default_rng(0), 23, 57)
    people = set(labels["query_ids"].tolist())
    assert {-1, 0, 9} <= set(labels["gallery_ids"].tolist())
    assert 9 in people and people - set(labels["gallery_ids"].tolist())


@settings(max_examples=300, deadline=None)
@given(data=st.data(), queries=st.integers(1, 5), gallery=st.integers(1, 9))
def test_rank_equals_the_naive_loop_on_small_cases(data: st.DataObject, queries: int, gallery: int) -> None:
    def numbers(low: int, high: int, count: int) -> np.ndarray:
        return np.array(data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count)))

    labels = {
        "query_ids": numbers(1, 3, queries),
        "query_cameras": numbers(1, 2, queries),
        "gallery_ids": numbers(-1, 3, gallery),
        "gallery_cameras": numbers(1, 2, gallery),
    }
    distance = numbers(0, 3, queries * gallery).reshape(queries, gallery) / 4
    expected = dense_scores(distance, labels)
    if not any(expected["valid"]):
        with pytest.raises(InputError, match="no query has a gallery image of its identity"):
            rank(distance, **labels)
    else:
        assert_equal(rank(distance, **labels), expected)


def test_infinite_distances_come_last_and_tie_against_the_match() -> None:
    distance = np.array([[0.0, np.inf, 0.1, np.inf, 0.0], [0.9, 0.8, -np.inf, 0.2, 0.1]])
    assert_equal(rank(distance, **LABELS), dense_scores(distance, LABELS))
    assert rank(distance, **LABELS).average_precisions.tolist() == [1 / 3, 1.0]


def test_order_of_the_gallery_does_not_matter() -> None:
    random = np.random.default_rng(3)
    labels = make_labels(random, 20, 60)
    distance = random.integers(0, 5, (20, 60)).astype(np.float32)
    order = random.permutation(60)
    shuffled = labels | {name: labels[name][order] for name in ("gallery_ids", "gallery_cameras")}
    first, second = rank(distance, **labels), rank(distance[:, order], **shuffled)
    assert np.array_equal(first.average_precisions, second.average_precisions)
    assert np.array_equal(first.cmc, second.cmc)


def test_rank_leaves_its_arguments_as_they_were() -> None:
    random = np.random.default_rng(4)
    labels = make_labels(random, 12, 40)
    distance = random.random((12, 40))
    before = distance.copy()
    rank(distance, **labels)
    assert np.array_equal(distance, before)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_rank_features_equals_rank_of_naive_distances(seed: int, normalise: bool) -> None:
    random = np.random.default_rng(seed)
    labels = make_labels(random, 30, 80)
    query, gallery = random.standard_normal((30, 16)), random.standard_normal((80, 16))
    gallery[random.integers(0, 80, 40)] = gallery[
        random.integers(0, 80, 40)
    ]  # duplicates, some as distractors
    query[:5] = gallery[:5]  # distance zero
    given = [features.astype(np.float32) for features in (query, gallery)]
    a, b = (features.astype(np.float64) for features in given)
    if normalise:
        a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b))
    distance = np.array([[np.linalg.norm(x - y) for y in b] for x in a])
    kept = int((labels["gallery_ids"] != -1).sum())
    fixed = 8 * 16 * (30 + kept) + BESIDE * kept
    for memory in (fixed + 16 * (kept + 16), fixed + 7 * 16 * (kept + 16), DEFAULT_MEMORY):
        scores = rank_features(*given, **labels, protocol=Protocol(normalised=normalise), memory=memory)
        assert_equal(scores, dense_scores(distance, labels))


def test_integer_features_tie_exactly_without_normalising() -> None:
    random = np.random.default_rng(7)
    labels = make_labels(random, 40, 90)
    query, gallery = random.integers(-2, 3, (40, 5)), random.integers(-2, 3, (90, 5))
    squares = ((query[:, None] - gallery[None]) ** 2).sum(axis=2)
    assert_equal(
        rank_features(query, gallery, **labels, protocol=Protocol(normalised=False)),
        dense_scores(squares, labels),
    )


def test_a_collapsed_network_gets_no_ties_from_rounding() -> None:
    # All features within 1e-5 of one vector: float32 products would put them on a handful of values.
    random = np.random.default_rng(8)
    centre = random.standard_normal(64)
    people = random.standard_normal((6, 64))
    ids = np.repeat(np.arange(1, 7), 4)
    features = centre + 1e-5 * (people[ids - 1] + 0.3 * random.standard_normal((24, 64)))
    one, two = np.ones(24, dtype=int), np.full(24, 2)
    scores = rank_features(
        features, features, query_ids=ids, query_cameras=one, gallery_ids=ids, gallery_cameras=two
    )
    assert scores.mean_average_precision == 1.0


@pytest.mark.parametrize("images", [7, 50, 203])
def test_equal_rows_tie_wherever_they_lie(images: int) -> None:
    # A plain product of these sizes rounds some of the equal columns differently.
    random = np.random.default_rng(9)
    gallery, query = random.standard_normal((images, 33)), random.standard_normal((34, 33))
    gallery[::3] = gallery[0]
    labels = {
        "query_ids": np.full(34, 7),
        "query_cameras": np.ones(34, int),
        "gallery_ids": np.where(np.arange(images) == 3, 7, 8),
        "gallery_cameras": np.full(images, 2),
    }
    scores = rank_features(query, gallery, **labels)
    apart = np.linalg.norm(prepare(query, True)[:, None] - prepare(gallery, True)[None], axis=2)
    nearer = (apart < apart[:, :1] - 1e-9).sum(1)
    assert scores.first_ranks.tolist() == (nearer + len(gallery[::3])).tolist()


def few_values(seed: int, dim: int) -> dict[str, np.ndarray]:
    """Features of zeros and ones: once normalised, many distances are equal but for their rounding."""
    random = np.random.default_rng(seed)
    sides = {"query": 40, "gallery": 300}
    arrays: dict[str, np.ndarray] = {}
    for side, count in sides.items():
        arrays[f"{side}_features"] = random.integers(0, 2, (count, dim)) + np.eye(1, dim)
        arrays[f"{side}_ids"] = random.integers(1, 30, count)
        arrays[f"{side}_cameras"] = np.full(count, 1 if side == "query" else 2)
    return arrays


@pytest.mark.parametrize("dim", [7, 33, 100])
def test_rounding_of_products_decides_nothing(dim: int) -> None:
    arrays, random = few_values(dim, dim), np.random.default_rng(dim)
    expected = rank_features(**arrays)
    query, gallery = (prepare(arrays[f"{side}_features"], True) for side in ("query", "gallery"))
    apart = query[:, None] - gallery[None]
    labels = {name: values for name, values in arrays.items() if not name.endswith("_features")}
    assert_equal(expected, dense_scores(np.einsum("ijk,ijk->ij", apart, apart), labels))
    for memory in (8 * dim * 340 + BESIDE * 300 + rows * 16 * (300 + dim) for rows in (1, 3, 16)):
        assert rank_features(**arrays, memory=memory).average_precisions.tolist() == (
            expected.average_precisions.tolist()
        )
    for _ in range(3):
        orders = {"query": random.permutation(40), "gallery": random.permutation(300)}
        shuffled = {name: values[orders[name.split("_")[0]]] for name, values in arrays.items()}
        found = rank_features(**shuffled)
        assert found.cmc.tolist() == expected.cmc.tolist()
        assert sorted(found.average_precisions) == sorted(expected.average_precisions)


def test_negative_zero_is_zero() -> None:
    kept, _ = distinct_rows(prepare(np.array([[0.0, 1.0], [-0.0, 1.0]]), normalise=False))
    assert kept.tolist() == [0]


def test_distinct_rows_rebuild_the_matrix() -> None:
    rows = np.random.default_rng(10).integers(0, 2, (300, 6)).astype(np.float64)
    kept, place = distinct_rows(rows)
    assert np.array_equal(rows[kept][place], rows)
    assert len(kept) == len(np.unique(rows, axis=0)) == 64


def test_rank_of_the_scores_ends_with_the_gallery() -> None:
    distance = np.array([[0.0, 0.5, 0.1, 0.4, 0.0], [0.9, 0.8, 0.2, 0.2, 0.1]])
    scores = rank(distance, **LABELS)
    assert [scores.rank(r) for r in (1, 2, 3, 4, 5, 1000)] == [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    with pytest.raises(InputError, match="rank: 0 is too small"):
        scores.rank(0)


def test_plain_is_json_with_the_protocol() -> None:
    distance = np.array([[0.0, 0.5, 0.1, 0.4, 0.0], [0.9, 0.8, 0.2, 0.2, 0.1]])
    plain = rank(distance, **LABELS).plain(USUAL.plain())
    assert json.loads(json.dumps(plain)) == {
        "mAP": pytest.approx(5 / 12),
        "rank_1": 0.0,
        "rank_5": 1.0,
        "rank_10": 1.0,
        "mINP": pytest.approx(5 / 12),
        "queries": 2,
        "left_out": 0,
        "absent_identities": 0,
        **dict.fromkeys(("mAP_low", "mAP_high", "rank_1_low", "rank_1_high")),
        "protocol": USUAL.plain(),
    }


def test_zero_vectors_have_raw_distances() -> None:
    query, gallery = np.zeros((2, 3)), np.eye(5, 3)
    distance = np.linalg.norm(query[:, None] - gallery[None], axis=2)
    assert_equal(
        rank_features(query, gallery, **LABELS, protocol=Protocol(normalised=False)),
        dense_scores(distance, LABELS),
    )
