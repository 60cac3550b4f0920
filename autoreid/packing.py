"""Many small tensors as few large ones: a checkpoint of a supernet holds ten thousand, and to write each by
itself takes longer than an epoch of a small search."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Stands for a tensor in the tree, followed by its number; no other text begins like this.
MARK = "\0tensor "
PACKED = ("tree", "shapes", "joined")


def pack(tree: Any) -> dict[str, Any]:
    """Nested dictionaries, lists and tuples of plain values and tensors, the tensors side by side: one for
    each dtype, on the CPU.

    >>> packed = pack({"a": torch.zeros(2, 3), "b": [torch.ones(4), 5]})
    >>> [tuple(joined.shape) for joined in packed["joined"].values()], packed["shapes"]
    ([(10,)], [('float32', (2, 3)), ('float32', (4,))])
    """
    parts: dict[str, list[Tensor]] = {}
    shapes: list[tuple[str, tuple[int, ...]]] = []

    def packed(value: Any) -> Any:
        if isinstance(value, Tensor):
            kind = str(value.dtype).removeprefix("torch.")
            parts.setdefault(kind, []).append(value.detach().cpu().flatten())
            shapes.append((kind, tuple(value.shape)))
            return f"{MARK}{len(shapes) - 1}"
        return _within(value, packed)

    plain = packed(tree)
    return {
        "tree": plain,
        "shapes": shapes,
        "joined": {kind: torch.cat(each) for kind, each in parts.items()},
    }


def unpack(content: dict[str, Any]) -> Any:
    """What `pack` was given; tensors are contiguous, and share memory with no other."""
    sizes: dict[str, list[int]] = {kind: [] for kind in content["joined"]}
    for kind, shape in content["shapes"]:
        sizes[kind].append(torch.Size(shape).numel())
    parts = {kind: iter(joined.split(sizes[kind])) for kind, joined in content["joined"].items()}
    tensors = [next(parts[kind]).view(shape).clone() for kind, shape in content["shapes"]]

    def unpacked(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(MARK):
            return tensors[int(value.removeprefix(MARK))]
        return _within(value, unpacked)

    return unpacked(content["tree"])


def _within(value: Any, change: Any) -> Any:
    """The same value with `change` made to all that it holds."""
    if isinstance(value, dict):
        return {key: change(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(change(each) for each in value)
    return value
