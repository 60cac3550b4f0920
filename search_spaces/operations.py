"""The operations of DARTS on feature maps (batch, C, h, w), and what a cell is made of besides.

Convolutions come in the order ReLU, convolution, norm. Stride 2 halves both sides, rounding up, so that odd
sizes fit together. `affine` says whether norms have parameters: they have none during a search. Source:
DARTS, as Auto-ReID, section 3.2, takes it over.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.part_aware import PartAware
from search_spaces.places import NONE

POOLINGS = ("max_pool_3x3", "avg_pool_3x3")
# Operations without parameters at stride 1: a genotype of many of them is a sign of collapse.
PARAMETER_FREE = (NONE, *POOLINGS, "skip_connect")


class ReLUConvNorm(nn.Sequential):
    """ReLU, 1x1 convolution, norm."""

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        super().__init__(
            nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs, affine=affine)
        )


class FactorizedReduce(nn.Module):
    """Half the size without losing pixels: two strided 1x1 convolutions, one of them shifted by a pixel.

    >>> FactorizedReduce(4, 6)(torch.randn(2, 4, 5, 3)).shape
    torch.Size([2, 6, 3, 2])
    """

    def __init__(self, inputs: int, outputs: int, affine: bool = True) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        # A row and a column of zeros at the end, so that both halves have the same size for odd sides too.
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        reduced: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return reduced


class Zero(nn.Module):
    """No connection: zeros of the size that the other operations have."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class Pooling(nn.Module):
    """3x3 pooling; during a search a norm follows, so that its output is of the size of the others'."""

    def __init__(self, name: str, channels: int, stride: int, *, search: bool) -> None:
        super().__init__()
        self.pool = (
            nn.MaxPool2d(3, stride, padding=1)
            if name == "max_pool_3x3"
            else nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
        )
        self.norm = nn.BatchNorm2d(channels, affine=False) if search else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = self.norm(self.pool(x))
        return pooled


def _depthwise(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels,
            channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=channels,
            bias=False,
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels, affine=affine),
    ]


def separable(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    """A depthwise-separable convolution applied twice, the stride in the first."""
    return nn.Sequential(
        *_depthwise(channels, kernel, stride, 1, affine), *_depthwise(channels, kernel, 1, 1, affine)
    )


def dilated(channels: int, kernel: int, stride: int, affine: bool) -> nn.Sequential:
    """A depthwise-separable convolution of dilation 2, applied once."""
    return nn.Sequential(*_depthwise(channels, kernel, stride, 2, affine))


def operation(name: str, channels: int, stride: int, *, search: bool = False) -> nn.Module:
    """The operation of a name, channels -> channels. `search` builds the form that it has during a search.

    >>> operation("dil_conv_5x5", 4, stride=2)(torch.randn(2, 4, 9, 5)).shape
    torch.Size([2, 4, 5, 3])
    """
    affine = not search
    if name == NONE:
        return Zero(stride)
    if name in POOLINGS:
        return Pooling(name, channels, stride, search=search)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, affine)
    if name == "part_aware":
        reduce = None if stride == 1 else FactorizedReduce
        return PartAware(channels, affine=affine, merge=reduce)
    family, _, size = name.rpartition("_")
    build = {"sep_conv": separable, "dil_conv": dilated}[family]
    return build(channels, int(size[0]), stride, affine)
