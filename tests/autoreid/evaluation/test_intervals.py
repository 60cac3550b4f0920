from __future__ import annotations

import numpy as np
import pytest

from autoreid.evaluation.intervals import over_identities
from autoreid.evaluation.protocol import USUAL
from autoreid.evaluation.ranking import rank


def test_the_interval_covers_the_mean_of_identities_that_look_alike() -> None:
    """Queries of one identity share what they score: an interval over queries would be half as wide."""
    draws, covered, runs = np.random.default_rng(0), 0, 400
    identities = np.repeat(np.arange(60), 4)
    for _ in range(runs):
        values = np.repeat(draws.beta(2, 2, 60), 4)
        low, high = over_identities(values, identities, draws=400) or (0.0, 0.0)
        covered += low <= 0.5 <= high
    assert covered / runs == pytest.approx(0.94, abs=0.03)


def test_it_equals_a_loop_over_the_same_draws() -> None:
    draws = np.random.default_rng(1)
    identities = draws.integers(0, 30, 90)
    values, names = draws.random(90), np.unique(identities)
    counts = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=50)
    means = []
    for chosen in counts:
        pairs = zip(names, chosen, strict=True)
        taken = [values[identities == name] for name, times in pairs for _ in range(times)]
        means.append(np.concatenate(taken).mean())
    expected = np.quantile(means, [0.025, 0.975])
    assert over_identities(values, identities, draws=50) == pytest.approx(tuple(expected))


def test_few_identities_have_no_interval() -> None:
    assert over_identities(np.linspace(0, 1, 19), np.arange(19)) is None
    assert over_identities(np.ones(20), np.arange(20)) == (1.0, 1.0)


def test_scores_carry_the_intervals_of_map_and_rank_1() -> None:
    """Identity i is found at once where i is even, and second where it is odd: AP 1 and 1/2."""
    people = np.arange(1, 41)
    distance = np.full((40, 80), 9.0)
    distance[np.arange(40), np.arange(40)] = 1.0
    distance[np.arange(40), 40 + np.arange(40)] = np.where(people % 2 == 0, 2.0, 0.5)
    scores = rank(
        distance,
        query_ids=people,
        query_cameras=np.ones(40, int),
        gallery_ids=np.concatenate([people, people + 100]),
        gallery_cameras=np.full(80, 2),
    )
    assert scores.first_ranks.tolist() == [2, 1] * 20 and scores.identities.tolist() == people.tolist()
    plain = scores.plain(USUAL.plain())
    low, high = over_identities(np.tile([0.5, 1.0], 20), people) or (0, 0)
    assert (plain["mAP_low"], plain["mAP_high"]) == (low, high) and low < plain["mAP"] == 0.75 < high
    assert plain["rank_1_low"] < plain["rank_1"] == 0.5 < plain["rank_1_high"]
