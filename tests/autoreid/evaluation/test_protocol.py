"""The choices of a protocol: rules of AP and one camera, against plain loops; what results say of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking_oracles import assert_equal, trapezoid
from ranking_oracles import scores as dense_scores

from autoreid.byte_sizes import byte_count
from autoreid.errors import InputError
from autoreid.evaluation.matches import average_precisions
from autoreid.evaluation.protocol import RULES, USUAL, Protocol, Reranking
from autoreid.evaluation.ranking import rank, rank_features
from autoreid.evaluation.scoring import score_features

PROTOCOLS = st.builds(Protocol, average_precision=st.sampled_from(RULES), same_camera_ignored=st.booleans())


@settings(max_examples=300, deadline=None)
@given(
    protocol=PROTOCOLS, seed=st.integers(0, 2**32 - 1), queries=st.integers(1, 6), gallery=st.integers(1, 12)
)
def test_every_protocol_equals_the_plain_loop(
    protocol: Protocol, seed: int, queries: int, gallery: int
) -> None:
    random = np.random.default_rng(seed)
    labels = {
        "query_ids": random.integers(1, 4, queries),
        "query_cameras": random.integers(1, 3, queries),
        "gallery_ids": random.integers(-1, 4, gallery),
        "gallery_cameras": random.integers(1, 3, gallery),
    }
    distance = random.integers(0, 4, (queries, gallery)) / 4
    expected = dense_scores(distance, labels, protocol)
    if not any(expected["valid"]):
        with pytest.raises(InputError, match="no query has a gallery image of its identity"):
            rank(distance, **labels, protocol=protocol)
    else:
        assert_equal(rank(distance, **labels, protocol=protocol), expected)


def test_the_trapezoid_by_hand() -> None:
    # Matches at 1 and 3 of three: (1 + 1) / 2 over the first half of recall, (1/2 + 2/3) / 2 over the second.
    assert trapezoid([True, False, True]) == pytest.approx((1 + 7 / 12) / 2)
    found = average_precisions(np.array([1, 3, 4]), np.array([2, 1]), "trapezoid")
    assert found.tolist() == pytest.approx([(1 + 7 / 12) / 2, 1 / 8])


def one_camera() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    ids = np.repeat(np.arange(1, 7), 4)
    features = 2 * random.standard_normal((7, 8))[ids] + random.standard_normal((24, 8))
    query = np.arange(24) % 4 == 0
    return {
        "query_features": features[query],
        "gallery_features": features[~query],
        "query_ids": ids[query],
        "query_cameras": np.ones(6, int),
        "gallery_ids": ids[~query],
        "gallery_cameras": np.ones(18, int),
    }


@pytest.mark.parametrize("reranking", [None, Reranking(k1=5, k2=3)])
def test_images_of_one_camera_are_scored_where_that_is_chosen(reranking: Reranking | None) -> None:
    arrays = one_camera()
    with pytest.raises(InputError, match="or choose the single-camera protocol"):
        score_features(arrays, Protocol(reranking=reranking))
    chosen = Protocol(same_camera_ignored=False, reranking=reranking)
    found = score_features(arrays, chosen)
    # As if every query had a camera of its own.
    other = arrays | {"query_cameras": np.full(6, 2)}
    expected = score_features(other, Protocol(reranking=reranking))
    assert found.scores.average_precisions.tolist() == expected.scores.average_precisions.tolist()
    assert found.plain()["protocol"]["same_camera_ignored"] is False
    if reranking:
        assert found.reranked is not None and expected.reranked is not None
        assert found.reranked.average_precisions.tolist() == expected.reranked.average_precisions.tolist()


def test_no_match_at_all_is_an_error_with_one_camera_as_well() -> None:
    arrays = one_camera() | {"query_ids": np.arange(100, 106)}
    with pytest.raises(InputError) as caught:
        score_features(arrays, Protocol(same_camera_ignored=False))
    (problem,) = caught.value.problems
    assert problem.startswith("query_ids: no query has a gallery image of its identity (6 queries, 0 ident")
    assert "Number the people of query and gallery in the same way" in problem


def test_the_default_is_what_it_always_was_and_names_every_choice() -> None:
    assert Protocol().plain() == {
        "distance": "euclidean",
        "normalised": True,
        "average_precision": "mean-precision",
        "single_query": True,
        "same_camera_ignored": True,
        "ties": "against",
        "flip": False,
    }
    chosen = Protocol(False, "trapezoid", False, True, Reranking(7, 3, 0.5)).plain()
    assert set(chosen) - set(Protocol().plain()) == {"reranking"}
    assert all(chosen[name] != value for name, value in Protocol().plain().items() if name in CHANGED)
    assert chosen["reranking"] == {"k1": 7, "k2": 3, "lambda": 0.5, "flavour": "squared-euclidean"}


CHANGED = ("normalised", "average_precision", "same_camera_ignored", "flip")


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(InputError, match=r"no rule 'trapezium'\. Did you mean 'trapezoid'"):
        Protocol(average_precision="trapezium")  # type: ignore[arg-type]


def test_what_is_stored_names_protocol_facts_and_left_out_queries() -> None:
    arrays = one_camera() | {"query_cameras": np.full(6, 2)}
    arrays["query_ids"] = np.array([1, 2, 3, 4, 90, 91])  # the last two are nowhere in the gallery
    arrays["gallery_cameras"] = np.where(
        arrays["gallery_ids"] == 4, 2, 1
    )  # the fourth: under its camera only
    facts = {"layout": "flat", "variant": "detected", "distractors": 7}
    scored = score_features(arrays, Protocol(reranking=Reranking(5, 3)), facts=facts)
    plain = json.loads(json.dumps(scored.plain()))
    assert (plain["queries"], plain["left_out"], plain["absent_identities"]) == (3, 3, 2)
    assert plain["protocol"] == Protocol().plain() | {"variant": "detected", "distractors": 7}
    assert plain["reranked"]["protocol"] == {
        **plain["protocol"],
        "reranking": Reranking(5, 3).plain(),
    }
    assert scored.reranked is not None
    assert plain["reranked"]["mAP"] == scored.reranked.mean_average_precision
    without = score_features(arrays, Protocol()).plain()
    assert "reranked" not in without and without == rank_features(**arrays).plain(USUAL.plain())


def test_too_little_memory_names_the_least() -> None:
    arrays = one_camera() | {"query_cameras": np.full(6, 2)}
    expected = rank_features(**arrays)
    with pytest.raises(InputError, match="memory: 1000B is too little for this evaluation") as caught:
        rank_features(**arrays, memory=1000)
    least = 8 * 8 * 24 + 400 * 18 + 16 * (18 + 8)
    said = caught.value.problems[0].rsplit("Give ", 1)[1].removesuffix(" or more.")
    assert least <= byte_count(said) <= 1.01 * least
    with pytest.raises(InputError):
        rank_features(**arrays, memory=least - 1)
    found = rank_features(**arrays, memory=least)
    assert found.average_precisions.tolist() == expected.average_precisions.tolist()
