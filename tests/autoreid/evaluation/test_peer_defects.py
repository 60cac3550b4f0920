"""What the field's other toolkits get wrong in evaluation, one test each: ours does not."""

from __future__ import annotations

import ast
import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ranking_oracles import reranked as dense_reranked
from ranking_oracles import scores as dense_scores

import autoreid.evaluation.ranking
from autoreid.evaluation.matches import Labels
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranking import rank, rank_features
from autoreid.evaluation.reranking import rerank_features, reranked_blocks
from autoreid.evaluation.sides import Sides

FOLDER = Path(autoreid.evaluation.ranking.__file__).parent
# Names that NumPy has taken away, with NumPy 1.24, 2.0 and 2.4.
REMOVED = {"in1d", "bool", "int", "float", "object", "trapz", "product", "cumproduct", "float_", "row_stack"}


def people(seed: int, count: int = 12, views: int = 6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    ids = np.repeat(np.arange(1, count + 1), views)
    features = random.standard_normal((count + 1, 16))[ids] + 0.8 * random.standard_normal((len(ids), 16))
    cameras = np.tile(np.arange(views) % 3 + 1, count)
    query = np.arange(len(ids)) % views == 0
    sides = {"query": query, "gallery": ~query}
    return {
        f"{side}_{name}": values[rows]
        for side, rows in sides.items()
        for name, values in (("features", features), ("ids", ids), ("cameras", cameras))
    }


def distances(arrays: dict[str, np.ndarray], settings: Reranking) -> np.ndarray:
    """Re-ranked distances between features as they are."""
    names = ("query_ids", "query_cameras", "gallery_ids", "gallery_cameras")
    labels = Labels(*(arrays[name] for name in names))
    sides = Sides.checked(arrays["query_features"], arrays["gallery_features"], labels, normalise=False)
    return np.concatenate([block.values.copy() for block in reranked_blocks(sides, settings)])


def test_distances_are_squared_once_in_re_ranking() -> None:
    """Peers square squared distances again: those far away then count for more."""
    arrays = people(0)
    query, gallery = arrays["query_features"], arrays["gallery_features"]
    everyone = np.concatenate([query, gallery])
    farthest = np.linalg.norm(query[:, None] - everyone[None], axis=2).max(1)
    plain = np.linalg.norm(query[:, None] - gallery[None], axis=2) / farthest[:, None]
    found = distances(arrays, Reranking(weight=1.0))  # lambda = 1: the original distance alone
    np.testing.assert_allclose(found, plain**2, atol=1e-12)
    assert np.abs(found - plain**4).max() > 0.1


def test_an_image_has_k1_neighbours_besides_itself() -> None:
    """Peers that take k1 columns of a ranking whose first is the image itself have one neighbour fewer."""
    arrays = people(1)
    sides = arrays["query_features"], arrays["gallery_features"]
    for k1 in (4, 7, 20):
        found = distances(arrays, Reranking(k1, 3))
        np.testing.assert_allclose(found, dense_reranked(*sides, k1, 3, 0.3), atol=1e-12)
        assert np.abs(found - dense_reranked(*sides, k1 - 1, 3, 0.3)).max() > 1e-3


def test_no_api_that_numpy_removed_is_used() -> None:
    for path in sorted(FOLDER.glob("*.py")):
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
        }
        assert not used & REMOVED, path.name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arrays = people(2)
        assert rank_features(**arrays).queries == rerank_features(**arrays).queries == 12


def test_everything_runs_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_gpu(*_: object, **__: object) -> None:
        raise AssertionError("asked for a GPU")

    monkeypatch.setattr(torch.cuda, "_lazy_init", no_gpu)
    monkeypatch.setattr(torch.Tensor, "cuda", no_gpu)
    assert rerank_features(**people(3)).queries == 12
    assert inspect.signature(rerank_features).parameters["device"].default == "cpu"


def test_images_of_one_camera_are_no_assertion() -> None:
    """ "Error: all query identities do not appear in gallery" is what peers say; here it is a protocol."""
    arrays = people(4)
    arrays |= {name: np.ones_like(arrays[name]) for name in ("query_cameras", "gallery_cameras")}
    chosen = Protocol(same_camera_ignored=False)
    found = rank_features(**arrays, protocol=chosen)
    features = [arrays[f"{side}_features"] for side in ("query", "gallery")]
    features = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in features]
    apart = np.linalg.norm(features[0][:, None] - features[1][None], axis=2)
    expected = dense_scores(apart, arrays, chosen)
    assert found.queries == 12
    assert found.mean_average_precision == pytest.approx(expected["mAP"], abs=1e-12)


def test_figures_do_not_depend_on_the_order_of_the_gallery() -> None:
    """Peers rank ties as the sort leaves them. Features of few values tie by the dozen."""
    random = np.random.default_rng(5)
    arrays = people(5)
    for side in ("query", "gallery"):
        arrays[f"{side}_features"] = np.sign(arrays[f"{side}_features"][:, :4])
    expected = rank_features(**arrays)
    assert 0.1 < expected.mean_average_precision < 0.9
    for _ in range(5):
        order = random.permutation(60)
        shuffled = {
            name: values[order] if name.startswith("gallery") else values for name, values in arrays.items()
        }
        found = rank_features(**shuffled)
        assert found.average_precisions.tolist() == expected.average_precisions.tolist()
        assert found.cmc.tolist() == expected.cmc.tolist()


def test_an_image_is_its_own_nearest_also_where_others_equal_it() -> None:
    """Where a sort puts a duplicate before the image, peers leave the image out of its own neighbours."""
    arrays = people(6)
    arrays["gallery_features"][10:20] = arrays["gallery_features"][0:10]
    arrays["query_features"][:4] = arrays["gallery_features"][:4]
    found = distances(arrays, Reranking(5, 2))
    sides = arrays["query_features"], arrays["gallery_features"]
    np.testing.assert_allclose(found, dense_reranked(*sides, 5, 2, 0.3), atol=1e-12)


def test_a_small_gallery_is_no_special_case() -> None:
    """Peers cut the CMC to the gallery, warn, or fail; rank-10 of four images is the curve's last value."""
    distance = np.array([[0.3, 0.2, 0.1, 0.4]])
    labels = {"query_ids": [7], "query_cameras": [1], "gallery_ids": [7, 8, 9, 7], "gallery_cameras": [2] * 4}
    scores = rank(distance, **{name: np.array(values) for name, values in labels.items()})
    assert (scores.rank(1), scores.rank(3), scores.rank(10)) == (0.0, 1.0, 1.0)


def test_nothing_has_to_be_compiled() -> None:
    """Peers are fast with a compiler, and twenty times slower without."""
    assert not [
        path.name for path in FOLDER.rglob("*") if path.suffix in {".pyx", ".c", ".cpp", ".so", ".cu"}
    ]
    text = "".join(path.read_text() for path in sorted(FOLDER.glob("*.py")))
    assert not any(
        word in text for word in ("import cython", "cpp_extension", "torch.compile", "import scipy")
    )
