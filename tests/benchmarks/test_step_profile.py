"""The profile of steps: floors, projections, operators; on networks that are small."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import pytest
import step_profile
from ceilings import Ceilings
from side_by_side import Measurement
from step_counts import Count

from autoreid.execution import Execution
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import Batch

CEILINGS = Ceilings("cpu", 1, 1e9, {"fp32": 1e9, "bf16": 2e9})
ONE_THREAD = Execution(device="cpu", threads=1)


@pytest.fixture(autouse=True, scope="module")
def small_steps() -> Iterator[None]:
    batch = Batch(identities=8, images=2)
    changes = {"batch": batch, "height": 32, "width": 16, "width_multiplier": 0.125, "epochs": 3}
    steps = {"search": replace(CDNET_SEARCH, **changes), "training": replace(CDNET_TRAIN, **changes)}
    small = {"STEPS": steps, "IMAGES": 330, "IDENTITIES": 20, "DISTINCT": 8}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small.items():
            patch.setattr(step_profile, name, value)
        yield


def options(device: str = "cpu") -> argparse.Namespace:
    given = {"threads": 1, "short": True, "rounds": 1, "execution": [], "operators": 2}
    return argparse.Namespace(device=device, **given)


@pytest.fixture(scope="module")
def training(small_steps: None) -> list[Measurement]:
    return step_profile.profile_step("training", "fp32", CEILINGS, options())


def test_hours_are_those_of_all_steps_of_the_recipe_with_its_own_batch() -> None:
    full = step_profile.build_step("training", "fp32", ONE_THREAD, small=False)
    small = step_profile.build_step("training", "fp32", ONE_THREAD, small=True)
    assert (full.images, full.whole, full.share) == (16, 3 * (330 // 16), 1)
    assert (small.images, small.whole, small.share) == (8, full.whole, 0.5)
    # Ten seconds for half a batch are twenty for a batch.
    assert small.hours(10.0) == pytest.approx(full.hours(20.0)) == pytest.approx(60 * 20 / 3600)


def test_a_step_is_measured_beside_its_floor_and_by_operator(training: list[Measurement]) -> None:
    step, *operators = training
    assert step.name == "training, fp32"
    found = step.extra
    floor = max(found["gigabytes"], found["giga_multiply_adds"])
    assert found["floor_seconds"] == pytest.approx(floor)
    assert found["floor_operator_by_operator"] >= found["floor_seconds"]
    assert step.seconds is not None
    assert found["times_the_floor"] == pytest.approx(step.seconds / floor)
    assert "gpu_busy_percent" not in found
    shares = [one.extra["percent_of_the_step"] for one in operators]
    assert len(shares) == 2
    assert 100 > shares[0] >= shares[1] > 0


def test_only_gradients_that_a_step_takes_are_counted() -> None:
    backward = {}
    for name in ("search", "training"):
        step = step_profile.build_step(name, "fp32", ONE_THREAD, small=True)
        counts, seconds = step_profile.by_operator(step.take, "cpu")
        assert set(seconds) == set(counts)
        forward = counts["pointwise convolution"].multiply_adds
        backward[name] = counts["pointwise convolution backward"].multiply_adds / forward
    # A step of the alphas takes no gradients of the weights.
    assert backward["training"] == 2
    assert 1 < backward["search"] < 2


def test_another_form_can_be_chosen() -> None:
    given = options()
    given.execution = ["memory_format=contiguous", "optimizers=plain"]
    assert step_profile.execution_of(given).forms() == "memory_format=contiguous optimizers=plain"


def test_tables_of_ceilings_steps_and_operators_are_separate(training: list[Measurement]) -> None:
    rows = [step_profile.of_ceilings(CEILINGS), *training]
    ceilings, steps, operators = step_profile.show(rows).split("\n\n")
    assert "| ceilings, 1 thread | 1 | 1 | 2 |" in ceilings
    assert "projected hours" in steps
    assert [len(one.splitlines()) for one in (ceilings, steps, operators)] == [3, 3, 4]


def test_an_operator_that_moves_nothing_has_no_distance_to_its_floor() -> None:
    step = step_profile.Step("step", lambda: None, 1, 1, 1.0, [])
    (row,) = step_profile.of_operators(step, {"view": Count(calls=1)}, {"view": 1.0}, CEILINGS, "fp32", top=9)
    assert "times_the_floor" not in row.extra


@pytest.mark.gpu
def test_a_step_on_a_gpu_has_its_busy_share() -> None:
    rows = step_profile.profile_step("training", "bf16", CEILINGS, options("cuda"))
    assert 0 < rows[0].extra["gpu_busy_percent"] <= 100
