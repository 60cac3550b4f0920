"""Auto-ReID's parts against literal computations: recipes, losses, head, and the gradient of the alphas."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from autoreid import losses
from autoreid.data.source import DataSource
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.feed import prepare
from autoreid.losses import batch_hard_triplet
from autoreid.models.necks import Branch, EmbeddingHead, build_neck
from autoreid.objectives import Objective
from autoreid.published import AUTO_REID_SEARCH, AUTO_REID_TRAIN, AUTO_REID_TRAIN_IMAGENET
from autoreid.recipes import Neck
from autoreid.searching import SearchRun
from autoreid.values import override
from search_spaces.space import FeatureMaps

IDENTITIES = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])


def test_the_recipes_are_those_of_section_4() -> None:
    search, train, imagenet = AUTO_REID_SEARCH, AUTO_REID_TRAIN, AUTO_REID_TRAIN_IMAGENET
    assert (search.space, search.relaxation, search.split.name, search.split.fraction) == (
        *("reid-v1", "softmax", "by-image", 0.5),
    )
    assert (search.height, search.width, search.channels, search.layers) == (256, 128, 32, (2, 2, 2, 2))
    assert (search.epochs, search.batch.size, search.batch.images) == (200, 16, 2)
    for objective in (search.objective, search.alpha_objective, train.objective):
        assert (objective.cross_entropy, objective.triplet, objective.margin) == (0.5, 0.5, 0.3)
    weights, alphas = search.optimizer, search.alpha_optimizer
    assert (weights.name, weights.learning_rate, weights.momentum, weights.weight_decay) == (
        *("sgd", 0.1, 0.9, 5e-4),
    )
    assert (weights.schedule.name, weights.schedule.end) == ("cosine", 0.001)
    assert (alphas.name, alphas.learning_rate, alphas.momentum, alphas.beta2) == ("adam", 0.02, 0.5, 0.999)
    assert (alphas.weight_decay, alphas.schedule.milestones, alphas.schedule.factor) == (5e-4, (60, 150), 0.1)
    assert (train.height, train.width, train.channels, train.epochs) == (384, 128, 64, 240)
    assert (train.batch.identities, train.batch.images, imagenet.batch.identities) == (8, 4, 16)
    used = train.optimizer
    assert (used.name, used.learning_rate, used.momentum, used.weight_decay) == ("adam", 0.0035, 0.9, 5e-4)
    assert used.schedule.milestones == (80, 140)
    assert (imagenet.weights, train.weights, train.drop_path) == ("imagenet", "", 0.0)


def features(seed: int) -> torch.Tensor:
    return torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def literal_soft_triplet(x: torch.Tensor, ids: list[int]) -> float:
    """A loop over anchors, with Python's own arithmetic."""
    total = 0.0
    for a in range(len(ids)):
        distances = [math.dist(x[a].tolist(), x[b].tolist()) for b in range(len(ids))]
        positives = [d for b, d in enumerate(distances) if ids[b] == ids[a] and b != a]
        negatives = [d for b, d in enumerate(distances) if ids[b] != ids[a]]
        total += math.log(1 + math.exp(max(positives) - min(negatives)))
    return total / len(ids)


