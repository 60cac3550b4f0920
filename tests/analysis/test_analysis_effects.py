from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.effects import hedges_g, least_difference, relative_interval
from analysis.variances import components

OURS, THEIRS = [0.61, 0.64, 0.60, 0.63], [0.58, 0.57, 0.60, 0.57]


def test_hedges_g_by_hand() -> None:
    """Four against four: pooled sd over 6 degrees of freedom, J = Gamma(3) / (sqrt(3) Gamma(2.5))."""
    pooled = math.sqrt((np.var(OURS, ddof=1) + np.var(THEIRS, ddof=1)) / 2)
    j = math.gamma(3) / (math.sqrt(3) * math.gamma(2.5))
    assert hedges_g(OURS, THEIRS) == pytest.approx((np.mean(OURS) - np.mean(THEIRS)) / pooled * j)
    assert hedges_g(THEIRS, OURS) == pytest.approx(-(hedges_g(OURS, THEIRS) or 0))


def test_hedges_g_is_unbiased_where_cohens_d_is_not() -> None:
    draws = np.random.default_rng(0)
    found = [hedges_g(list(draws.normal(1, 1, 4)), list(draws.normal(0, 1, 4))) for _ in range(4000)]
    assert np.mean([g for g in found if g is not None]) == pytest.approx(1.0, abs=0.05)


def test_what_does_not_spread_has_no_effect_size() -> None:
    assert hedges_g([0.5, 0.5], [0.4, 0.4]) is None
    assert hedges_g([0.5], [0.4]) is None
    assert hedges_g([0.5, 0.6], [0.4]) is None  # one degree of freedom: no correction is known


def test_the_relative_interval_covers_what_it_promises() -> None:
    """A baseline that spreads widely: the interval of a difference divided by a mean would fall short."""
    draws, covered, runs = np.random.default_rng(1), 0, 4000
    for _ in range(runs):
        found = relative_interval(list(draws.normal(0.5, 0.02, 5)), list(draws.normal(0.4, 0.04, 5)))
        assert found is not None
        covered += found[0] <= 0.25 <= found[1]
    assert abs(covered / runs - 0.95) < 0.014


def test_the_relative_interval_lies_about_the_ratio_and_needs_two_repeats() -> None:
    low, high = relative_interval(OURS, THEIRS) or (0, 0)
    assert low < np.mean(OURS) / np.mean(THEIRS) - 1 < high
    assert relative_interval([0.5], THEIRS) is None and relative_interval(OURS, [0.4]) is None
    assert relative_interval([0.5, 0.5], [0.4, 0.4]) is None
    assert relative_interval([0.5, 0.6], [-0.1, 0.1]) is None
    assert relative_interval([0.5, 0.6], [0.01, 0.2]) is None  # the baseline may be 0: no bounded interval


@pytest.mark.parametrize("comparisons", [1, 3])
@pytest.mark.parametrize(("n", "m", "sd"), [(4, 4, 1.0), (3, 8, 2.0)])
def test_the_least_difference_is_told_four_times_in_five(n: int, m: int, sd: float, comparisons: int) -> None:
    """20,000 campaigns of that design under scipy's Welch test."""
    ours, theirs = (list(stats.zscore(np.arange(count), ddof=1)) for count in (n, m))
    least = least_difference([sd * x for x in ours], theirs, comparisons)
    assert least is not None
    draws = np.random.default_rng(2)
    a, b = draws.normal(least, sd, (n, 20_000)), draws.normal(0, 1, (m, 20_000))
    told = stats.ttest_ind(a, b, equal_var=False).pvalue <= 0.05 / comparisons
    assert told.mean() == pytest.approx(0.8, abs=0.015)


def test_no_difference_is_told_without_a_spread_or_by_one_repeat() -> None:
    assert least_difference([0.1], [0.1, 0.2]) is None
    assert least_difference([1.0, 1.0], [1.0, 1.0]) is None


def test_components_equal_scipys_f_test_and_the_expected_mean_squares() -> None:
    groups = {"a": [0.30, 0.32, 0.31], "b": [0.40, 0.42, 0.44], "c": [0.35, 0.33, 0.37]}
    found = components(groups)
    assert found is not None
    expected = stats.f_oneway(*groups.values())
    assert found.p == pytest.approx(expected.pvalue)
    within = np.mean([np.var(values, ddof=1) for values in groups.values()])
    assert found.within == pytest.approx(math.sqrt(within))
    among = 3 * np.var([np.mean(values) for values in groups.values()], ddof=1)
    assert found.between == pytest.approx(math.sqrt((among - within) / 3))
    ends = [math.sqrt(6 * within / stats.chi2.ppf(tail, 6)) for tail in (0.975, 0.025)]
    assert found.within_interval == pytest.approx(ends)


def test_components_find_what_was_put_in() -> None:
    """Searches spread by 3, trainings by 1, groups of different sizes: the mean of the variances is right."""
    draws, between, within = np.random.default_rng(3), [], []
    for _ in range(1500):
        means = draws.normal(0, 3, 4)
        groups = {str(i): list(mean + draws.normal(0, 1, 2 + i)) for i, mean in enumerate(means)}
        found = components(groups)
        assert found is not None
        between.append(found.between**2)
        within.append(found.within**2)
    assert np.mean(within) == pytest.approx(1.0, rel=0.05)
    assert np.mean(between) == pytest.approx(9.0, rel=0.08)


def test_components_need_two_searches_and_two_trainings_of_one() -> None:
    assert components({"a": [0.3, 0.4]}) is None
    assert components({"a": [0.3], "b": [0.4]}) is None
    equal = components({"a": [0.3, 0.3], "b": [0.3, 0.3]})
    assert equal is not None and (equal.between, equal.within, equal.share, equal.p) == (0, 0, None, None)
