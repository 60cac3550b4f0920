"""Memory that is counted without data equals memory that is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

import autoreid.footprint
import search_spaces.cells
from autoreid.data.source import DataSource
from autoreid.execution import Execution
from autoreid.feed import PreparedData, prepare
from autoreid.footprint import Footprint, largest_batch, search_footprint, training_footprint
from autoreid.pretrain_recipes import CDNET_PRETRAIN
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SEARCH_RECIPES
from autoreid.recipes import SearchRecipe
from autoreid.searching import SearchRun
from autoreid.tracing import IMAGES, META, Curve, Lowered, Tracing, polynomial
from autoreid.training import TrainRun
from autoreid.values import override
from search_spaces.published import PUBLISHED

CPU = Execution(device="cpu", threads=1)
CDNET = PUBLISHED["cdnet-top2"]
SMALL = {"height": 64, "width": 32, "width_multiplier": 0.125, "batch": {"identities": 8, "images": 2}}
HEIGHT, WIDTH = 112, 56
CELLS = {
    "height": HEIGHT,
    "width": WIDTH,
    "channels": 4,
    "layers": [1, 1, 1, 1],
    "batch": {"identities": 4, "images": 2},
    "split.held_out": 2,
}


def measured(begin: Callable[[], Any]) -> int:
    """The most bytes that torch holds at once of a run and its first two steps, by its allocator."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run = begin()
        run._step(0)
        run._step(1)
    events = found.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return int(np.cumsum([change for _, change in changes]).max())


def search_run(recipe: SearchRecipe, data: PreparedData, execution: Execution = CPU) -> SearchRun:
    """A search whose alphas choose the branches that take most memory."""
    run = SearchRun(recipe, data, split_seed=0, search_seed=0, execution=execution)
    with torch.no_grad():
        for place, options in autoreid.footprint.largest_branches(recipe).items():
            run.alphas[place][list(options)] += 1
    return run


@pytest.mark.parametrize(
    "settings",
    [{"k": 2}, {"k": "all", "space": "cs-v1"}, {"k": 1, "precision": "bf16"}],
    ids=["top-2", "all", "top-1 in bf16"],
)
def test_a_search_of_chosen_branches(settings: dict[str, Any], small_data: PreparedData) -> None:
    recipe = override(CDNET_SEARCH, SMALL | {"split.held_out": 2} | settings)
    counted = search_footprint(recipe, small_data.identities, CPU)
    assert counted.peak() == pytest.approx(measured(lambda: search_run(recipe, small_data)), rel=0.01)


@pytest.fixture(scope="module")
def tall_data(cache: Path) -> PreparedData:
    source = DataSource(set="rendered", identities=16, cameras=3, images=2, height=64, width=32)
    return prepare(source, HEIGHT, WIDTH, cache)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", [{}, {"supernet": "plain"}, {"recompute": True}], ids=["fused", "plain", "recompute"]
)
def test_a_search_of_cells(form: dict[str, Any], tall_data: PreparedData) -> None:
    recipe, execution = override(SEARCH_RECIPES["auto-reid"], CELLS), Execution("cpu", 1, **form)
    counted = search_footprint(recipe, tall_data.identities, execution)
    found = measured(lambda: search_run(recipe, tall_data, execution))
    assert counted.peak() == pytest.approx(found, rel=0.02)


@pytest.mark.slow
def test_recomputing_takes_less(tall_data: PreparedData) -> None:
    recipe = override(SEARCH_RECIPES["auto-reid"], CELLS)
    kept, again = (
        search_footprint(recipe, tall_data.identities, Execution(recompute=recompute)).per_image
        for recompute in (False, True)
    )
    assert again < 0.7 * kept


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training(precision: str, small_data: PreparedData) -> None:
    recipe = override(CDNET_TRAIN, SMALL | {"precision": precision})
    counted = training_footprint(recipe, CDNET, small_data.identities, CPU)
    found = measured(lambda: TrainRun(recipe, CDNET, small_data, train_seed=0, execution=CPU))
    assert counted.peak() == pytest.approx(found, rel=0.01)


