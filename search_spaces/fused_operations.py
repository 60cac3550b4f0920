"""The operations of several edges as one: maps and weights of the edges side by side along the channels.

Each function takes the modules of one option on a group of edges and what these read, (batch, edges * C, h,
w), and gives what they bring, scaled by the edges' weights of that option, in the same form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.fused_norms import Norms
from search_spaces.fused_states import halves, quarters, whole
from search_spaces.operations import FactorizedReduce

# What modules hold is known where they are built: by the names of the options.
Modules = Sequence[Any]


def separable(modules: Modules, x: Tensor, scale: Tensor, norms: Norms) -> Tensor:
    """`sep_conv`; x has gone through ReLU."""
    for begin, scaling in ((0, None), (4, scale)):
        _, depthwise, pointwise, norm = zip(*(module[begin : begin + 4] for module in modules), strict=True)
        x = _convolved(_convolved(x, depthwise), pointwise)
        x = norms.apply(x, norm, scaling)
        if scaling is None:
            x = F.relu_(x)  # a norm's backward does not need what it brought
    return x


def dilated(modules: Modules, thinned: Tensor, shape: torch.Size, scale: Tensor, norms: Norms) -> Tensor:
    """`dil_conv` on `State.thinned`; `shape` is that of the map which it brings.

    Of four maps with even sides the quarters are brought as they are: all that follows looks at single
    pixels, and they are put together once for a block.
    """
    _, depthwise, pointwise, norm = zip(*modules, strict=True)
    x = F.conv2d(
        thinned,
        side_by_side([each.weight for each in depthwise]),
        padding=depthwise[0].kernel_size[0] // 2,
        groups=thinned.shape[1],
    )
    if len(x) != shape[0] and (shape[2] % 2 or shape[3] % 2):
        x = whole(x, *shape[2:])  # what was padded must not be seen by the norm
    return norms.apply(_convolved(x, pointwise), norm, scale)


def reduced(modules: Modules, x: Tensor, scale: Tensor, norms: Norms) -> Tensor:
    """`skip_connect` of stride 2, a `FactorizedReduce`, on `State.halves`."""
    kernels = side_by_side([factorized(module) for module in modules])
    x = F.conv2d(x, kernels, groups=len(modules))
    return norms.apply(x, [module.norm for module in modules], scale)


def preprocessed(module: nn.Module, x: Tensor, norms: Norms) -> Tensor:
    """An input of a cell at the cell's size, by the module of its plain form."""
    if not isinstance(module, FactorizedReduce):
        found: Tensor = module(x)
        return found
    x = F.conv2d(halves(quarters(F.relu(x))), factorized(module))
    return norms.apply(x, [module.norm])


def pooled(modules: Modules, x: Tensor, scale: Tensor, norms: Norms) -> Tensor:
    """The norms of a pooling, in evaluation."""
    return norms.apply(x, [module.norm for module in modules], scale)


def factorized(module: FactorizedReduce, channels: int | None = None) -> Tensor:
    """Both convolutions as one on `State.halves`, (outputs, 2 * channels, 1, 1): of the first channels."""
    even, odd = module.even.weight[:, :channels], module.odd.weight[:, :channels]
    read = even.shape[1]
    # Each half of the outputs sees its own half of the inputs.
    return torch.cat([F.pad(even, (0, 0, 0, 0, 0, read)), F.pad(odd, (0, 0, 0, 0, read, 0))])


def side_by_side(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim)


def _convolved(x: Tensor, convolutions: Sequence[nn.Conv2d]) -> Tensor:
    first = convolutions[0]
    return F.conv2d(
        x,
        side_by_side([each.weight for each in convolutions]),
        stride=first.stride,
        padding=first.padding,
        groups=len(convolutions) * first.groups,
    )