@pytest.mark.parametrize("seed", range(5))
def test_the_soft_margin_equals_a_literal_loop(seed: int) -> None:
    x = features(seed)
    found = batch_hard_triplet(x, IDENTITIES, soft=True).item()
    assert found == pytest.approx(literal_soft_triplet(x, IDENTITIES.tolist()), abs=1e-9)
    assert torch.autograd.gradcheck(
        lambda v: batch_hard_triplet(v, IDENTITIES, soft=True), (x.requires_grad_(),)
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_retrieval_loss_weighs_both_by_lambda(share: float) -> None:
    x = features(3)
    logits = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    objective = override(Objective(), {"lambda": share, "soft_margin": True})
    assert (objective.cross_entropy, objective.triplet) == (share, 1 - share)
    found = losses.compute(objective, (Branch(x, logits),), IDENTITIES).total.item()
    rows = logits.log_softmax(1)
    softmax_loss = -sum(rows[i, label].item() for i, label in enumerate(IDENTITIES.tolist())) / 8
    triplet = literal_soft_triplet(x, IDENTITIES.tolist())
    assert found == pytest.approx(share * softmax_loss + (1 - share) * triplet, abs=1e-9)


@pytest.mark.parametrize("share", [-0.1, 1.01, "x"])
def test_a_lambda_outside_0_to_1_is_refused(share: object) -> None:
    with pytest.raises(InputError, match=r"objective\.lambda: .* is not (between 0 and 1|a number)"):
        override(AUTO_REID_SEARCH, {"objective.lambda": share})


def head(**fields: object) -> EmbeddingHead:
    found = build_neck(override(Neck(name="embedding", embedding=16), fields), (6, 8), 5)
    assert isinstance(found, EmbeddingHead)
    return found


MAPS = FeatureMaps(
    torch.randn(4, 6, 7, 3, generator=torch.Generator().manual_seed(0)),
    torch.randn(4, 8, 7, 3, generator=torch.Generator().manual_seed(1)),
)


def test_the_head_is_pool_embedding_norm_and_classifier() -> None:
    neck = head().eval()
    f = MAPS.last.mean((2, 3))
    linear, norm = neck.embedding[1], neck.embedding[2]
    assert isinstance(linear, nn.Linear) and isinstance(norm, nn.BatchNorm1d)
    norm.running_mean = torch.full((16,), 0.5)
    norm.running_var = torch.full((16,), 4.0)
    g = (f @ linear.weight.T + linear.bias - 0.5) / (4 + 1e-5) ** 0.5
    last = neck.classifier[1]
    assert isinstance(last, nn.Linear)
    (branch,) = neck.branches(MAPS)
    torch.testing.assert_close(branch.feature, f)
    torch.testing.assert_close(branch.logits, g @ last.weight.T + last.bias)
    torch.testing.assert_close(neck.embed(MAPS), f)
    neck.takes_g = True
    torch.testing.assert_close(neck.embed(MAPS), g)


@pytest.mark.parametrize(("feature", "length", "kept"), [("f", 8, set()), ("g", 16, {"embedding"})])
def test_the_feature_at_test_time_is_chosen(feature: str, length: int, kept: set[str]) -> None:
    neck = head(feature=feature).eval()
    before = neck.embed(MAPS)
    assert before.shape == (4, length) and neck.feature_dim == length
    for part in neck.training_only:
        delattr(neck, part)
    assert {name for name, _ in neck.named_children()} == kept
    torch.testing.assert_close(neck.embed(MAPS), before)


def test_both_dropouts_act_in_training_alone() -> None:
    for name in ("embedding", "classifier"):
        dropout = getattr(head(dropout=0.25), name)[0]
        assert isinstance(dropout, nn.Dropout) and dropout.p == 0.25
    neck = head()
    torch.manual_seed(0)
    first, second = (neck.branches(MAPS)[0] for _ in range(2))
    assert not torch.equal(first.logits, second.logits)
    assert torch.equal(first.feature, second.feature)  # the triplet loss sees f as it is


SMALL = override(
    AUTO_REID_SEARCH,
    {
        "height": 128,
        "width": 32,
        "channels": 4,
        "layers": [1, 1, 1, 1],
        "batch.identities": 4,
        "alpha_scale": 0.3,
        "alpha_objective": {"cross_entropy": 0.6, "triplet": 0.4, "margin": 1.0},
        "epochs": 1,
    },
)


def test_the_alpha_gradient_of_a_step_equals_finite_differences(
    small_source: DataSource, cache: Path
) -> None:
    """Central differences in float64, along single alphas of either cell and along random directions."""
    data = prepare(small_source, SMALL.height, SMALL.width, cache)
    execution = Execution(device="cpu", threads=1)
    run = SearchRun(SMALL, data, split_seed=0, search_seed=0, execution=execution)
    run.model.double()
    places = list(run.alphas)
    run.alphas = {place: alpha.detach().double().requires_grad_() for place, alpha in run.alphas.items()}
    run.alpha_optimizer = torch.optim.SGD(run.alphas.values(), lr=0.0)
    intact = run.held_out.batch
    images, labels = intact(0)
    run.held_out.batch = lambda step: (images.double(), labels)  # type: ignore[method-assign]

    def loss() -> float:
        torch.manual_seed(0)  # the same dropout
        return run._alpha_step(0, run.relax(run.alphas))[0].item()

    loss()
    gradient = torch.cat([alpha.grad for alpha in run.alphas.values() if alpha.grad is not None])
    start = torch.cat([alpha.detach() for alpha in run.alphas.values()])
    sizes = [len(alpha) for alpha in run.alphas.values()]
    assert len(places) == 28 and set(sizes) == {7} and len(gradient) == 28 * 7

    def at(point: torch.Tensor) -> float:
        with torch.no_grad():
            for alpha, values in zip(run.alphas.values(), point.split(sizes), strict=True):
                alpha.copy_(values)
        return loss()

    generator = torch.Generator().manual_seed(0)
    directions = [torch.eye(len(start), dtype=torch.float64)[i] for i in range(3, len(start), 31)]
    directions += list(torch.randn(6, len(start), dtype=torch.float64, generator=generator))
    step = 1e-7  # so small that no ReLU and no maximum switches
    for direction in directions:
        difference = (at(start + step * direction) - at(start - step * direction)) / (2 * step)
        assert difference == pytest.approx(float(gradient @ direction), rel=1e-5, abs=1e-8)
    assert gradient.abs().max() > 1e-4
