"""Batch norms of several operations as one call, each with its own running statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AnyNorm = nn.BatchNorm2d | nn.BatchNorm1d
RUNNING = ("running_mean", "running_var")


class Seen(NamedTuple):
    """What a norm saw of a batch, (C,) each; of the variance the estimate without bias."""

    norm: AnyNorm
    mean: Tensor
    variance: Tensor


class Norms:
    """The norms of one pass through a cell. Those in training note what they saw, until `store` moves their
    running statistics, all of them at once."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def apply(self, x: Tensor, norms: Sequence[AnyNorm], scale: Tensor | None = None) -> Tensor:
        """Norms without parameters, side by side: x (batch, norms * C, ...) -> the same shape.

        `scale`, (norms * C,), multiplies what they bring: a norm does that at no cost.
        """
        first, channels = norms[0], x.shape[1] // len(norms)
        if scale is not None:  # contiguous: the kernels for channels_last look at no strides
            scale = scale.to(_buffer(first, "running_mean").dtype).contiguous()
        if not first.training:
            mean, variance = (_joined([_buffer(norm, name) for norm in norms]) for name in RUNNING)
            return F.batch_norm(x, mean, variance, scale, None, False, 0.0, first.eps)
        found, mean, variance = _of_batch(x, first, scale)
        if len(norms) == 1:
            self.seen.append(Seen(first, mean, variance))
        else:
            self.seen += map(Seen, norms, mean.split(channels), variance.split(channels))
        return found

    def apply_shared(self, x: Tensor, norms: Sequence[AnyNorm]) -> Tensor:
        """The same map through several norms in training: one result, since they have no parameters."""
        found, mean, variance = _of_batch(x, norms[0], None)
        self.seen += [Seen(norm, mean, variance) for norm in norms]
        return found

    def store(self) -> None:
        """Move the running statistics as each norm would have done by itself."""
        momentum = self.seen[0].norm.momentum if self.seen else None
        if not momentum:  # in evaluation, or where a batch is seen again
            return
        norms = [seen.norm for seen in self.seen]
        for name, values in zip(RUNNING, list(zip(*self.seen, strict=True))[1:], strict=True):
            torch._foreach_lerp_([_buffer(norm, name) for norm in norms], values, momentum)
        torch._foreach_add_([_buffer(norm, "num_batches_tracked") for norm in norms], 1)


def _of_batch(x: Tensor, like: AnyNorm, scale: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """x normalised by its own statistics, and these."""
    # Running statistics that move by all of the batch's hold the batch's.
    mean, variance = _buffer(like, "running_mean").new_zeros((2, x.shape[1])).unbind()
    found = F.batch_norm(x, mean, variance, scale, None, True, 1.0, like.eps)
    return found, mean, variance


def _buffer(norm: AnyNorm, name: str) -> Tensor:
    found: Tensor = getattr(norm, name)
    return found


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