def test_any_batch_is_told_by_one_count(small_data: PreparedData) -> None:
    few = override(CDNET_TRAIN, SMALL)
    many = override(few, {"batch": {"identities": 8, "images": 4}})
    counted = training_footprint(few, CDNET, small_data.identities, CPU)
    again = training_footprint(many, CDNET, small_data.identities, CPU)
    assert (few.batch.size, many.batch.size) == (16, 32)
    assert counted.peak(32) == again.peak() == again.peak(32)
    assert counted.per_image == pytest.approx((counted.peak(32) - counted.peak()) / 16, rel=0.01)


def test_a_pretraining_and_a_teacher() -> None:
    recipe = override(CDNET_PRETRAIN, {"width_multiplier": 0.25, "batch": 8})
    counted = training_footprint(recipe, CDNET, 100, CPU)
    assert counted.images == 8
    assert counted.optimizer == counted.parameters > 0
    taught = training_footprint(recipe, CDNET, 100, CPU, guide=(override(CDNET_TRAIN, SMALL), CDNET))
    assert taught.peak() - counted.peak() == taught.teacher > 0


def test_batches_that_are_prepared_ahead_are_counted() -> None:
    recipe = override(CDNET_TRAIN, SMALL)
    sizes = [
        training_footprint(recipe, CDNET, 8, Execution(device="cuda", prefetch=prefetch)).peak()
        for prefetch in (False, True)
    ]
    assert sizes[1] - sizes[0] == 36 * 64 * 32 * 16


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    counted = search_footprint(override(CDNET_SEARCH, SMALL), 8, CPU)
    for memory in (counted.peak(1), counted.peak(57), 10**9):
        images = largest_batch(counted, memory)
        assert counted.peak(images) <= memory < counted.peak(images + 1)
    assert largest_batch(counted, counted.peak(1) - 1) == 0


def test_moments_are_polynomials_of_the_batch() -> None:
    assert polynomial(1234) == (1234, 0, 0)
    assert polynomial(-12 * IMAGES) == (0, -12, 0)
    assert polynomial(7 * IMAGES**2) == (0, 0, 7)
    found = Footprint(1, 2, 4, 8, 16, Curve(np.array([[0, 3, 0]])), Curve(np.array([[0, 0, 5]])), 10)
    assert found.peak() == 31 + 30 + 500
    assert found.per_image == 3 + 5 * 21


def test_storages_are_counted_once_and_as_long_as_they_live() -> None:
    before = torch.empty(50, device=META)
    with Tracing({}) as tracing:
        first = torch.empty(100, device=META)  # 400 bytes
        view = first[:10].add_(1)
        second = first + before.mean()  # 400 and, for a moment, 4
        del first, view
        torch.empty(25, device=META)
        del second
    assert tracing.curve().peak(1) == 804
    assert tracing.curve().terms[:, 0].min() == 0


def test_lowered_products_are_in_bf16_and_each_weight_is_cast_once() -> None:
    layer = torch.nn.Linear(3, 4, device=META)
    with Lowered(), Tracing({}) as tracing:
        first, second = layer(torch.empty(2, 3, device=META)), layer(torch.empty(2, 3, device=META))
        total = first.sum()
    assert (first.dtype, second.dtype, total.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    assert tracing.made is not None
    first.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_the_form_of_a_gpu_is_counted_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells compute more at once there."""
    recipe, seen = override(SEARCH_RECIPES["auto-reid"], CELLS), []
    form = search_spaces.cells.Form

    def noted(*given: Any, together: bool) -> Any:
        seen.append(together)
        return form(*given, together=together)

    monkeypatch.setattr(search_spaces.cells, "Form", noted)
    on_cpu, on_gpu = (
        search_footprint(recipe, 8, Execution(device)).step.peak(8) for device in ("cpu", "cuda")
    )
    assert set(seen) == {False, True}
    assert on_gpu > on_cpu


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{"k": 2}, {"k": "all"}, {"k": 2, "precision": "bf16"}])
def test_a_search_on_a_gpu(settings: dict[str, Any], small_data: PreparedData) -> None:
    """What CUDA's allocator had given out at most, workspaces among it."""
    recipe = override(CDNET_SEARCH, SMALL | {"split.held_out": 2, "width_multiplier": 1.0} | settings)
    execution = Execution(device="cuda")
    counted = search_footprint(recipe, small_data.identities, execution).peak()
    run = search_run(recipe, small_data, execution)
    for step in range(2):
        run._step(step)
    assert 0.9 * counted < torch.cuda.max_memory_allocated() < 1.25 * counted + 2**26
