from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import words
from analysis.statistics import compare, summarise
from autoreid.errors import InputError

VALUES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=12)


@given(VALUES)
def test_a_summary_equals_the_standard_library_and_scipy(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.n == len(values) and summary.values == tuple(values)
    assert summary.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert summary.deviation == pytest.approx(statistics.stdev(values), abs=1e-6)
    if np.std(values) > 1e-3:
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert summary.interval == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


@given(VALUES, VALUES)
def test_a_difference_equals_scipys_welch_interval(values: list[float], baseline: list[float]) -> None:
    found = compare(values, baseline)
    assert found.difference == pytest.approx(statistics.fmean(values) - statistics.fmean(baseline), abs=1e-9)
    assert (found.n, found.n_baseline) == (len(values), len(baseline))
    if min(np.std(values), np.std(baseline)) > 1e-2:
        expected = stats.ttest_ind(values, baseline, equal_var=False).confidence_interval(0.95)
        assert found.interval == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


def test_four_values_by_hand() -> None:
    """sd of 1, 2, 3, 4 is sqrt(5/3); t(0.975, 3) = 3.18245."""
    summary = summarise([1, 2, 3, 4])
    assert summary.deviation == pytest.approx(math.sqrt(5 / 3))
    reach = 3.182446 * math.sqrt(5 / 3) / 2
    assert summary.interval == pytest.approx((2.5 - reach, 2.5 + reach), rel=1e-6)
    assert summarise([1, 2, 3, 4], confidence=0.5).interval == pytest.approx((2.0063, 2.9937), abs=1e-4)


def test_one_value_has_no_spread() -> None:
    summary = summarise([0.4])
    assert (summary.n, summary.mean, summary.deviation, summary.interval) == (1, 0.4, None, None)
    assert compare([0.4], [0.3, 0.2]).interval is None
    assert compare([0.4, 0.5], [0.2]).interval is None
    assert compare([0.4], [0.2]).relative == pytest.approx(1.0)


def test_equal_values_have_no_interval() -> None:
    """Three times 0.1 has a rounded mean: it still counts as equal."""
    summary = summarise([0.1, 0.1, 0.1])
    assert (summary.mean, summary.deviation, summary.interval) == (0.1, 0.0, None)
    assert words.between(summary) == "repeats are equal"
    assert words.between(summarise([0.1])) == "needs 2 repeats"
    found = compare([0.5, 0.5], [0.25, 0.25])
    assert found.interval is None and found.relative == 1.0
    assert words.difference_between(found) == "repeats are equal"
    assert words.difference_between(compare([0.5, 0.5], [0.25])) == "needs 2 repeats"
    one_sided = compare([0.5, 0.5], [0.2, 0.3])  # one side varies: one degree of freedom
    reach = 12.7062 * 0.05
    assert one_sided.interval == pytest.approx((0.25 - reach, 0.25 + reach), abs=1e-4)


def test_only_the_possible_part_of_an_interval_is_printed() -> None:
    """t(0.975, 1) = 12.706: of 8 and 25 the interval is -91.5 to 124.5."""
    summary = summarise([0.08, 0.25])
    assert summary.interval == pytest.approx((-0.915, 1.245), abs=1e-3)
    assert words.between(summary) == "0.0 to 100.0"
    assert words.between(summarise([0.30, 0.32])) == "18.3 to 43.7"
    assert words.difference_between(compare([0.0, 1.0], [0.1, 0.1])) == "-100.0 to +100.0"


def test_a_relative_difference_needs_a_baseline_that_is_not_zero() -> None:
    assert compare([0.1], [0.0]).relative is None


def test_no_values_and_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="no values"):
        summarise([])
    with pytest.raises(InputError, match="not all finite"):
        summarise([0.1, math.nan])
    with pytest.raises(InputError, match="not all finite"):
        compare([0.1], [math.inf])


def test_the_intervals_cover_what_they_promise() -> None:
    """4,000 campaigns of four repeats: 95% within four standard errors."""
    draws = np.random.default_rng(0)
    alone = other = 0
    for _ in range(4000):
        a, b = draws.normal(0.4, 0.02, 4), draws.normal(0.3, 0.02, 4)
        low, high = summarise(list(a)).interval or (0, 0)
        alone += low <= 0.4 <= high
        low, high = compare(list(a), list(b)).interval or (0, 0)
        other += low <= 0.1 <= high
    assert abs(alone / 4000 - 0.95) < 0.014
    assert 0.94 < other / 4000 < 0.975  # Welch is a little wide at four against four
