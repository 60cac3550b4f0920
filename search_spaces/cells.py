"""The cell space of DARTS in the ResNet macro of Auto-ReID: supernet and derived network.

A cell has two inputs, the outputs of the two cells before it, and four blocks; a block sums what its edges
bring from the inputs and the blocks before it, and the cell's output is its four blocks side by side. Source:
Auto-ReID, sections 3.1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.fused_cells import Form, blocks_of
from search_spaces.genotype import Genotype
from search_spaces.macro import MACRO, Macro
from search_spaces.operations import FactorizedReduce, ReLUConvNorm, operation
from search_spaces.places import BLOCKS, NONE, edge_keys, place_of
from search_spaces.recomputing import recomputed
from search_spaces.relaxations import Branches
from search_spaces.space import Backbone, FeatureMaps, Supernet

# What an edge does to a map: (key of the edge, map) -> map.
Edge = Callable[[str, Tensor], Tensor]


class Wiring(nn.Module):
    """What all cells share: both inputs brought to C channels of one size, and the sums of the blocks."""

    def __init__(self, before: int, last: int, channels: int, *, halved: bool, affine: bool) -> None:
        super().__init__()
        # The cell before has halved the size: the input from before it has to follow.
        self.before = (FactorizedReduce if halved else ReLUConvNorm)(before, channels, affine)
        self.last = ReLUConvNorm(last, channels, affine)

    def forward(self, before: Tensor, last: Tensor, keys: tuple[str, ...], edge: Edge) -> Tensor:
        maps = [self.before(before), self.last(last)]
        for block in range(1, BLOCKS + 1):
            mine = [key for key in keys if key.startswith(f"b{block}_")]
            total = edge(mine[0], maps[_source(mine[0])])
            for key in mine[1:]:
                total = total + edge(key, maps[_source(key)])
            maps.append(total)
        return torch.cat(maps[2:], dim=1)


def _source(key: str) -> int:
    return int(key.rpartition("i")[2])


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell of the macro network: channels of its inputs and nodes, and where sizes are halved."""

    before: int
    last: int
    channels: int
    kind: str
    after_reduction: bool

    def stride(self, key: str) -> int:
        """Of an edge: a reduction cell halves on the edges that leave its two inputs."""
        return 2 if self.kind == "reduce" and _source(key) < 2 else 1


def cell_plans(macro: Macro) -> list[list[CellPlan]]:
    """The cells of the blocks. Channels double and sizes halve at the first cell of blocks 2, 3 and 4."""
    before = last = macro.channels
    halved = False
    blocks = []
    for block, count in enumerate(macro.layers):
        plans = []
        channels = macro.channels * 2**block
        for number in range(count):
            kind = "reduce" if block and not number else "normal"
            plans.append(CellPlan(before, last, channels, kind, halved))
            before, last, halved = last, BLOCKS * channels, kind == "reduce"
        blocks.append(plans)
    return blocks


class Cell(nn.Module):
    """A cell of a derived network: the edges of its genotype and no others."""

    def __init__(self, plan: CellPlan, choices: Mapping[str, str], drop_path: float = 0.0) -> None:
        super().__init__()
        self.wiring = Wiring(plan.before, plan.last, plan.channels, halved=plan.after_reduction, affine=True)
        self.edges = nn.ModuleDict(
            {key: operation(name, plan.channels, plan.stride(key)) for key, name in choices.items()}
        )
        self.drop_path = drop_path

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        output: Tensor = self.wiring(before, last, tuple(self.edges), self._edge)
        return output

    def _edge(self, key: str, x: Tensor) -> Tensor:
        operation = self.edges[key]
        found: Tensor = operation(x)
        if self.training and self.drop_path and not isinstance(operation, nn.Identity):
            keep = 1 - self.drop_path
            mask = torch.bernoulli(torch.full((len(x), 1, 1, 1), keep, device=x.device, dtype=found.dtype))
            found = found * mask / keep
        return found


