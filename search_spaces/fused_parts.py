"""The part-aware module on several edges at once.

Its last layer is linear: what it makes of the map and of the parts' vectors can be computed apart, the latter
before they are repeated over their stripes. So nothing is put side by side or repeated at the map's size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.fused_norms import Norms
from search_spaces.fused_operations import factorized, side_by_side
from search_spaces.fused_states import as_pixels
from search_spaces.operations import FactorizedReduce
from search_spaces.part_aware import PartAware


def part_vectors(modules: Sequence[PartAware], stripes: Tensor, norms: Norms) -> Tensor:
    """What the last layer adds to every part's pixels: stripes (edges, batch, parts, C) -> the same shape;
    where it is a `FactorizedReduce`, 2 * parts, those of its first convolution before those of its second."""
    attended = _attend(modules, _project(modules, stripes, norms))
    channels = stripes.shape[-1]
    if isinstance(modules[0].merge, FactorizedReduce):
        return _added_halved(modules, attended.relu(), channels)
    last = torch.stack([module.merge[0].weight[:, channels:, 0, 0] for module in modules])  # type: ignore[index]
    return torch.matmul(attended, last.transpose(1, 2)[:, None])


def _project(modules: Sequence[PartAware], stripes: Tensor, norms: Norms) -> Tensor:
    """A linear layer and a norm of its own for every edge and part: (edges, batch, parts, hidden)."""
    layers = [stripe for module in modules for stripe in module.stripes]
    sizes = (len(modules), modules[0].parts)
    weight = torch.stack([layer[1].weight for layer in layers]).unflatten(0, sizes)  # type: ignore[index]
    bias = torch.stack([layer[1].bias for layer in layers]).unflatten(0, sizes)  # type: ignore[index]
    by_part = stripes.relu().transpose(1, 2)  # (edges, parts, batch, C)
    vectors = torch.matmul(by_part, weight.transpose(2, 3)) + bias[:, :, None]
    flat = vectors.permute(2, 0, 1, 3).flatten(1)
    flat = norms.apply(flat, [layer[2] for layer in layers])  # type: ignore[index]
    return flat.unflatten(1, (*sizes, -1)).transpose(0, 1)


def _attend(modules: Sequence[PartAware], vectors: Tensor) -> Tensor:
    def linear(name: str) -> Tensor:
        layers = [getattr(module, name) for module in modules]
        weight = torch.stack([layer.weight for layer in layers])[:, None]
        return (
            torch.matmul(vectors, weight.transpose(2, 3))
            + torch.stack([layer.bias for layer in layers])[:, None, None]
        )

    attention = torch.matmul(linear("query"), linear("key").transpose(2, 3)).softmax(-1)
    return torch.matmul(attention, vectors)


def _added_halved(modules: Sequence[PartAware], attended: Tensor, channels: int) -> Tensor:
    merges = [module.merge for module in modules]
    added = []
    for name in ("even", "odd"):
        weight = torch.stack([getattr(merge, name).weight[:, channels:, 0, 0] for merge in merges])
        outputs = weight.shape[1]
        # Each convolution brings its own half of the channels.
        space = (0, channels - outputs) if name == "even" else (channels - outputs, 0)
        added.append(F.pad(torch.matmul(attended, weight.transpose(1, 2)[:, None]), space))
    return torch.cat(added, dim=2)


def part_aware(
    modules: Sequence[PartAware], x: Tensor, vectors: Tensor, places: Tensor, scale: Tensor, norms: Norms
) -> Tensor:
    """`part_aware` on a group of edges: x (batch, edges * C, h, w) is the map, or at stride 2 `State.halves`;
    `vectors` are theirs of `part_vectors`, `places` is `State.places`."""
    merges = [module.merge for module in modules]
    if isinstance(merges[0], FactorizedReduce):
        channels = x.shape[1] // len(modules) // 2
        kernels = [factorized(merge, channels) for merge in merges]  # type: ignore[arg-type]
        last = [merge.norm for merge in merges]
    else:
        channels = x.shape[1] // len(modules)
        kernels = [merge[0].weight[:, :channels] for merge in merges]  # type: ignore[index]
        last = [merge[1] for merge in merges]  # type: ignore[index]
    found = F.conv2d(x, side_by_side(kernels), groups=len(modules))
    added = vectors.permute(1, 2, 0, 3).flatten(2)  # (batch, parts, edges * C)
    rows = found.shape[2]
    pixels = torch.baddbmm(as_pixels(found), places.expand(len(found), -1, -1), added)
    return norms.apply(pixels.unflatten(1, (rows, -1)).permute(0, 3, 1, 2), last, scale)  # type: ignore[arg-type]
