"""Sums of large maps: weighted ones, and what comes back to a sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def weighted_sums(maps: Sequence[Tensor], weights: Tensor, together: bool) -> Sequence[Tensor]:
    """One sum per row of the weights, (sums, maps). `together`: by one matrix product, for a GPU."""
    if together:
        flat = torch.stack([each.permute(0, 2, 3, 1) for each in maps])
        sums = torch.tensordot(weights.to(flat.dtype), flat, 1)
        return [each.permute(0, 3, 1, 2) for each in sums.unbind()]
    found: Sequence[Tensor] = _Sums.apply(weights, *maps)
    return found


class _Sums(torch.autograd.Function):
    """The maps' gradients are such sums too; autograd's own would first write every product by itself."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(weights, *maps)
        sums = []
        for row in weights:
            total = maps[0] * row[0]
            for each, weight in zip(maps[1:], row[1:], strict=True):
                total.addcmul_(each, weight.to(total.dtype))
            sums.append(total)
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights, *maps = ctx.saved_tensors
        of_weights = None
        if ctx.needs_input_grad[0]:
            products = [[(gradient * each).sum() for each in maps] for gradient in gradients]
            of_weights = torch.stack([torch.stack(row) for row in products]).to(weights.dtype)
        if not any(ctx.needs_input_grad[1:]):
            return of_weights, *([None] * len(maps))
        return of_weights, *weighted_sums(gradients, weights.T, False)


def with_dense_gradient(x: Tensor) -> Tensor:
    """The same map; its gradient is brought into the map's own memory format before it goes on.

    The gradient of one of several maps that were put side by side is a view into that of the whole. All
    operations of a block get the same one, and a norm with a scale takes eight times as long on a view.
    """
    found: Tensor = _DenseGradient.apply(x)
    return found


class _DenseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        last = x.is_contiguous(memory_format=torch.channels_last)
        ctx.format = torch.channels_last if last else torch.contiguous_format
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.contiguous(memory_format=ctx.format)
