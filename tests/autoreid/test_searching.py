"""The two steps of the bilevel loop, each on its own: what it reads, what it moves, by which objective."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from autoreid import losses
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.published import CDNET_SEARCH
from autoreid.searching import SearchRun
from autoreid.values import override

RECIPE = override(
    CDNET_SEARCH,
    {
        "space": "cs-v1",
        "height": 64,
        "width": 32,
        "width_multiplier": 0.1,
        "batch": {"identities": 4, "images": 2},
        "split.held_out": 2,
        "epochs": 4,
        "objective": {"cross_entropy": 1.0, "triplet": 0.0},
        "alpha_objective": {"cross_entropy": 0.25, "triplet": 2.0, "margin": 0.7},
    },
)


@pytest.fixture
def run(small_data: PreparedData) -> SearchRun:
    execution = Execution(device="cpu", threads=1)
    return SearchRun(RECIPE, small_data, split_seed=0, search_seed=0, execution=execution)


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def rows_read(run: SearchRun, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts the batches that each half hands out."""
    counts = {"train": 0, "held_out": 0}

    def counting(name: str, batch: Any) -> Any:
        def count(step: int) -> Any:
            counts[name] += 1
            return batch(step)

        return count

    for name in counts:
        half = getattr(run, name)
        monkeypatch.setattr(half, "batch", counting(name, half.batch))
    return counts


def test_a_weight_step_moves_weights_only_on_the_training_half(
    run: SearchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = rows_read(run, monkeypatch)
    alphas, weights = copies(run.alphas), copies(dict(run.model.named_parameters()))
    run._weight_step(0, run.relax(run.alphas))
    assert moved(alphas, copies(run.alphas)) == set()
    assert all(alpha.grad is None for alpha in run.alphas.values())
    assert moved(weights, copies(dict(run.model.named_parameters())))
    assert counts == {"train": 1, "held_out": 0}


def test_an_alpha_step_moves_alphas_only_on_the_held_out_half(
    run: SearchRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = rows_read(run, monkeypatch)
    alphas, weights = copies(run.alphas), copies(dict(run.model.named_parameters()))
    run._alpha_step(0, run.relax(run.alphas))
    assert moved(alphas, copies(run.alphas)) == set(alphas)
    assert moved(weights, copies(dict(run.model.named_parameters()))) == set()
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert counts == {"train": 0, "held_out": 1}


@pytest.mark.parametrize(("step", "half"), [("_weight_step", "train"), ("_alpha_step", "held_out")])
def test_each_step_has_its_own_objective(run: SearchRun, step: str, half: str) -> None:
    images, labels = getattr(run, half).batch(3)
    with torch.no_grad():
        (branch,) = run.model(images, run.relax(run.alphas))
    cross_entropy = torch.nn.functional.cross_entropy(branch.logits, labels)
    triplet = losses.batch_hard_triplet(branch.feature, labels, 0.7)
    expected = cross_entropy if half == "train" else 0.25 * cross_entropy + 2.0 * triplet
    found = getattr(run, step)(3, run.relax(run.alphas))
    torch.testing.assert_close(found[0], expected, rtol=1e-5, atol=1e-6)


def test_the_alpha_step_follows_the_gradient_of_its_loss(run: SearchRun) -> None:
    """Adam's first step goes against the sign of the gradient, by the learning rate."""
    for parameter in run.model.parameters():  # blocks that begin as their shortcut give no gradient yet
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    images, labels = run.held_out.batch(0)
    total = losses.compute(RECIPE.alpha_objective, run.model(images, run.relax(run.alphas)), labels).total
    gradients = torch.autograd.grad(total, list(run.alphas.values()))
    before = copies(run.alphas)
    run.alpha_optimizer.param_groups[0]["weight_decay"] = 0.0
    run._alpha_step(0, run.relax(run.alphas))
    rate = RECIPE.alpha_optimizer.learning_rate
    for (place, alpha), gradient in zip(run.alphas.items(), gradients, strict=True):
        clear = gradient.abs() > 1e-6
        assert clear.any()
        step = (alpha.detach() - before[place])[clear]
        torch.testing.assert_close(step, -rate * gradient[clear].sign(), rtol=0.02, atol=1e-6)


def test_an_epoch_sets_both_learning_rates(run: SearchRun) -> None:
    run.position.epoch = 2
    row = run.advance()
    assert run.optimizer.param_groups[0]["lr"] == row["learning_rate"] == pytest.approx((0.025 + 1e-4) / 2)
    assert run.alpha_optimizer.param_groups[0]["lr"] == row["alpha_learning_rate"] == 3e-4
