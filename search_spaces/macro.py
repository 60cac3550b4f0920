"""How large the networks of a space are built. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stem = Literal["imagenet", "cifar"]


@dataclass(frozen=True, slots=True)
class Macro:
    """The size of a network around its cells or blocks; a space reads what it has.

    `width_multiplier` scales the channels of CDNet's and OSNet's bodies, `channels` those of a node in the
    first block of a cell network, `layers` the cells of each of its blocks; `drop_path` is the probability
    that a cell network in training drops a connection. `stem` is what stands before the first block:
    `imagenet` is the paper's own, which makes images four times smaller, `cifar`, for images of 32x32, a 3x3
    convolution that leaves their size as it is.
    """

    width_multiplier: float = 1.0
    channels: int = 64
    layers: tuple[int, ...] = (2, 2, 2, 2)
    drop_path: float = 0.0
    stem: Stem = "imagenet"

    @property
    def reduction(self) -> int:
        """How many times smaller a map is behind the stem."""
        return 1 if self.stem == "cifar" else 4


MACRO = Macro()
