"""The part-aware module: body stripes that attend to each other. Source: Auto-ReID, section 3.3, Figure 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from search_spaces.errors import InputError

PARTS = 4


class PartAware(nn.Module):
    """Map (batch, C, h, w) -> map of C channels that knows of the body's parts.

    The rows are split into `parts` stripes, as even as h allows. Each is pooled to a vector, and brought to
    C // 3 channels by a linear layer of its own; the vectors attend to each other; each is repeated over its
    own stripe, beside the input, and a 1x1 convolution brings both back to C. `merge` builds that last layer
    where it is something else: (inputs, outputs, affine) -> module. InputError for fewer rows than parts.
    """

    def __init__(
        self,
        channels: int,
        parts: int = PARTS,
        *,
        affine: bool = True,
        merge: Callable[[int, int, bool], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        hidden = hidden_channels(channels)
        self.parts = parts
        self.stripes = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Linear(channels, hidden), nn.BatchNorm1d(hidden, affine=affine))
            for _ in range(parts)
        )
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.merge = (merge or _pointwise)(channels + hidden, channels, affine)

    def forward(self, x: Tensor) -> Tensor:
        check_rows(x.shape[2], self.parts)
        stripes = x.tensor_split(self.parts, dim=2)
        pooled = [stripe.mean((2, 3)) for stripe in stripes]
        vectors = torch.stack([layer(p) for layer, p in zip(self.stripes, pooled, strict=True)], dim=1)
        attention = (self.query(vectors) @ self.key(vectors).transpose(1, 2)).softmax(-1)
        attended = attention @ vectors  # (batch, parts, hidden)
        rows = [
            attended[:, part, :, None, None].expand(-1, -1, stripe.shape[2], x.shape[3])
            for part, stripe in enumerate(stripes)
        ]
        merged: Tensor = self.merge(torch.cat([x, torch.cat(rows, dim=2)], dim=1))
        return merged


def hidden_channels(channels: int) -> int:
    """Channels of a part's vector; InputError where there would be none."""
    if channels < 3:
        raise InputError(f"channels: {channels} is too small for part_aware. Use 3 or more.")
    return channels // 3


def check_rows(rows: int, parts: int) -> None:
    """InputError where a map has fewer rows than the module has parts."""
    if rows < parts:
        raise InputError(
            f"part_aware: {parts} parts of a map that is {rows} rows high. Use higher images, or a space "
            "without part_aware."
        )


def _pointwise(inputs: int, outputs: int, affine: bool) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs, affine=affine))