class MixedEdge(nn.Module):
    """All operations of one edge; those that are asked for are computed, and summed by their weights."""

    def __init__(self, options: tuple[str, ...], channels: int, stride: int) -> None:
        super().__init__()
        self.options = nn.ModuleList(operation(name, channels, stride, search=True) for name in options)

    def forward(self, x: Tensor, branches: Branches) -> Tensor:
        parts = [w * self.options[i](x) for i, w in zip(branches.indices, branches.weights, strict=True)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


class SearchCell(nn.Module):
    """A cell of a supernet: every operation on every edge."""

    def __init__(self, plan: CellPlan, options: tuple[str, ...]) -> None:
        super().__init__()
        self.kind = plan.kind
        self.options = options
        self.fused = True
        self.wiring = Wiring(plan.before, plan.last, plan.channels, halved=plan.after_reduction, affine=False)
        self.edges = nn.ModuleDict(
            {key: MixedEdge(options, plan.channels, plan.stride(key)) for key, _, _ in edge_keys()}
        )

    def forward(self, before: Tensor, last: Tensor, branches: Mapping[str, Branches]) -> Tensor:
        mine = {key: branches[place_of(self.kind, key)] for key in self.edges}
        # Where few branches are asked for there is little to compute together.
        if self.fused and all(len(each.indices) == len(self.options) for each in mine.values()):
            return self._fused(before, last, {key: each.weights for key, each in mine.items()})

        def edge(key: str, x: Tensor) -> Tensor:
            found: Tensor = self.edges[key](x, mine[key])
            return found

        output: Tensor = self.wiring(before, last, tuple(self.edges), edge)
        return output

    def _fused(self, before: Tensor, last: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        operations = {key: list(edge.options) for key, edge in self.edges.items()}  # type: ignore[arg-type]
        form = Form(self.options, self.training, together=last.is_cuda)
        stride = 2 if self.kind == "reduce" else 1
        inputs = (self.wiring.before, before), (self.wiring.last, last)
        return torch.cat(blocks_of(inputs, operations, weights, stride, form), dim=1)


def _stem(macro: Macro) -> nn.Sequential:
    """The convolutional head, C channels: a quarter of the size, or, for CIFAR, all of it."""
    small = macro.stem == "cifar"
    return nn.Sequential(
        nn.Conv2d(3, macro.channels, 3, stride=1 if small else 2, padding=1, bias=False),
        nn.BatchNorm2d(macro.channels),
        nn.ReLU(),
        *([] if small else [nn.MaxPool2d(3, stride=2, padding=1)]),
    )


def _map_channels(macro: Macro) -> tuple[int, int]:
    third, fourth = (BLOCKS * macro.channels * 2**block for block in (2, 3))
    return third, fourth


def _cells_of(blocks: nn.ModuleList) -> list[list[nn.Module]]:
    return [list(block.children()) for block in blocks]


def _walk(
    blocks: Iterable[Iterable[nn.Module]], x: Tensor, cell: Callable[[nn.Module, Tensor, Tensor], Tensor]
) -> FeatureMaps:
    """Through all cells; the maps after the third and the fourth block."""
    before, last, maps = x, x, []
    for block in blocks:
        for each in block:
            before, last = last, cell(each, before, last)
        maps.append(last)
    return FeatureMaps(middle=maps[2], last=maps[3])


class CellNetwork(Backbone):
    """The network of one genotype. images (batch, 3, h, w) -> maps at 1/16 and 1/32 of the size."""

    def __init__(self, choices: Mapping[str, Mapping[str, str]], macro: Macro = MACRO) -> None:
        super().__init__()
        self.stem = _stem(macro)
        self.blocks = nn.ModuleList(
            nn.ModuleList(Cell(plan, choices[plan.kind], macro.drop_path) for plan in plans)
            for plans in cell_plans(macro)
        )
        self.channels = _map_channels(macro)

    def forward(self, images: Tensor) -> FeatureMaps:
        return _walk(_cells_of(self.blocks), self.stem(images), lambda cell, before, last: cell(before, last))

    def stages(self) -> tuple[nn.Module, ...]:
        return tuple(cells[-1] for cells in _cells_of(self.blocks))


class CellSupernet(Supernet):
    """All networks of a space in one; cells of a kind share their branches."""

    def __init__(self, options: tuple[str, ...], macro: Macro = MACRO) -> None:
        super().__init__()
        self.stem = _stem(macro)
        self.blocks = nn.ModuleList(
            nn.ModuleList(SearchCell(plan, options) for plan in plans) for plans in cell_plans(macro)
        )
        self.channels = _map_channels(macro)
        self.options = options
        self.recompute = False

    def arrange(self, *, fused: bool, recompute: bool) -> None:
        """Fused cells, unless few of the branches are asked for; what is recomputed are whole cells."""
        self.recompute = recompute
        for cells in _cells_of(self.blocks):
            for cell in cells:
                cell.fused = fused  # type: ignore[assignment]

    def forward(self, images: Tensor, branches: Mapping[str, Branches]) -> FeatureMaps:
        def cell(each: nn.Module, before: Tensor, last: Tensor) -> Tensor:
            if not (self.recompute and torch.is_grad_enabled()):
                found: Tensor = each(before, last, branches)
                return found
            return recomputed(each, before, last, branches)

        return _walk(_cells_of(self.blocks), self.stem(images), cell)

    def inherited(self, genotype: Genotype) -> dict[str, Tensor]:
        """The weights of one architecture; the norms that a search has without parameters get 1 and 0."""
        weights = {}
        for name, tensor in self.state_dict().items():
            found = self._handed_down(name, genotype)
            if found is not None:
                weights[found] = tensor
        for name in [name for name in weights if name.endswith("running_mean")]:
            norm = name.removesuffix("running_mean")
            weights.setdefault(f"{norm}weight", torch.ones_like(weights[name]))
            weights.setdefault(f"{norm}bias", torch.zeros_like(weights[name]))
        return weights

    def _handed_down(self, name: str, genotype: Genotype) -> str | None:
        """The name of a weight in the derived network, or None where it is not part of it."""
        parts = name.split(".")
        if parts[0] != "blocks" or parts[3] != "edges":
            return name
        # blocks.<block>.<cell>.edges.<key>.options.<number>.<rest>
        cell = self.blocks[int(parts[1])][int(parts[2])]  # type: ignore[index]
        chosen = genotype[place_of(str(cell.kind), parts[4])]
        if chosen == NONE or self.options.index(chosen) != int(parts[6]):
            return None
        if chosen.endswith("pool_3x3"):
            return None  # its norm belongs to the search
        return ".".join([*parts[:5], *parts[7:]])
