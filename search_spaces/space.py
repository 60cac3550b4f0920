"""What a search space is: places, options, and the networks that they build."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from search_spaces.genotype import Genotype
from search_spaces.macro import MACRO, Macro
from search_spaces.places import check_places


class FeatureMaps(NamedTuple):
    """What a backbone computes: a map half-way, (batch, c2, h2, w2), and the last, (batch, c3, h3, w3)."""

    middle: Tensor
    last: Tensor


class Backbone(nn.Module):
    """Interface: a network without its neck, images (batch, 3, h, w) -> `FeatureMaps`.

    `channels` are those of the middle and of the last map.
    """

    channels: tuple[int, int]

    def stages(self) -> tuple[nn.Module, ...]:
        """The modules whose outputs are the last maps of its stages, in order; none where it names none."""
        return ()


class Supernet(nn.Module):
    """Interface: a network that holds every option of every place; the alphas are kept outside.

    `forward(images, branches)` computes the branches that are named, and no others.
    """

    channels: tuple[int, int]

    def arrange(self, *, fused: bool, recompute: bool) -> None:
        """Choose the form of the same computation, where there are several: many small kernels as few, and
        activations that are computed again on the way back rather than kept."""

    @property
    def has_forms(self) -> bool:
        """Whether there are several forms, so that `arrange` changes something."""
        return type(self).arrange is not Supernet.arrange

    def inherited(self, genotype: Genotype) -> dict[str, Tensor]:
        """The weights of one architecture, under the names that its own network gives them."""
        raise TypeError(f"{type(self).__name__} hands down no weights")


class SearchSpace(Protocol):
    """A versioned search space.

    `places` maps the name of a place to the names of its options, in the order of the alphas.
    """

    @property
    def id(self) -> str: ...

    @property
    def places(self) -> dict[str, tuple[str, ...]]: ...

    def check(self, genotype: Genotype) -> None:
        """InputError, with every mistake, when the genotype is not of this space."""
        ...

    def derive(self, alphas: Mapping[str, Tensor]) -> Genotype:
        """The architecture that the alphas stand for."""
        ...

    def sample(self, generator: torch.Generator) -> Genotype:
        """One architecture, uniformly at random."""
        ...

    @property
    def scales(self) -> tuple[str, ...]:
        """The fields of `Macro` that its networks have."""
        ...

    def problems(
        self, macro: Macro, height: int, genotype: Genotype | None = None
    ) -> Iterator[tuple[str, str]]:
        """Why no network of this space can be built like this for images of this height, or not that of the
        genotype: (field, message)."""
        ...

    def supernet(self, macro: Macro = MACRO) -> Supernet:
        """All architectures of this space in one."""
        ...

    def network(self, genotype: Genotype, macro: Macro = MACRO) -> Backbone:
        """The network of one architecture."""
        ...


def initial_alphas(space: SearchSpace, scale: float, generator: torch.Generator) -> dict[str, Tensor]:
    """One vector per place, scale * N(0, 1), as DARTS begins."""
    return {
        place: scale * torch.randn(len(options), generator=generator)
        for place, options in space.places.items()
    }


def mean_entropy(alphas: Mapping[str, Tensor]) -> float:
    """Mean over the places of the entropy of softmax(alpha), in nats: ln(options) at the start of a search,
    0 when every place is decided."""
    entropies = [
        -(a.softmax(0) * a.log_softmax(0)).sum() for a in (a.detach().double() for a in alphas.values())
    ]
    return float(torch.stack(entropies).mean())


def plain_alphas(alphas: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """The alphas of each place as plain numbers, to 6 significant digits: float32 holds no more in full.

    >>> plain_alphas({"1": torch.tensor([1 / 3, -2e-5])})
    {'1': [0.333333, -2e-05]}
    """
    return {place: [float(f"{value:.6g}") for value in alpha.tolist()] for place, alpha in alphas.items()}


def check_choices(space: SearchSpace, genotype: Genotype) -> None:
    """InputError with every mistake of a genotype: another space, missing or alien places, alien options."""
    check_places(space.id, space.places, genotype)
