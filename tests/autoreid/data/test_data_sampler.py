"""Class-balanced batches, as a pure function of (identities, seed, step)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from autoreid.data.sampler import IdentityBatches, _distinct
from autoreid.errors import InputError

IDENTITIES = np.random.default_rng(0).permutation(np.repeat([3, 5, 8, 9, 40, 41, 50], [1, 2, 4, 5, 9, 4, 20]))


def batch(seed: int = 0, step: int = 0, P: int = 4, K: int = 4) -> np.ndarray:
    return IdentityBatches(IDENTITIES, P, K, seed).batch(step)


@pytest.mark.parametrize("step", range(30))
def test_a_batch_holds_p_identities_and_k_images_of_each(step: int) -> None:
    positions = batch(step=step)
    assert positions.dtype == np.int64
    groups = IDENTITIES[positions].reshape(4, 4)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0].tolist())) == 4
    for row in positions.reshape(4, 4):
        available = int((IDENTITIES[row[0]] == IDENTITIES).sum())
        assert len(set(row.tolist())) == 4 or available < 4


def test_the_same_step_gives_the_same_batch_in_any_order() -> None:
    batches = IdentityBatches(IDENTITIES, 4, 4, seed=3)
    forward = [batches.batch(step).tolist() for step in range(6)]
    backward = [batches.batch(step).tolist() for step in reversed(range(6))]
    assert forward == backward[::-1]
    assert forward == [batch(seed=3, step=step).tolist() for step in range(6)]
    assert len({tuple(one) for one in forward}) == 6
    assert forward[0] != batch(seed=4).tolist()


def test_large_seeds_and_steps_do_not_meet() -> None:
    assert batch(seed=0, step=1).tolist() != batch(seed=2**32, step=0).tolist()
    assert batch(seed=2**63, step=10**6).shape == (16,)


def test_golden_batch() -> None:
    identities = np.repeat(np.arange(6), 3)
    found = IdentityBatches(identities, 3, 2, seed=1).batch(step=2)
    assert found.tolist() == [9, 11, 14, 13, 15, 17]


def test_identities_and_images_are_drawn_uniformly() -> None:
    batches = IdentityBatches(IDENTITIES, 3, 2, seed=0)
    people: Counter[int] = Counter()
    images: Counter[int] = Counter()
    steps = 4000
    for step in range(steps):
        positions = batches.batch(step)
        people.update(IDENTITIES[positions[::2]].tolist())
        images.update(positions.tolist())
    for identity in set(IDENTITIES.tolist()):
        share = people[identity] / steps
        assert abs(share - 3 / 7) < 5 * np.sqrt(3 / 7 * 4 / 7 / steps)
        mine = np.flatnonzero(identity == IDENTITIES)
        expected = 2 * people[identity] / len(mine)
        assert all(abs(images[int(row)] - expected) < 6 * np.sqrt(expected) for row in mine)


def test_distinct_draws_are_the_first_swaps_of_a_shuffle() -> None:
    random = np.random.default_rng(1)
    for count in (1, 2, 5, 50):
        uniforms = random.random(min(count, 6))
        shuffled = list(range(count))
        for place, uniform in enumerate(uniforms):
            other = place + int(uniform * (count - place))
            shuffled[place], shuffled[other] = shuffled[other], shuffled[place]
        assert _distinct(uniforms, count) == shuffled[: len(uniforms)]


def test_all_orders_of_a_small_draw_are_equally_likely() -> None:
    random = np.random.default_rng(2)
    counts = Counter(tuple(_distinct(random.random(2), 3)) for _ in range(6000))
    assert len(counts) == 6
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_too_few_identities_is_an_error_with_the_remedy() -> None:
    with pytest.raises(
        InputError, match=r"8 identities a batch, but the training split has 7. Use at most 7"
    ):
        batch(P=8)


@pytest.mark.parametrize(("P", "K"), [(0, 4), (4, 0)])
def test_an_empty_batch_is_refused(P: int, K: int) -> None:
    with pytest.raises(InputError, match="too small"):
        batch(P=P, K=K)


def test_negative_seeds_and_steps_are_refused() -> None:
    for seed, step in ((-1, 0), (0, -1)):
        with pytest.raises(InputError, match="must not be negative"):
            batch(seed=seed, step=step)


def test_the_work_of_a_batch_does_not_grow_with_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = IdentityBatches(np.repeat(np.arange(50_000), 4), 16, 4, seed=0)
    for name in ("argsort", "unique", "arange"):
        monkeypatch.setattr(np, name, lambda *_, **__: pytest.fail("touches the whole split"))
    assert len(batches.batch(0)) == 64
