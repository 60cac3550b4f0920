"""Schedules against torch's own schedulers; batches as pure functions of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoreid.feed import Batches, PreparedData
from autoreid.optimisation import (
    build_optimizer,
    learning_rate,
    restore_optimizer,
    set_learning_rate,
    stream,
)
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import Augmentation, Batch, Optimizer, Schedule

CPU = torch.device("cpu")


def by_torch(recipe: Optimizer, epochs: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    schedule = recipe.schedule
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if schedule.name == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=schedule.end)
    else:
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, schedule.milestones, schedule.factor)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("recipe", "epochs"),
    [(CDNET_SEARCH.optimizer, 240), (CDNET_SEARCH.alpha_optimizer, 240), (CDNET_TRAIN.optimizer, 350)],
)
def test_schedules_equal_torchs(recipe: Optimizer, epochs: int) -> None:
    ours = [learning_rate(recipe, epoch, epochs) for epoch in range(epochs)]
    assert ours == pytest.approx(by_torch(recipe, epochs), rel=1e-9)


def test_a_constant_rate_stays() -> None:
    recipe = Optimizer(learning_rate=0.5, schedule=Schedule())
    assert {learning_rate(recipe, epoch, 9) for epoch in range(9)} == {0.5}


@pytest.mark.parametrize(
    ("name", "kind", "amsgrad"),
    [("sgd", torch.optim.SGD, None), ("adam", torch.optim.Adam, False), ("amsgrad", torch.optim.Adam, True)],
)
def test_optimizers_are_the_named_ones(name: str, kind: type, amsgrad: bool | None) -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = build_optimizer(Optimizer(name=name, momentum=0.5, weight_decay=0.1), [weight])  # type: ignore[arg-type]
    set_learning_rate(optimizer, 0.25)
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert group["lr"] == 0.25
    assert group["weight_decay"] == 0.1
    assert group.get("amsgrad") == amsgrad
    assert (group["momentum"] if name == "sgd" else group["betas"][0]) == 0.5


def test_streams_differ_by_name_and_seed() -> None:
    assert len({stream(seed, name) for seed in range(5) for name in ("a", "b")}) == 10


def batches(data: PreparedData, seed: int) -> Batches:
    return Batches(
        data,
        np.arange(len(data.train_rows)),
        batch=Batch(identities=4, images=2),
        augmentation=Augmentation(),
        seed=seed,
        device=CPU,
    )


def test_a_batch_is_a_function_of_seed_and_step(small_data: PreparedData) -> None:
    images, labels = batches(small_data, 0).batch(5)
    feed = batches(small_data, 0)
    feed.batch(0)
    again = feed.batch(5)
    assert torch.equal(images, again[0])
    assert torch.equal(labels, again[1])
    assert not torch.equal(images, feed.batch(6)[0])
    assert not torch.equal(images, batches(small_data, 1).batch(5)[0])


def test_labels_are_the_sorted_identities_places(small_data: PreparedData) -> None:
    identities = small_data.index.identities[small_data.train_rows]
    known = sorted(set(identities.tolist()))
    assert small_data.labels.tolist() == [known.index(identity) for identity in identities.tolist()]
    assert small_data.identities == len(known)
    _, labels = batches(small_data, 0).batch(0)
    assert sorted(torch.bincount(labels).tolist(), reverse=True)[:4] == [2, 2, 2, 2]


LAYOUTS = (torch.contiguous_format, torch.channels_last)


def steps(
    recipe: Optimizer, first: torch.memory_format, then: torch.memory_format, fused: bool
) -> torch.Tensor:
    """A kernel (8, 4, 3, 3) after three steps in one memory format and two in another."""
    random = torch.Generator().manual_seed(0)
    weight, gradients = (
        torch.randn(8, 4, 3, 3, generator=random),
        torch.randn(5, 8, 4, 3, 3, generator=random),
    )
    state = None
    for layout, some in ((first, gradients[:3]), (then, gradients[3:])):
        weight = weight.detach().contiguous(memory_format=layout).requires_grad_()
        optimizer = build_optimizer(recipe, [weight], fused=fused)
        if state is not None:
            restore_optimizer(optimizer, state)
        for gradient in some:
            weight.grad = gradient.contiguous(memory_format=layout)
            optimizer.step()
        state = optimizer.state_dict()
    return weight.detach()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", ["sgd", "adam", "amsgrad"])
def test_an_optimizer_goes_on_in_another_memory_format(name: str, fused: bool) -> None:
    recipe = Optimizer(name=name, learning_rate=0.1)  # type: ignore[arg-type]
    same = steps(recipe, LAYOUTS[0], LAYOUTS[0], fused)
    for first in LAYOUTS:
        for then in LAYOUTS:
            torch.testing.assert_close(steps(recipe, first, then, fused), same, rtol=1e-5, atol=1e-6)
