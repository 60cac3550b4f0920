"""Parameters and multiply-adds of a model, counted without computing anything.

One multiply-add is one multiplication with its addition ("FLOPs" in the papers). Convolutions and matrix
products are counted; normalisation, activations and pooling are not.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autoreid.models.assembly import ReIDModel, build_network
from autoreid.recipes import Neck
from search_spaces.genotype import Genotype
from search_spaces.macro import MACRO, Macro


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters of the backbone; with what inference keeps of the neck; with all of the neck.

    `printed_convention` is Auto-ReID's: the backbone and one linear classifier on its pooled last map.
    """

    backbone: int
    inference: int
    training: int
    printed_convention: int


@dataclass(frozen=True, slots=True)
class MultiplyAdds:
    """Multiply-adds for one image: of the backbone; of the inference feature; in Auto-ReID's convention."""

    backbone: int
    inference: int
    printed_convention: int


@dataclass(frozen=True, slots=True)
class Complexity:
    """What a model costs; `feature_dim` is the length of its inference feature."""

    params: Params
    multiply_adds: MultiplyAdds
    feature_dim: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


class Embedding(nn.Module):
    """The part of a model that inference runs, as a module of its own: images to features."""

    def __init__(self, model: ReIDModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.embed(images)


def inference_part(model: ReIDModel) -> Embedding:
    """What inference runs of a model, in evaluation mode; what only training has is taken out of it."""
    for name in model.neck.training_only:
        setattr(model.neck, name, nn.Identity())
    return Embedding(model).eval()


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _multiply_adds(module: nn.Module, height: int, width: int) -> int:
    from torch.utils.flop_counter import FlopCounterMode  # deferred: loads Triton, 100 MB

    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops() // 2


@functools.lru_cache(maxsize=1024)
def measure(
    genotype: Genotype,
    neck: Neck,
    *,
    identities: int,
    height: int = 256,
    width: int = 128,
    macro: Macro = MACRO,
) -> Complexity:
    """Count a genotype's network for images of this size; nothing is allocated.

    >>> from search_spaces.published import PUBLISHED
    >>> measure(PUBLISHED["cdnet-top2"], Neck(), identities=751).params.inference
    1796600
    """
    with torch.device("meta"):
        model = build_network(genotype, neck, identities, macro).eval()
    training_only = sum(_parameters(getattr(model.neck, name)) for name in model.neck.training_only)
    total = _parameters(model)
    backbone, adds = _parameters(model.backbone), _multiply_adds(model.backbone, height, width)
    linear = model.backbone.channels[1] * identities
    return Complexity(
        params=Params(
            backbone=backbone,
            inference=total - training_only,
            training=total,
            printed_convention=backbone + linear + identities,
        ),
        multiply_adds=MultiplyAdds(
            backbone=adds,
            inference=_multiply_adds(Embedding(model), height, width),
            printed_convention=adds + linear,
        ),
        feature_dim=model.neck.feature_dim,
    )
