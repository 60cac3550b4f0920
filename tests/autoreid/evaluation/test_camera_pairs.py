"""Scores between cameras, against a loop over pairs that ranks parts of the data; and the hardest queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ranking_oracles import scores as dense_scores

from autoreid.errors import InputError
from autoreid.evaluation.camera_pairs import by_camera_pair
from autoreid.evaluation.hardest import hardest
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranking import rank_features


def arrays_of(seed: int) -> dict[str, np.ndarray]:
    """Whole numbers, so that ties are ties: junk, distractors, a person under one camera, one nowhere."""
    random = np.random.default_rng(seed)
    gallery_ids = random.integers(-1, 7, 90)
    gallery_cameras = random.integers(1, 5, 90)
    gallery_cameras[gallery_ids == 6] = 3
    return {
        "query_features": random.integers(-2, 3, (40, 4)),
        "gallery_features": random.integers(-2, 3, (90, 4)),
        "query_ids": random.integers(1, 8, 40),
        "query_cameras": random.integers(1, 5, 40),
        "gallery_ids": gallery_ids,
        "gallery_cameras": gallery_cameras,
    }


def naive(arrays: dict[str, np.ndarray], protocol: Protocol) -> list[dict[str, Any]]:
    rows = []
    for one in (1, 2, 3, 4):
        for other in (1, 2, 3, 4):
            kept = {"query": arrays["query_cameras"] == one, "gallery": arrays["gallery_cameras"] == other}
            part = {name: values[kept[name.split("_")[0]]] for name, values in arrays.items()}
            apart = part["query_features"][:, None] - part["gallery_features"][None]
            found = dense_scores((apart**2).sum(2), part, protocol)
            if any(found["valid"]):
                row = {"query_camera": one, "gallery_camera": other, "queries": sum(found["valid"])}
                rows.append(
                    row | {"mAP": pytest.approx(found["mAP"]), "rank_1": pytest.approx(found["cmc"][0])}
                )
    return rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("rule", ["mean-precision", "trapezoid"])
def test_pairs_equal_a_loop_over_parts_of_the_data(seed: int, single: bool, rule: Any) -> None:
    protocol = Protocol(normalised=False, same_camera_ignored=not single, average_precision=rule)
    arrays = arrays_of(seed)
    found = by_camera_pair(arrays, protocol)
    assert found == naive(arrays, protocol)
    assert any(row["query_camera"] == row["gallery_camera"] for row in found) == single


def test_the_plain_distances_are_used_also_where_re_ranking_is_asked_for() -> None:
    arrays, plain = arrays_of(9), Protocol(normalised=False)
    assert by_camera_pair(arrays, Protocol(False, reranking=Reranking(5, 2))) == by_camera_pair(arrays, plain)


def test_no_pair_has_a_match() -> None:
    arrays = arrays_of(0)
    assert by_camera_pair(arrays | {"query_ids": np.full(40, 50)}, Protocol(normalised=False)) == []


def test_bad_features_and_too_little_memory_are_refused() -> None:
    arrays = arrays_of(0)
    with pytest.raises(InputError, match="query_features"):
        by_camera_pair(arrays | {"query_features": np.full((40, 4), np.nan)})
    with pytest.raises(InputError, match="memory: 1000B is too little"):
        by_camera_pair(arrays, Protocol(normalised=False), memory=1000)


def test_hardest_queries_are_sorted_and_ties_follow_the_names() -> None:
    arrays = arrays_of(3)
    for name in ("query_features", "query_ids", "query_cameras"):
        arrays[name] = np.concatenate([arrays[name][:20]] * 2)  # every query twice: equal precisions
    scores = rank_features(**arrays, protocol=Protocol(normalised=False))
    names = [f"{(7 * query) % 40:02d}.jpg" for query in range(40)]
    rows = hardest(scores, names=names, cameras=arrays["query_cameras"], count=40)
    assert len(rows) == scores.queries == scores.valid.sum() < 40
    keys = [(row["average_precision"], row["name"]) for row in rows]
    assert keys == sorted(keys) and len({key[0] for key in keys}) < len(keys)
    for row in rows:
        query = names.index(row["name"])
        place = int(scores.valid[:query].sum())
        assert (
            row["identity"] == arrays["query_ids"][query] and row["camera"] == arrays["query_cameras"][query]
        )
        assert row["average_precision"] == scores.average_precisions[place]
        assert row["first_rank"] == scores.first_ranks[place]
    assert hardest(scores, names=names, cameras=arrays["query_cameras"], count=3) == rows[:3]
    assert hardest(scores, names=names, cameras=arrays["query_cameras"], count=0) == []


def test_lists_of_another_length_are_refused_together() -> None:
    arrays = arrays_of(3)
    scores = rank_features(**arrays, protocol=Protocol(normalised=False))
    with pytest.raises(InputError) as caught:
        hardest(scores, names=["a.jpg"], cameras=np.ones(3, int))
    assert [problem.split(" for")[0] for problem in caught.value.problems] == [
        "names: 1 entry",
        "cameras: 3 entries",
    ]
