"""A state of a cell, and what several of the edges that leave it need of it, each computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.part_aware import check_rows


def _once(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A method that computes what it is asked for the first time: `functools.cached_property` without its
    lock, which torch.compile cannot enter, and for methods with an argument."""

    @wraps(compute)
    def look(state: State, *given: int) -> Tensor:
        key = (compute.__name__, *given)
        if key not in state.known:
            state.known[key] = compute(state, *given)
        return state.known[key]

    return look


class State:
    """A map (batch, C, h, w) that edges of one stride leave; all that is asked of it is computed once."""

    def __init__(self, x: Tensor, stride: int) -> None:
        self.x = x
        self.stride = stride
        self.known: dict[tuple[object, ...], Tensor] = {}

    @property
    @_once
    def positive(self) -> Tensor:
        return F.relu(self.x)

    @property
    @_once
    def max_pool_3x3(self) -> Tensor:
        return F.max_pool2d(self.x, 3, self.stride, padding=1)

    @property
    @_once
    def avg_pool_3x3(self) -> Tensor:
        return F.avg_pool2d(self.x, 3, self.stride, padding=1, count_include_pad=False)

    @property
    @_once
    def quarters(self) -> Tensor:
        return quarters(self.positive)

    @property
    @_once
    def thinned(self) -> Tensor:
        """Of `positive` what a convolution of dilation 2 sees of it, as one of dilation 1 wants it.

        At stride 2 it sees every other row and column, (batch, C, h / 2, w / 2); at stride 1 four such maps,
        which never meet: (4 * batch, C, h / 2, w / 2). Dilated depthwise convolutions have slow kernels: on a
        CPU the backward of this form took a tenth of the time.
        """
        return self.quarters[: len(self.x)] if self.stride == 2 else self.quarters

    @property
    @_once
    def halves(self) -> Tensor:
        """What the two convolutions of a `FactorizedReduce` see, (batch, 2 C, h / 2, w / 2)."""
        return halves(self.quarters)

    @_once
    def stripes(self, parts: int) -> Tensor:
        """The mean of every part's rows, (batch, parts, C)."""
        shares = self._part_of_pixel(parts)
        return torch.matmul((shares / shares.sum(0)).T, as_pixels(self.x))

    @_once
    def places(self, parts: int) -> Tensor:
        """Where in the output a part's vector is added, 0 or 1: (h * w, parts). At stride 2, as for `halves`,
        what an even and what an odd pixel brings: (h * w / 4, 2 * parts)."""
        shares = self._part_of_pixel(parts)
        if self.stride == 1:
            return shares
        grid = shares.unflatten(0, tuple(self.x.shape[2:]))
        shifted = F.pad(grid, (0, 0, 0, 1, 0, 1))[1::2, 1::2]
        return torch.cat([grid[::2, ::2], shifted], dim=2).flatten(0, 1)

    @_once
    def _part_of_pixel(self, parts: int) -> Tensor:
        """1 where a pixel belongs to a part, else 0, (h * w, parts)."""
        rows, columns = self.x.shape[2:]
        check_rows(rows, parts)
        one = torch.eye(parts, dtype=self.x.dtype, device=self.x.device)
        heights = [rows // parts + (part < rows % parts) for part in range(parts)]
        by_row = torch.cat([one[part].expand(height, -1) for part, height in enumerate(heights)])
        return by_row[:, None].expand(-1, columns, -1).flatten(0, 1)


def as_pixels(x: Tensor) -> Tensor:
    """(batch, C, h, w) -> (batch, h * w, C), without a copy in channels_last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def quarters(x: Tensor) -> Tensor:
    """The four maps of every other row and column, (batch, C, h, w) -> (4 * batch, C, h / 2, w / 2), rounded
    up; zeros follow the last row and column where that is odd. In channels_last, like all maps here."""
    found: Tensor = _Quarters.apply(x)
    return found


def whole(quarters: Tensor, rows: int, columns: int) -> Tensor:
    """The map whose `quarters` these are."""
    found: Tensor = _Whole.apply(quarters, rows, columns)
    return found


def halves(quarters: Tensor) -> Tensor:
    """The first and the last of four quarters side by side: what a `FactorizedReduce` convolves."""
    first, _, _, last = quarters.chunk(4)
    return torch.cat([first, last], dim=1)


class _Quarters(torch.autograd.Function):
    """Of two rearrangements each is the other's derivative: one copy, where autograd's own takes several."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = rows, columns = x.shape[2:]
        x = F.pad(x, (0, columns % 2, 0, rows % 2)) if rows % 2 or columns % 2 else x
        split = x.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).permute(2, 4, 0, 1, 3, 5)
        return split.flatten(0, 2).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return whole(gradient, *ctx.size)


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, quarters: Tensor, rows: int, columns: int) -> Tensor:
        split = quarters.permute(0, 2, 3, 1).unflatten(0, (2, 2, -1)).permute(2, 3, 0, 4, 1, 5)
        joined = split.flatten(3, 4).flatten(1, 2)[:, :rows, :columns]
        return joined.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return quarters(gradient), None, None
