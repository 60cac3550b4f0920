"""Spaces of networks that were designed by hand: one place, and nothing to search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.macro import MACRO, Macro
from search_spaces.space import Backbone, Supernet, check_choices


@dataclass(frozen=True, slots=True)
class HandDesignedSpace:
    """Networks that differ in one place; it has no supernet.

    `options` are what the place takes, `scales` the fields of a macro that these networks know, `published`
    the names, in words, by which they are trained; `build(option, macro)` gives a network.
    """

    id: str
    place: str
    options: tuple[str, ...]
    scales: tuple[str, ...]
    published: str
    build: Callable[[str, Macro], Backbone]

    @property
    def places(self) -> dict[str, tuple[str, ...]]:
        return {self.place: self.options}

    def problems(
        self, macro: Macro, height: int, genotype: Genotype | None = None
    ) -> Iterator[tuple[str, str]]:
        """Every size can be built; without a genotype it is the supernet that cannot."""
        if genotype is None:
            yield "space", self._no_supernet

    @property
    def _no_supernet(self) -> str:
        return (
            f"{self.id} cannot be searched: it has no supernet. Train {self.published}, or search another "
            "space."
        )

    def check(self, genotype: Genotype) -> None:
        """InputError, with every mistake, when the genotype is not of this space."""
        check_choices(self, genotype)

    def derive(self, alphas: Mapping[str, Tensor]) -> Genotype:
        """The option with the largest alpha; of equal ones the first."""
        return self._of(int(alphas[self.place].argmax()))

    def sample(self, generator: torch.Generator) -> Genotype:
        """One of the options, uniformly at random."""
        return self._of(int(torch.randint(len(self.options), (1,), generator=generator)))

    def _of(self, option: int) -> Genotype:
        return Genotype.of(self.id, {self.place: self.options[option]})

    def supernet(self, macro: Macro = MACRO) -> Supernet:
        raise InputError(f"space: {self._no_supernet}")

    def network(self, genotype: Genotype, macro: Macro = MACRO) -> Backbone:
        self.check(genotype)
        return self.build(genotype[self.place], macro)
