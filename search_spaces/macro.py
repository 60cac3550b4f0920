"""How large the networks of a space are built. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Macro:
    """The size of a network around its cells or blocks; a space reads what it has.

    `width_multiplier` scales the channels of CDNet's body; `channels` are those of a node in the first block
    of a cell network, `layers` the cells of each of its blocks; `drop_path` is the probability that a cell
    network in training drops a connection.
    """

    width_multiplier: float = 1.0
    channels: int = 64
    layers: tuple[int, ...] = (2, 2, 2, 2)
    drop_path: float = 0.0


MACRO = Macro()
