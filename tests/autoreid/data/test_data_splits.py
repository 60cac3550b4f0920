"""Splits of the training set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from autoreid.data import splits
from autoreid.errors import InputError

IDENTITIES = np.random.default_rng(0).permutation(np.repeat(np.arange(2, 32), np.arange(1, 31)))
ALL: list[Callable[..., splits.Split]] = [splits.by_image, splits.per_identity, splits.by_identity]


@pytest.mark.parametrize("split", ALL)
def test_parts_are_sorted_disjoint_complete_and_repeatable(split: Callable[..., splits.Split]) -> None:
    train, held_out = split(IDENTITIES, seed=5)
    assert train.dtype == held_out.dtype == np.int64
    assert sorted([*train, *held_out]) == list(range(len(IDENTITIES)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(held_out) > 0).all()
    again = split(IDENTITIES, seed=5)
    assert np.array_equal(again[0], train)
    assert not np.array_equal(split(IDENTITIES, seed=6)[1], held_out)


@pytest.mark.parametrize(("fraction", "held_out"), [(0.5, 232), (0.1, 46), (0.001, 1)])
def test_by_image_holds_out_a_share_of_the_images(fraction: float, held_out: int) -> None:
    assert len(splits.by_image(IDENTITIES, fraction, seed=0)[1]) == held_out


@pytest.mark.parametrize("held_out", [1, 4, 100])
def test_per_identity_keeps_at_least_half_of_everybody(held_out: int) -> None:
    found = Counter(IDENTITIES[splits.per_identity(IDENTITIES, held_out, seed=0)[1]].tolist())
    for identity, images in Counter(IDENTITIES.tolist()).items():
        assert found[identity] == min(held_out, images // 2)


def test_by_identity_shares_nobody() -> None:
    train, held_out = splits.by_identity(IDENTITIES, 0.1, seed=0)
    assert not set(IDENTITIES[train]) & set(IDENTITIES[held_out])
    assert len(set(IDENTITIES[held_out].tolist())) == 3


def test_every_image_is_held_out_equally_often() -> None:
    identities = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    times = np.zeros(8)
    for seed in range(800):
        times[splits.per_identity(identities, 1, seed=seed)[1]] += 1
    assert (abs(times - 200) < 65).all()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_a_fraction_that_leaves_a_part_empty_is_refused(fraction: float) -> None:
    for split in (splits.by_image, splits.by_identity):
        with pytest.raises(InputError, match="leaves one part empty"):
            split(IDENTITIES, fraction, seed=0)


def test_sets_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(InputError, match="too few identities to divide in two: 1"):
        splits.by_identity(np.array([4, 4]), seed=0)
    with pytest.raises(InputError, match="no identity has two images"):
        splits.per_identity(np.array([1, 2, 3]), seed=0)
    with pytest.raises(InputError, match="0 held-out images"):
        splits.per_identity(np.array([1, 1]), 0, seed=0)
