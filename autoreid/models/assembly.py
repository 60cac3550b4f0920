"""A re-ID model: a backbone and a neck, composed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autoreid.models.necks import AnyNeck, Branch, build_neck
from autoreid.recipes import Neck
from search_spaces.genotype import Genotype
from search_spaces.macro import MACRO, Macro
from search_spaces.registry import find_space
from search_spaces.relaxations import Branches
from search_spaces.space import Backbone, Supernet


class ReIDModel(nn.Module):
    """images (batch, 3, h, w) -> one `Branch` per pair of losses; `embed` gives the inference feature."""

    def __init__(self, backbone: Backbone, neck: AnyNeck) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck

    def forward(self, images: Tensor) -> tuple[Branch, ...]:
        return self.neck.branches(self.backbone(images))

    def embed(self, images: Tensor) -> Tensor:
        """The feature of every image, (batch, feature_dim), not normalised."""
        return self.neck.embed(self.backbone(images))

    def loss_features(self, images: Tensor) -> dict[str, Tensor]:
        """The features that the losses see, as far as the neck has them: `f_tri` and `f_fc`."""
        return self.neck.loss_features(self.backbone(images))


class SearchModel(nn.Module):
    """A supernet and a neck; the branches to compute come with every call."""

    def __init__(self, supernet: Supernet, neck: AnyNeck) -> None:
        super().__init__()
        self.supernet = supernet
        self.neck = neck

    def forward(self, images: Tensor, branches: Mapping[str, Branches]) -> tuple[Branch, ...]:
        return self.neck.branches(self.supernet(images, branches))

    def embed(self, images: Tensor, branches: Mapping[str, Branches]) -> Tensor:
        """The feature of every image, (batch, feature_dim), not normalised."""
        return self.neck.embed(self.supernet(images, branches))


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """He's normal initialisation for convolutions, N(0, 0.01) for linear layers, 0 for their biases.

    Norms stay as their blocks made them: 1 and 0, but for the last one of a residual branch.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01, generator=generator)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def build_network(genotype: Genotype, neck: Neck, identities: int, macro: Macro = MACRO) -> ReIDModel:
    """The trainable network of a genotype: its backbone and the neck for `identities` classes."""
    space = find_space(genotype.space)
    space.check(genotype)
    backbone = space.network(genotype, macro)
    return ReIDModel(backbone, build_neck(neck, backbone.channels, identities))


def build_supernet(space_id: str, neck: Neck, identities: int, macro: Macro = MACRO) -> SearchModel:
    """The supernet of a space with a neck for `identities` classes."""
    supernet = find_space(space_id).supernet(macro)
    return SearchModel(supernet, build_neck(neck, supernet.channels, identities))
