"""A search cell in few, large steps: the same as its plain form in cells.py, but for rounding.

What leaves a state is computed as soon as the state is known. ReLU and pooling are done once for all edges,
`none` is nothing, norms multiply by the weights of the operations, and of the part-aware module only one 1x1
convolution works on whole maps. `together` has the convolutions and norms of all edges in one call: few
launches for a GPU; a CPU is faster with small tensors, which stay in its cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.fused_norms import Norms
from search_spaces.fused_operations import dilated, pooled, preprocessed, reduced, separable, side_by_side
from search_spaces.fused_parts import part_aware, part_vectors
from search_spaces.fused_states import State, whole
from search_spaces.fused_sums import weighted_sums, with_dense_gradient
from search_spaces.operations import POOLINGS
from search_spaces.places import BLOCKS, NONE

# The states that are known at the same time: both inputs, then one block after the other.
ROUNDS = ((0, 1), (2,), (3,), (4,))


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge that leaves one of the states at hand: its operations by name, the weights of all options."""

    state: State
    block: int
    operations: Mapping[str, Any]
    weights: Tensor


@dataclass(frozen=True, slots=True)
class Form:
    """What a cell computes with: the options of its edges, in the order of their weights, and how."""

    options: tuple[str, ...]
    training: bool
    together: bool


def blocks_of(
    inputs: Sequence[tuple[nn.Module, Tensor]],
    operations: Mapping[str, Sequence[Any]],
    weights: Mapping[str, Tensor],
    stride: int,
    form: Form,
) -> list[Tensor]:
    """The four blocks of a cell from its two inputs, each with the module that brings it to the cell's size.

    `operations` and `weights` are those of all options of every edge, by its key; `stride` is that of the
    edges which leave the inputs.
    """
    norms = Norms()
    totals: dict[tuple[int, bool], Tensor] = {}
    maps = [preprocessed(module, x, norms) for module, x in inputs]
    for sources in ROUNDS:
        states = [State(maps[source], stride if source < 2 else 1) for source in sources]
        edges = [
            Edge(state, block, dict(zip(form.options, operations[key], strict=True)), weights[key])
            for source, state in zip(sources, states, strict=True)
            for block in range(max(source, 1), BLOCKS + 1)
            for key in [f"b{block}_i{source}"]
        ]
        for block, found in _brought(states, edges, norms, form):
            _add(totals, (block, len(found) > len(maps[0])), found, form)
        maps.append(with_dense_gradient(_taken(totals, len(maps) - 1, maps[-1].shape[2:])))
    norms.store()
    return maps[2:]


def _add(totals: dict[tuple[int, bool], Tensor], key: tuple[int, bool], found: Tensor, form: Form) -> None:
    if key not in totals:
        totals[key] = found
    elif form.together:  # a view
        totals[key] = totals[key] + found
    else:
        totals[key].add_(found)  # nothing keeps a sum for its backward


def _taken(totals: dict[tuple[int, bool], Tensor], block: int, size: torch.Size) -> Tensor:
    """The sum of a block: of its maps and, put together, of its quarters."""
    total, quarters = totals.pop((block, False), None), totals.pop((block, True), None)
    if quarters is None:
        assert total is not None, "a block that no edge brings anything"
        return total
    joined = whole(quarters, *(size if total is None else total.shape[2:]))
    return joined if total is None else total + joined


def _brought(
    states: Sequence[State], edges: Sequence[Edge], norms: Norms, form: Form
) -> Iterator[tuple[int, Tensor]]:
    """What all edges bring to their blocks: (block, map), several of each block; some as `quarters`."""
    shared = [name for name in form.options if _is_shared(name, states[0].stride, form)]
    if shared:
        yield from _mixed(shared, states, edges, norms, form)
    vectors = _part_vectors(edges, norms) if "part_aware" in form.options else None
    size = len(edges) if form.together else 1
    for first, scales in zip(range(0, len(edges), size), _scales(edges, size), strict=True):
        group = edges[first : first + size]
        for name, scale in zip(form.options, scales, strict=True):
            if name == NONE or name in shared:
                continue
            if name == "part_aware" and vectors is not None:
                found = _part_aware(group, vectors[first : first + size], scale, norms)
            else:
                found = _operation(name, group, scale, norms)
            # The backward of chunk would copy.
            parts = [found] if size == 1 else found.chunk(size, 1)
            for edge, part in zip(group, parts, strict=True):
                yield edge.block, part


