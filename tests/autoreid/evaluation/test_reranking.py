"""Re-ranking in pieces against a dense form written from the paper, over ties, duplicates and clusters."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_oracles import assert_equal
from ranking_oracles import reranked as dense_reranked
from ranking_oracles import scores as dense_scores

from autoreid.byte_sizes import byte_count
from autoreid.errors import InputError
from autoreid.evaluation import neighbours
from autoreid.evaluation.matches import Labels
from autoreid.evaluation.neighbours import nearest, squared_distances
from autoreid.evaluation.protocol import RULES, Protocol, Reranking
from autoreid.evaluation.ranking import rank_features
from autoreid.evaluation.reranking import _Plan, rerank_features, reranked_blocks
from autoreid.evaluation.sides import Sides


def blocks_of(query: np.ndarray, gallery: np.ndarray, settings: Reranking) -> np.ndarray:
    """Re-ranked distances of features as they are."""
    ones = [np.ones(len(side), int) for side in (query, gallery)]
    sides = Sides.checked(query, gallery, Labels(ones[0], ones[0], ones[1], 2 * ones[1]), normalise=False)
    return np.concatenate([block.values.copy() for block in reranked_blocks(sides, settings)])


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
    expected = dense_reranked(rows[:queries], rows[queries:], k1, k2, weight)
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


def normalised(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    sides = [arrays[f"{side}_features"].astype(float) for side in ("query", "gallery")]
    return [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]


@pytest.mark.parametrize("together", [1, 5, 72])
@pytest.mark.parametrize("threads", [1, 3])
def test_figures_do_not_depend_on_memory_or_threads(
    together: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = clusters(0)
    expected = dense_scores(dense_reranked(*normalised(arrays), 20, 6, 0.3), labels(arrays))
    monkeypatch.setattr(neighbours, "SLAB", 2 * 72)  # two rows at a time
    monkeypatch.setattr(_Plan, "rows_of_products", lambda plan: together)
    monkeypatch.setattr(_Plan, "queries_together", lambda plan, entries: together)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_equal(rerank_features(**arrays), expected)
    finally:
        torch.set_num_threads(before)


PROTOCOLS = st.builds(
    Protocol,
    normalised=st.just(False),
    average_precision=st.sampled_from(RULES),
    same_camera_ignored=st.booleans(),
)


@given(SIDES, PROTOCOLS, st.integers(1, 30), st.booleans())
@settings(max_examples=60, deadline=None)
def test_re_ranked_figures_equal_dense_ones(
    sides: tuple[int, ...], protocol: Protocol, k1: int, in_clusters: bool
) -> None:
    """Ties, duplicates, junk, distractors, identities without gallery, fewer images than k1 would like."""
    queries, gallery, dim, seed = sides
    random = np.random.default_rng(seed)
    spread = random.integers(0, 2, (queries + gallery, dim)).astype(float)
    query_ids, gallery_ids = random.integers(1, 5, queries), random.integers(-1, 4, gallery)
    if in_clusters:  # apart by identity, far more than within
        spread += 8 * np.concatenate([query_ids, gallery_ids])[:, None]
    query_ids[0], gallery_ids[0] = 1, 1
    views = [random.integers(1, 3, count) for count in (queries, gallery)]
    views[0][0], views[1][0] = 1, 2
    of = {
        "query_ids": query_ids,
        "query_cameras": views[0],
        "gallery_ids": gallery_ids,
        "gallery_cameras": views[1],
    }
    kept = gallery_ids != -1
    k1 = min(k1, queries + int(kept.sum()) - 1)
    chosen = replace(protocol, reranking=Reranking(k1, min(6, k1 + 1)))
    distance = np.zeros((queries, gallery))
    distance[:, kept] = dense_reranked(spread[:queries], spread[queries:][kept], k1, min(6, k1 + 1), 0.3)
    found = rerank_features(spread[:queries], spread[queries:], **of, protocol=chosen)
    # Rounding parts what is equal in exact numbers, in other ways in the two forms: ranks are those of ours.
    sides = Sides.checked(spread[:queries], spread[queries:], Labels(**of), normalise=False)
    settings = Reranking(k1, min(6, k1 + 1))
    rows = [
        exact(np.arange(kept.sum()))
        for block in reranked_blocks(sides, settings)
        for place in range(len(block.values))
        if (exact := block.measure(place)[1])
    ]
    exact = np.zeros_like(distance)
    exact[:, kept] = rows
    np.testing.assert_allclose(exact, distance, atol=1e-12)
    assert_equal(found, dense_scores(exact, of, chosen))


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
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["k1", "k2", "lambda"]
    broken = arrays | {"query_features": np.full_like(arrays["query_features"], np.nan)}
    with pytest.raises(InputError, match="query_features"):
        rerank_features(**broken)


@pytest.mark.parametrize("images", [300, 700])
@pytest.mark.parametrize("kind", ["spread", "clusters", "duplicates", "one point"])
def test_neighbours_are_exact_among_many_groups_of_columns(images: int, kind: str) -> None:
    """Beyond some hundred images a bound decides which are looked at."""
    random = np.random.default_rng(6)
    rows = {
        "spread": random.standard_normal((images, 12)),
        "clusters": np.repeat(random.standard_normal((images // 20, 12)), 20, axis=0) * 5
        + random.standard_normal((images, 12)),
        "duplicates": random.standard_normal((40, 12))[random.integers(0, 40, images)],
        "one point": np.ones((images, 12)),
    }[kind]
    places = np.arange(images)
    distances = squared_distances(rows, np.repeat(places, images), np.tile(places, images))
    distances = distances.reshape(images, images)
    largest = distances.max(1)
    np.fill_diagonal(distances, -1)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :21]
    found = nearest(rows, 21, torch.device("cpu"), 64)
    np.testing.assert_array_equal(found.images, expected)
    np.testing.assert_array_equal(found.farthest, np.where(largest > 0, largest, 1.0))
    wanted = np.sort(random.choice(images * images, 5000))
    pairs = wanted // images, wanted % images
    np.testing.assert_array_equal(found.squared(rows, *pairs), squared_distances(rows, *pairs))


@pytest.mark.parametrize("images", [40, 700])
def test_products_of_pytorch_lead_to_the_same_neighbours(
    images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a GPU, with tensors that stay where they are."""
    random = np.random.default_rng(11)
    rows = random.standard_normal((images // 2, 12))[random.integers(0, images // 2, images)]
    expected = nearest(rows, 21, torch.device("cpu"), 64)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    found = nearest(rows, 21, torch.device("cuda"), 64)
    np.testing.assert_array_equal(found.images, expected.images)
    np.testing.assert_array_equal(found.distances, expected.distances)
    np.testing.assert_array_equal(found.farthest, expected.farthest)


def test_products_are_whole_where_a_training_left_others() -> None:
    """A training in tf32 in the same process leaves its precision behind."""
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "tf32"
    try:
        with neighbours._whole_products():
            assert products.fp32_precision == "ieee"
        assert products.fp32_precision == "tf32"
    finally:
        products.fp32_precision = before


def test_too_little_memory_names_the_least() -> None:
    arrays = clusters(7)
    with pytest.raises(InputError) as caught:
        rerank_features(**arrays, memory=2**20)
    (problem,) = caught.value.problems
    assert problem.startswith("memory: 1MiB is too little for this re-ranking beside the features. Give ")
    least = byte_count(problem.rsplit("Give ", 1)[1].removesuffix(" or more."))
    with pytest.raises(InputError):
        rerank_features(**arrays, memory=int(0.97 * least))
    expected = rerank_features(**arrays)
    found = rerank_features(**arrays, memory=least)
    assert found.average_precisions.tolist() == expected.average_precisions.tolist()


@pytest.mark.slow
def test_memory_is_kept_to() -> None:
    """A process of its own re-ranks 9,000 images in what it says is the least, but for what NumPy keeps."""
    code = """
import resource, sys
import numpy as np, torch
from autoreid.errors import InputError
from autoreid.byte_sizes import byte_count
from autoreid.evaluation.reranking import rerank_features
random = np.random.default_rng(0)
ids = [random.integers(1, 300, count) for count in (1000, 8000)]
centres = random.standard_normal((300, 256)).astype(np.float32)
query, gallery = (centres[of] + random.standard_normal((len(of), 256), np.float32) for of in ids)
arrays = dict(query_features=query, gallery_features=gallery, query_ids=ids[0], gallery_ids=ids[1],
              query_cameras=np.ones(1000, int), gallery_cameras=np.full(8000, 2))
small = {name: values[:60] for name, values in arrays.items()}
rerank_features(**small)  # what the libraries take once
try:
    rerank_features(**arrays, memory=1)
except InputError as error:
    least = byte_count(str(error).rsplit("Give ", 1)[1].removesuffix(" or more."))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rerank_features(**arrays, memory=least)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, least)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    held, least = map(int, done.stdout.split())
    assert held <= least + 16 * 2**20


@pytest.mark.gpu
@pytest.mark.parametrize("people", [12, 60])
def test_cuda_and_cpu_agree(people: int) -> None:
    arrays = clusters(8, people=people, views=12)
    cpu, cuda = (rerank_features(**arrays, device=device) for device in ("cpu", "cuda"))
    assert cuda.average_precisions.tolist() == cpu.average_precisions.tolist()
    assert cuda.first_ranks.tolist() == cpu.first_ranks.tolist()
    sides = np.concatenate(normalised(arrays))
    found = [nearest(sides, 21, torch.device(device), 100) for device in ("cpu", "cuda")]
    np.testing.assert_array_equal(found[0].images, found[1].images)
    np.testing.assert_array_equal(found[0].farthest, found[1].farthest)
