"""The cell spaces: places, derivation, random architectures. The networks are built in cells.py.

A place of the space is an edge: `normal.b2.i0` leads from input 0 to block 2. In a genotype every block has
two edges; the others are `none`. Source: Auto-ReID, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.cells import CellNetwork, CellSupernet
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.macro import MACRO, Macro
from search_spaces.part_aware import PARTS
from search_spaces.places import (
    BLOCKS,
    KEPT,
    KINDS,
    NONE,
    cell_places,
    check_edges,
    edge_keys,
    of_block,
    place_of,
)
from search_spaces.space import check_choices

LAST_REDUCTION = 8  # how many times smaller the last map is than the one behind the stem


@dataclass(frozen=True, slots=True)
class CellSpace:
    """Cells whose edges carry one of `options`, `none` among them."""

    id: str
    options: tuple[str, ...]

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        return cell_places(self.options)

    @property
    def scales(self) -> tuple[str, ...]:
        return ("channels", "layers", "drop_path", "stem")

    def problems(
        self, macro: Macro, height: int, genotype: Genotype | None = None
    ) -> Iterator[tuple[str, str]]:
        """Four blocks with cells in each; every part of a body needs a row of the last map."""
        if len(macro.layers) != BLOCKS or min(macro.layers, default=0) < 1:
            given = list(macro.layers)
            yield "layers", f"{given} is not four numbers of 1 or more. Use for example [2, 2, 2, 2]."
        used = self.options if genotype is None else [option for _, option in genotype.choices]
        if "part_aware" not in used:
            return
        if macro.channels < 3:
            yield "channels", f"{macro.channels} is too small for part_aware. Use 3 or more."
        reduction = macro.reduction * LAST_REDUCTION
        rows = -(-height // reduction)
        if rows < PARTS:
            least = reduction * (PARTS - 1) + 1
            message = f"{height} gives a last map of {rows} rows, and part_aware has {PARTS} parts."
            yield "height", f"{message} Use {least} or more."

    def check(self, genotype: Genotype) -> None:
        """InputError, with every mistake, when the genotype is not of this space."""
        check_choices(self, genotype)
        check_edges(genotype)

    def derive(self, alphas: Mapping[str, Tensor]) -> Genotype:
        """Every block's two strongest edges, and on each its strongest operation.

        An edge is as strong as its largest softmax weight besides that of `none`. Ties: the lower input, then
        the order of the options. Source: Auto-ReID, section 3.1, by DARTS.
        """
        choices = dict.fromkeys(self.places, NONE)
        named = [number for number, name in enumerate(self.options) if name != NONE]
        shares = {place: softmax(alphas[place]) for place in choices}
        weights = {place: [shares[place][number] for number in named] for place in choices}
        for kind in KINDS:
            for block in range(1, BLOCKS + 1):
                # Sorting keeps the order of equals.
                ranked = sorted(of_block(kind, block), key=lambda place: -max(weights[place]))
                for place in ranked[:KEPT]:
                    best = weights[place].index(max(weights[place]))
                    choices[place] = self.options[named[best]]
        return Genotype.of(self.id, choices)

    def sample(self, generator: torch.Generator) -> Genotype:
        """Two edges of every block and their operations, uniformly at random."""
        choices = dict.fromkeys(self.places, NONE)
        named = [name for name in self.options if name != NONE]
        for kind in KINDS:
            for block in range(1, BLOCKS + 1):
                places = of_block(kind, block)
                for number in torch.randperm(len(places), generator=generator)[:KEPT].tolist():
                    option = int(torch.randint(len(named), (1,), generator=generator))
                    choices[places[number]] = named[option]
        return Genotype.of(self.id, choices)

    def supernet(self, macro: Macro = MACRO) -> CellSupernet:
        self._refuse(macro)
        return CellSupernet(self.options, macro)

    def network(self, genotype: Genotype, macro: Macro = MACRO) -> CellNetwork:
        self.check(genotype)
        self._refuse(macro, genotype)
        choices = {
            kind: {key: name for key, _, _ in edge_keys() if (name := genotype[place_of(kind, key)]) != NONE}
            for kind in KINDS
        }
        return CellNetwork(choices, macro)

    def _refuse(self, macro: Macro, genotype: Genotype | None = None) -> None:
        """InputError, with every mistake, where no network can be built like this, whatever the images."""
        height = macro.reduction * LAST_REDUCTION * PARTS
        found = [f"{n}: {m}" for n, m in self.problems(macro, height, genotype)]
        if found:
            raise InputError(*found)


def softmax(alpha: Tensor) -> list[float]:
    """Softmax weights, the same for the same alphas in any order: edges that tie must not differ in the last
    digit."""
    values = alpha.detach().double().tolist()
    largest = max(values)
    exponentials = [math.exp(value - largest) for value in values]
    total = math.fsum(exponentials)
    return [exponential / total for exponential in exponentials]
