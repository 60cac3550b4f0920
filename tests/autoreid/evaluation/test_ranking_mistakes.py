"""Every mistake in the arrays is an InputError that names place, value and remedy, all of them at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autoreid.errors import InputError
from autoreid.evaluation.ranking import rank, rank_features

LABELS = {
    "query_ids": np.array([7, 8]),
    "query_cameras": np.array([1, 2]),
    "gallery_ids": np.array([7, 7, 8, 0, -1]),
    "gallery_cameras": np.array([1, 2, 1, 3, 2]),
}


def problems_of(call: Any, *arguments: Any, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        call(*arguments, **(LABELS | changes))
    return caught.value.problems


def test_mistakes_are_reported_together() -> None:
    problems = problems_of(
        rank,
        np.ones((2, 5)),
        query_ids=np.array([7, 8, 9]),
        query_cameras=np.array([1.0, 2.0]),
        gallery_ids=np.array([7, 7, -2, 0, -1]),
        gallery_cameras=np.ones((5, 1), dtype=int),
        chunk=0,
    )
    starts = (
        "chunk: 0 is too small",
        "query_ids: 3 entries for 2 query images",
        "query_cameras: type float64",
        "gallery_ids: 1 of 5 cannot be the identity of a gallery image, the first is -2 at row 2",
        "gallery_cameras: shape (5, 1) is not a list",
    )
    assert len(problems) == len(starts)
    for problem, start in zip(problems, starts, strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        (np.ones(5), "distance: shape (5,) is not a matrix"),
        (np.ones((0, 5)), "distance: empty, shape (0, 5)"),
        (np.full((2, 5), "a"), "distance: type <U1 is not a real number type"),
        (np.full((2, 5), 1j), "distance: type complex128 is not a real number type"),
    ],
)
def test_a_distance_that_is_no_matrix_of_numbers(distance: np.ndarray, expected: str) -> None:
    assert problems_of(rank, distance)[0].startswith(expected)


def test_nan_is_counted_and_located() -> None:
    distance = np.ones((2, 5), dtype=np.float32)
    distance[1, [2, 4]] = np.nan
    (problem,) = problems_of(rank, distance)
    assert problem.startswith("distance: 2 of 10 values are NaN, the first at row 1, column 2.")


@pytest.mark.parametrize("identity", [0, -1])
def test_a_query_is_neither_distractor_nor_junk(identity: int) -> None:
    (problem,) = problems_of(rank, np.ones((2, 5)), query_ids=np.array([7, identity]))
    assert problem.startswith("query_ids: 1 of 2 cannot be the identity of a query image, the first is")
    assert f"{identity} at row 1" in problem


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"query_ids": np.array([70, 80])}, "Number the people of query and gallery in the same way"),
        (
            {"query_cameras": np.array([1, 1]), "gallery_cameras": np.ones(5, dtype=int)},
            "give the query images a camera number of their own",
        ),
        (
            {"query_cameras": np.array([1, 1]), "gallery_cameras": np.array([1, 1, 1, 2, 2])},
            "Add gallery images of these identities from other cameras",
        ),
    ],
)
def test_no_valid_match_names_the_remedy(changes: dict[str, np.ndarray], remedy: str) -> None:
    (problem,) = problems_of(rank, np.ones((2, 5)), **changes)
    assert remedy in problem
    (problem,) = problems_of(rank_features, np.ones((2, 3)), np.ones((5, 3)), **changes)
    assert remedy in problem


def test_features_that_cannot_be_ranked() -> None:
    query, gallery = np.ones((2, 3)), np.ones((5, 4))
    query[1, 2] = np.inf
    gallery[3] = 0
    problems = problems_of(rank_features, query, gallery)
    assert problems[0].startswith(
        "query_features: 1 of 6 values are NaN or infinite, the first at row 1, column 2"
    )
    assert problems[1].startswith("gallery_features: 1 of 5 rows are zero vectors, the first is row 3")
    assert problems[2].startswith("gallery_features: 4 entries an image, query_features 3")
    huge = problems_of(rank_features, np.ones((2, 3)), np.full((5, 3), 1e200))
    assert huge[0].startswith("gallery_features: the largest value 1e+200 has no square")
