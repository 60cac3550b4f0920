"""Repeats that a comparison needs, against simulated comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tune_runs.power import (
    LEVEL,
    POWER,
    comparison_lines,
    comparison_plain,
    least_difference,
    power,
    repeats_needed,
)


def simulated(repeats, difference, deviations, arms, trials=20_000):
    """The share of simulated comparisons that Welch's test tells at level / arms."""
    draw = np.random.default_rng(0)
    ours = draw.normal(difference, deviations[0], (trials, repeats))
    theirs = draw.normal(0.0, deviations[1], (trials, repeats))
    return (stats.ttest_ind(ours, theirs, axis=1, equal_var=False).pvalue < LEVEL / arms).mean()


@pytest.mark.parametrize(
    ("repeats", "difference", "deviations", "arms"),
    [
        (2, 5.0, (1.0, 1.0), 1),
        (2, 12.0, (1.0, 0.5), 3),
        (4, 2.4, (1.0, 1.0), 1),
        (6, 2.0, (1.0, 1.0), 1),
        (17, -1.0, (1.0, 1.0), 1),
        (10, 1.5, (0.5, 1.5), 3),
        (30, 0.3, (1.0, 0.2), 2),
    ],
)
def test_the_power_is_that_of_simulated_comparisons(repeats, difference, deviations, arms):
    found = power(repeats, difference, deviations, arms)
    assert found == pytest.approx(simulated(repeats, difference, deviations, arms), abs=0.01)


@pytest.mark.parametrize("arms", [1, 9])
@pytest.mark.parametrize("deviations", [(1.0, 1.0), (0.2, 1.0), (1.0, 0.0)])
def test_the_fewest_repeats_that_suffice(arms, deviations):
    needed = repeats_needed(0.8, deviations, arms)
    assert needed is not None and 2 < needed < 100
    assert power(needed, 0.8, deviations, arms) >= POWER > power(needed - 1, 0.8, deviations, arms)
    assert repeats_needed(-0.8, deviations, arms) == needed


def test_extremes():
    assert repeats_needed(0.0, (1.0, 1.0)) is None
    assert repeats_needed(1e6, (1.0, 1.0), arms=100) == 2
    assert power(4, 1e9, (1.0, 1.0), 1) == pytest.approx(1.0)
    # Two repeats and their two degrees of freedom tell huge differences alone; more arms, fewer still.
    sizes = [least_difference(2), least_difference(2, arms=10), least_difference(1000)]
    assert sizes[1] > 2 * sizes[0] > 10 * sizes[2] > 0


def test_differences_that_were_seen_are_told_by_arm():
    scores = {"base": [0.5, 0.52], "far": [0.61, 0.60], "near": [0.51, 0.52], "alone": [0.4], "none": []}
    plain = comparison_plain(scores, "base", arms=4, repeats=4)
    assert [one["arm"] for one in plain["measured"]] == ["far", "near"]
    far, near = plain["measured"]
    assert far["difference"] == pytest.approx(0.095) and far["repeats"] == 2
    assert far["needed"] < 10 < near["needed"]
    lines = comparison_lines(plain)
    assert lines[0] == ("to tell an arm from base (mAP; Welch's t at 5%, Holm over 4 arms, power 80%):")
    assert lines[2].split() == ["far", "+9.5", "2", str(far["needed"])]
    assert "a guess too" in lines[-1]


def test_before_anything_is_measured_differences_are_told_in_standard_deviations():
    lines = comparison_lines(comparison_plain({"base": [], "other": []}, "base", arms=1, repeats=4))
    assert lines[1:] == [
        "  4 repeats tell a difference of 2.5 standard deviations of a repeat or more",
        "  a difference of so many standard deviations: 0.5 needs 64, 1 needs 17, 2 needs 6 repeats",
    ]
    (_, alone, _) = comparison_lines(comparison_plain({}, "base", arms=1, repeats=1))
    assert alone == "  1 repeat tells no difference, however large: it shows no spread"
    assert comparison_plain({"base": [0.5, 0.6]}, "base", arms=0, repeats=4) is None


def test_equal_values_are_not_compared():
    plain = comparison_plain({"base": [0.5, 0.5], "other": [0.6, 0.6]}, "base", arms=1, repeats=2)
    assert plain["measured"] == []
