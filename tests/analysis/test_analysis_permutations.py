from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.permutations import holm, paired, repeats_to_pass, smallest_paired, smallest_unpaired, unpaired
from autoreid.errors import InputError

# Halves of whole numbers: sums of them are exact, so that a naive loop can compare for equality.
SIDE = st.lists(st.integers(-8, 8).map(lambda n: n / 2), min_size=1, max_size=5)


def dealt(values: Sequence[float], baseline: Sequence[float]) -> float:
    """The share of all deals whose difference of means is no smaller, by a loop."""
    both, n = [*values, *baseline], len(values)
    deals = []
    for ours in itertools.combinations(range(len(both)), n):
        theirs = [both[i] for i in range(len(both)) if i not in ours]
        deals.append(abs(sum(both[i] for i in ours) * len(theirs) - sum(theirs) * n))
    observed = abs(sum(values) * len(baseline) - sum(baseline) * n)
    return sum(found >= observed for found in deals) / len(deals)


@given(SIDE, SIDE)
@settings(max_examples=60)
def test_the_unpaired_test_equals_a_loop_over_all_deals(values: list[float], baseline: list[float]) -> None:
    assert unpaired(values, baseline).p == pytest.approx(dealt(values, baseline), abs=1e-12)


@given(SIDE)
@settings(max_examples=60)
def test_the_paired_test_equals_a_loop_over_all_signs(found: list[float]) -> None:
    signs = list(itertools.product((1, -1), repeat=len(found)))
    sums = [abs(sum(s * d for s, d in zip(some, found, strict=True))) for some in signs]
    expected = sum(value >= abs(sum(found)) for value in sums) / len(sums)
    assert paired(found, [0.0] * len(found)).p == pytest.approx(expected, abs=1e-12)


def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(a.mean(axis) - b.mean(axis))


def test_both_tests_equal_scipys() -> None:
    draws = np.random.default_rng(1)
    for _ in range(10):
        a, b = draws.normal(0.3, 1, 5), draws.normal(0, 1, 5)
        mean = lambda x, y, axis: x.mean(axis) - y.mean(axis)  # noqa: E731
        expected = stats.permutation_test((a, b), mean, n_resamples=math.inf, vectorized=True).pvalue
        assert unpaired(list(a), list(b)).p == pytest.approx(expected)
        expected = stats.permutation_test(
            (a, b), mean, permutation_type="samples", n_resamples=math.inf
        ).pvalue
        assert paired(list(a), list(b)).p == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 2), (4, 4), (2, 5), (3, 4)])
def test_the_smallest_p_is_that_of_sides_that_lie_apart(n: int, m: int) -> None:
    apart = unpaired([10.0 + i / 8 for i in range(n)], [i / 8 for i in range(m)])
    assert apart.p == pytest.approx(apart.smallest) == pytest.approx(smallest_unpaired(n, m))
    assert smallest_paired(n) == paired([1.0 + i for i in range(n)], [0.0] * n).p


def test_the_figures_that_four_repeats_are_known_for() -> None:
    assert round(smallest_unpaired(4, 4), 4) == 0.0286
    assert smallest_paired(4) == 0.125
    assert stats.mannwhitneyu([5, 6, 7, 8], [1, 2, 3, 4], method="exact").pvalue == pytest.approx(2 / 70)


def test_equal_values_give_a_p_of_one_whatever_the_rounding() -> None:
    assert unpaired([0.1, 0.2, 0.3], [0.3, 0.1, 0.2]).p == 1.0
    assert unpaired([0.1] * 4, [0.1] * 4).p == 1.0
    assert paired([0.1, 0.7], [0.7, 0.1]).p == 1.0


def test_a_million_ways_are_sampled_and_said_to_be() -> None:
    draws = np.random.default_rng(2)
    a, b = draws.normal(0.5, 1, 15), draws.normal(0, 1, 15)
    found = unpaired(list(a), list(b))
    assert not found.exact and found.p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.02)
    assert found == unpaired(list(a), list(b))  # drawn with a seed of its own
    found = paired([*a, *b], [0.0] * 30)
    assert not found.exact and found.p == pytest.approx(stats.ttest_1samp([*a, *b], 0).pvalue, abs=0.02)


def test_the_level_is_kept() -> None:
    """Of 2,000 comparisons of equal arms, four against four, at most 5% may pass; 2 in 70 do."""
    draws = np.random.default_rng(3)
    passed = sum(
        unpaired(list(draws.normal(size=4)), list(draws.normal(size=4))).p <= 0.05 for _ in range(2000)
    )
    assert abs(passed / 2000 - 2 / 70) < 0.015


def bonferroni_of_intersections(ps: list[float]) -> list[float]:
    """Holm's adjusted p by its definition as a closed test: the largest Bonferroni p of all sets it is in."""
    n = len(ps)
    sets = [s for size in range(1, n + 1) for s in itertools.combinations(range(n), size)]
    return [min(1.0, max(len(s) * min(ps[j] for j in s) for s in sets if i in s)) for i in range(n)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holms_procedure_is_the_closed_test_of_bonferronis(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(bonferroni_of_intersections(ps))


@pytest.mark.parametrize("comparisons", [1, 2, 3, 5, 11, 40])
def test_the_repeats_to_pass_are_the_fewest(comparisons: int) -> None:
    n = repeats_to_pass(comparisons)
    assert holm([smallest_unpaired(n, n), *[1.0] * (comparisons - 1)])[0] <= 0.05
    assert holm([smallest_unpaired(n - 1, n - 1), *[1.0] * (comparisons - 1)])[0] > 0.05


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="no values to compare"):
        unpaired([], [0.1])
    with pytest.raises(InputError, match="2 values and 1"):
        paired([0.1, 0.2], [0.1])
