"""Losses of re-ID training: cross-entropy over identities, distillation, and the batch-hard triplet loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autoreid.models.necks import Branch
from autoreid.objectives import Objective


class Losses(NamedTuple):
    """The weighted total, and each part summed over the branches of the neck."""

    total: Tensor
    cross_entropy: Tensor
    triplet: Tensor
    distillation: Tensor


class Guidance(NamedTuple):
    """What a teacher says of a batch: its logits (batch, identities), None where the labels have taken over;
    the temperature of the epoch, and by what the loss is multiplied."""

    logits: Tensor | None
    temperature: float
    scale: float


def distance(features: Tensor, others: Tensor) -> Tensor:
    """Euclidean distance of each pair of rows: (batch, d), (batch, d) -> (batch,).

    Duplicates are bounded away from 0, where the root has no gradient.
    """
    return (features - others).square().sum(-1).clamp(min=1e-12).sqrt()


def hardest(features: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
    """For each anchor, the row of its farthest positive and that of its nearest negative: (batch,) each.

    Nothing of it leaves the device. Of rows as far, the first. Distances are compared in float64: the sum of
    squares and products, which is the fastest way to all of them, would lose the small ones in float32.
    """
    with torch.no_grad():
        distances = torch.cdist(features.double(), features.double())
        same = identities[:, None] == identities[None, :]
        itself = torch.eye(len(identities), dtype=torch.bool, device=identities.device)
        positive = distances.masked_fill(~same | itself, -torch.inf).argmax(1)
        return positive, distances.masked_fill(same, torch.inf).argmin(1)


def batch_hard_triplet(
    features: Tensor, identities: Tensor, margin: float = 0.3, *, soft: bool = False
) -> Tensor:
    """Mean over anchors of max(0, margin + d(hardest positive) - d(hardest negative)); `soft`: of ln(1 + exp)
    of that difference, without a margin.

    features: (batch, d); identities: (batch,). The anchor is no positive of its own. Every identity must
    appear twice or more, and there must be two identities or more. Only the distances to the hardest ones are
    kept for the gradient. Source: Hermans et al., as CDNet and Auto-ReID use it.

    >>> batch_hard_triplet(torch.tensor([[0.0], [1.0], [3.0], [3.5]]), torch.tensor([0, 0, 1, 1]), 0.3)
    tensor(0.)
    """
    features = _precise(features)
    far, near = hardest(features, identities)
    positive, negative = distance(features, features[far]), distance(features, features[near])
    if soft:
        return F.softplus(positive - negative).mean()
    return (margin + positive - negative).relu().mean()


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean over the batch of the cross-entropy between softmax(teacher / T) and softmax(student / T); the
    gradient by the student's logits is (p_student - p_teacher) / T. Logits: (batch, identities); T > 0.
    Source: KDAS-ReID, Eq. 5.

    >>> logits = torch.tensor([[1.0, 3.0]]).log()
    >>> round(distillation(logits, logits, 1.0).item(), 4)  # the entropy of 1/4 and 3/4
    0.5623
    """
    wanted = (_precise(teacher) / temperature).softmax(1)
    return -(wanted * (_precise(student) / temperature).log_softmax(1)).sum(1).mean()


def _precise(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def compute(
    objective: Objective,
    branches: tuple[Branch, ...],
    identities: Tensor,
    guidance: Guidance | None = None,
) -> Losses:
    """The objective over all branches of the neck: for FBLNeck L_tri1 + L_id1 + L_tri2 + L_id2 (CDNet,
    Eq. 10). A part of weight 0 is not computed and reported as 0. `guidance` is what a distillation needs; it
    is reported without its scale."""
    zero = branches[0].logits.new_zeros((), dtype=torch.float32)
    cross_entropy, triplet, distilled = zero, zero, zero
    for branch in branches:
        if objective.cross_entropy:
            logits, smoothing = _precise(branch.logits), objective.label_smoothing
            cross_entropy = cross_entropy + F.cross_entropy(logits, identities, label_smoothing=smoothing)
        if objective.triplet:
            triplet = triplet + batch_hard_triplet(
                branch.feature, identities, objective.margin, soft=objective.soft_margin
            )
        if objective.distillation:
            assert guidance is not None, "a distillation without a teacher"
            distilled = distilled + _guided(branch.logits, identities, guidance)
    total = objective.cross_entropy * cross_entropy + objective.triplet * triplet
    if objective.distillation:
        assert guidance is not None
        total = total + objective.distillation * guidance.scale * distilled
    return Losses(total, cross_entropy, triplet, distilled)


def correct(branches: tuple[Branch, ...], identities: Tensor) -> Tensor:
    """How many images the first classifier gives their identity, float32."""
    return (branches[0].logits.argmax(1) == identities).sum().float()


def _guided(logits: Tensor, identities: Tensor, guidance: Guidance) -> Tensor:
    """The distillation of one branch; at temperature 0 the cross-entropy with the labels."""
    if guidance.logits is None:
        return F.cross_entropy(_precise(logits), identities)
    return distillation(logits, guidance.logits, guidance.temperature)
