"""Losses of re-ID training: cross-entropy over identities and the batch-hard triplet loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autoreid.models.necks import Branch
from autoreid.recipes import Objective


class Losses(NamedTuple):
    """The weighted total, and each part summed over the branches of the neck."""

    total: Tensor
    cross_entropy: Tensor
    triplet: Tensor


def pairwise_distance(features: Tensor) -> Tensor:
    """Euclidean distances of all pairs: (batch, d) -> (batch, batch).

    By differences: the faster sum of squares and products loses the small distances, most of all in tf32. The
    diagonal and duplicates are bounded away from 0, where the root has no gradient.
    """
    differences = features[:, None] - features[None, :]
    return differences.square().sum(-1).clamp(min=1e-12).sqrt()


def batch_hard_triplet(
    features: Tensor, identities: Tensor, margin: float = 0.3, *, soft: bool = False
) -> Tensor:
    """Mean over anchors of max(0, margin + d(hardest positive) - d(hardest negative)); `soft`: of ln(1 + exp)
    of that difference, without a margin.

    features: (batch, d); identities: (batch,). The anchor is no positive of its own. Every identity must
    appear twice or more, and there must be two identities or more. Source: Hermans et al., as CDNet and
    Auto-ReID use it.

    >>> batch_hard_triplet(torch.tensor([[0.0], [1.0], [3.0], [3.5]]), torch.tensor([0, 0, 1, 1]), 0.3)
    tensor(0.)
    """
    distances = pairwise_distance(features.float() if features.dtype != torch.float64 else features)
    same = identities[:, None] == identities[None, :]
    itself = torch.eye(len(identities), dtype=torch.bool, device=identities.device)
    positive = distances.masked_fill(~same | itself, -torch.inf).amax(1)
    negative = distances.masked_fill(same, torch.inf).amin(1)
    if soft:
        return F.softplus(positive - negative).mean()
    return (margin + positive - negative).relu().mean()


def compute(objective: Objective, branches: tuple[Branch, ...], identities: Tensor) -> Losses:
    """The objective over all branches of the neck: for FBLNeck L_tri1 + L_id1 + L_tri2 + L_id2 (CDNet,
    Eq. 10). A part of weight 0 is not computed and reported as 0."""
    zero = branches[0].logits.new_zeros((), dtype=torch.float32)
    cross_entropy, triplet = zero, zero
    for branch in branches:
        if objective.cross_entropy:
            logits = branch.logits if branch.logits.dtype == torch.float64 else branch.logits.float()
            smoothing = objective.label_smoothing
            cross_entropy = cross_entropy + F.cross_entropy(logits, identities, label_smoothing=smoothing)
        if objective.triplet:
            triplet = triplet + batch_hard_triplet(
                branch.feature, identities, objective.margin, soft=objective.soft_margin
            )
    total = objective.cross_entropy * cross_entropy + objective.triplet * triplet
    return Losses(total, cross_entropy, triplet)