def _scales(edges: Sequence[Edge], size: int) -> Iterator[Sequence[Tensor]]:
    """For each group of `size` edges and each option, the weight of every channel that it brings.

    All at once: their gradients come back in one piece.
    """
    weights = torch.stack([edge.weights for edge in edges]).unflatten(0, (-1, size)).transpose(1, 2)
    channels = edges[0].state.x.shape[1]
    for group in weights[..., None].expand(-1, -1, -1, channels).flatten(2).contiguous().unbind():
        yield group.unbind()


def _operation(name: str, group: Sequence[Edge], scale: Tensor, norms: Norms) -> Tensor:
    """What one option brings on a group of edges, side by side."""
    modules = [edge.operations[name] for edge in group]
    if name in POOLINGS:
        return pooled(modules, _read(group, name), scale, norms)
    if name == "skip_connect":
        return reduced(modules, _read(group, "halves"), scale, norms)
    if name.startswith("dil_conv"):
        shape = group[0].state.x.shape
        return dilated(modules, _read(group, "thinned"), shape, scale, norms)
    if name.startswith("sep_conv"):
        return separable(modules, _read(group, "positive"), scale, norms)
    raise ValueError(f"no fused form of {name!r}: arrange the supernet with fused=False")


def _part_vectors(edges: Sequence[Edge], norms: Norms) -> Tensor:
    modules = [edge.operations["part_aware"] for edge in edges]
    stripes = torch.stack([edge.state.stripes(modules[0].parts) for edge in edges])
    return part_vectors(modules, stripes, norms)


def _part_aware(group: Sequence[Edge], vectors: Tensor, scale: Tensor, norms: Norms) -> Tensor:
    state = group[0].state
    x = _read(group, "x" if state.stride == 1 else "halves")
    modules = [edge.operations["part_aware"] for edge in group]
    return part_aware(modules, x, vectors, state.places(modules[0].parts), scale, norms)


def _read(group: Sequence[Edge], what: str) -> Tensor:
    return side_by_side([getattr(edge.state, what) for edge in group], dim=1)


def _is_shared(name: str, stride: int, form: Form) -> bool:
    """Whether an option is the same map for all edges that leave a state. In evaluation poolings are not: the
    norm of every edge has its own statistics."""
    return form.training if name in POOLINGS else name == "skip_connect" and stride == 1


def _mixed(
    names: Sequence[str], states: Sequence[State], edges: Sequence[Edge], norms: Norms, form: Form
) -> list[tuple[int, Tensor]]:
    """What the edges bring by shared options: sums of few maps, other weights for every block."""
    each = len(edges) // len(states)
    maps = []
    for number, state in enumerate(states):
        leaving = edges[number * each : (number + 1) * each]
        for name in names:
            modules = [edge.operations[name] for edge in leaving]
            found = state.x
            if name in POOLINGS:
                found = norms.apply_shared(getattr(state, name), [module.norm for module in modules])
            maps.append(found)
    numbers = [form.options.index(name) for name in names]
    weights = torch.stack([edge.weights for edge in edges])[:, numbers]
    # (states * blocks, names) -> (blocks, states * names)
    weights = weights.unflatten(0, (-1, each)).transpose(0, 1).flatten(1)
    blocks = [edge.block for edge in edges[:each]]
    return list(zip(blocks, weighted_sums(maps, weights, form.together), strict=True))
