"""Bytes and multiply-adds by operator, and the floor that they set."""

from __future__ import annotations

import doctest

import ceilings
import pytest
import step_counts
import torch
from step_counts import Counter
from torch import nn


@pytest.mark.parametrize("module", [ceilings, step_counts])
def test_examples_of_the_docstrings(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert (found.attempted > 0, found.failed) == (True, 0)


@pytest.mark.parametrize(
    ("groups", "kernel", "kind"),
    [(8, 3, "depthwise"), (2, 3, "grouped"), (1, 1, "pointwise"), (1, 3, "dense")],
)
def test_convolutions_are_counted_by_kind_forward_and_backward(groups: int, kernel: int, kind: str) -> None:
    layer = nn.Conv2d(8, 8, kernel, padding=kernel // 2, groups=groups, bias=False)
    images = torch.randn(2, 8, 6, 5, requires_grad=True)
    with Counter() as counter:
        layer(images).sum().backward()
    forward, backward = (counter.counts[f"{kind} convolution{way}"] for way in ("", " backward"))
    adds = 2 * 8 * 6 * 5 * (8 // groups) * kernel**2
    assert (forward.multiply_adds, backward.multiply_adds) == (adds, 2 * adds)
    maps, weights = 4 * images.numel(), 4 * layer.weight.numel()
    assert forward.moved_bytes == 2 * maps + weights
    # The gradient of a sum is one number, expanded; it reads that, the images and the weights.
    assert backward.moved_bytes <= 3 * maps + 2 * weights
    assert backward.moved_bytes >= 2 * maps + 2 * weights


def test_a_gradient_that_is_not_wanted_costs_nothing() -> None:
    layer = nn.Conv2d(4, 4, 3, bias=False)
    with Counter() as counter:
        layer(torch.randn(1, 4, 5, 5)).sum().backward()
    assert counter.counts["dense convolution backward"].multiply_adds == 3 * 3 * 4 * 4 * 9


def test_views_move_nothing_and_changes_in_place_are_read_and_written() -> None:
    values = torch.ones(10, 10)
    with Counter() as counter:
        values.view(100).t().unsqueeze(0)
        values.add_(1)
        values.zero_()
        torch.empty(1000)
    moved = {name: count.moved_bytes for name, count in counter.counts.items() if count.moved_bytes}
    assert moved == {"add_": 800, "zero_": 400}


def test_optimizers_that_change_lists_of_tensors_are_counted() -> None:
    layer = nn.Linear(10, 10, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, fused=True)
    layer.weight.grad = torch.ones_like(layer.weight)
    with Counter() as counter:
        optimizer.step()
    assert counter.counts["_fused_sgd_"].moved_bytes >= 3 * 400  # weight and gradient read, weight written


def test_ceilings_are_measured_and_threads_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "COPIED_BYTES", 1000)
    monkeypatch.setattr(ceilings, "SIDES", {"cpu": 8})
    before = torch.get_num_threads()
    found = ceilings.measure_ceilings("cpu", threads=2, calls=2)
    assert torch.get_num_threads() == before
    assert found.bytes_per_second > 0
    assert set(found.multiply_adds_per_second) == {"fp32", "bf16"}
