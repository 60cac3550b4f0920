"""Losses against literal loops and finite differences, in float64."""

from __future__ import annotations

import math

import pytest
import torch

from autoreid.losses import batch_hard_triplet, compute
from autoreid.models.necks import Branch
from autoreid.objectives import Objective

IDENTITIES = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])


def features(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal_triplet(x: torch.Tensor, ids: list[int], margin: float) -> float:
    """A loop over anchors, with Python's own arithmetic."""
    total = 0.0
    for a in range(len(ids)):
        distances = [math.dist(x[a].tolist(), x[b].tolist()) for b in range(len(ids))]
        positives = [d for b, d in enumerate(distances) if ids[b] == ids[a] and b != a]
        negatives = [d for b, d in enumerate(distances) if ids[b] != ids[a]]
        total += max(0.0, margin + max(positives) - min(negatives))
    return total / len(ids)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_triplet_equals_a_literal_loop(seed: int, margin: float) -> None:
    found = batch_hard_triplet(features(seed), IDENTITIES, margin).item()
    assert found == pytest.approx(literal_triplet(features(seed), IDENTITIES.tolist(), margin), abs=1e-9)


def test_the_anchor_is_no_positive_of_its_own() -> None:
    x = torch.tensor([[0.0], [4.0], [5.0], [5.5]], dtype=torch.float64)
    ids = torch.tensor([0, 0, 1, 1])
    assert batch_hard_triplet(x, ids, 0.0).item() == pytest.approx(literal_triplet(x, ids.tolist(), 0.0))


def test_triplet_gradient_equals_finite_differences() -> None:
    x = features().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: batch_hard_triplet(v, IDENTITIES, 1.0), (x,))


def test_duplicated_images_give_a_finite_gradient() -> None:
    x = features()
    x[1] = x[0]
    x[6] = x[5]
    x.requires_grad_()
    batch_hard_triplet(x, IDENTITIES, 0.3).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_the_objective_sums_the_branches_of_the_neck() -> None:
    branches = tuple(Branch(features(s), features(s + 10)[:, :3]) for s in (1, 2))
    found = compute(Objective(cross_entropy=0.5, triplet=2.0, margin=0.3), branches, IDENTITIES)
    cross_entropy = sum(
        -branch.logits.log_softmax(1)[torch.arange(8), IDENTITIES].mean().item() for branch in branches
    )
    triplet = sum(literal_triplet(branch.feature, IDENTITIES.tolist(), 0.3) for branch in branches)
    assert found.cross_entropy.item() == pytest.approx(cross_entropy)
    assert found.triplet.item() == pytest.approx(triplet)
    assert found.total.item() == pytest.approx(0.5 * cross_entropy + 2.0 * triplet)


def test_a_part_of_weight_zero_is_neither_computed_nor_counted() -> None:
    branch = Branch(torch.full((8, 4), torch.nan), features()[:, :3])
    found = compute(Objective(cross_entropy=1.0, triplet=0.0), (branch,), IDENTITIES)
    assert found.triplet.item() == 0
    assert found.total.isfinite()


def test_label_smoothing_is_the_mixture_with_the_uniform_distribution() -> None:
    logits = features()[:, :3]
    found = compute(Objective(triplet=0, label_smoothing=0.1), (Branch(features(), logits),), IDENTITIES)
    log_p = logits.log_softmax(1)
    target = torch.full((8, 3), 0.1 / 3, dtype=torch.float64)
    target[torch.arange(8), IDENTITIES] += 0.9
    assert found.total.item() == pytest.approx(-(target * log_p).sum(1).mean().item())
