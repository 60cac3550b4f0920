"""A small network as a training leaves it, for tests of what is done with trained networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from autoreid.attempts import Attempt, Outcome
from autoreid.evaluating import evaluate
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.folders import LocalFolder
from autoreid.model_files import pack_model
from autoreid.models.assembly import ReIDModel, build_network, initialise
from autoreid.published import CDNET_TRAIN
from autoreid.recipes import Neck, TrainRecipe
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED

SMALL = dataclasses.replace(
    CDNET_TRAIN, height=64, width=32, width_multiplier=0.25, channels=8, layers=(1, 1, 1, 1)
)
FACTS = {"code_version": "0.1.0", "torch_version": "2.15.0", "python_version": "3.11.9"}


def small_recipe(neck: Neck = SMALL.neck) -> TrainRecipe:
    """A training of images of 64 x 32 by a narrow network."""
    return dataclasses.replace(SMALL, neck=neck)


def small_model(genotype: Genotype, recipe: TrainRecipe, identities: int = 8) -> ReIDModel:
    """An untrained network whose norms have statistics of their own, so that none is the identity."""
    model = build_network(genotype, recipe.neck, identities, recipe.macro)
    random = torch.Generator().manual_seed(0)
    initialise(model, random)
    for name, values in model.named_buffers():
        if name.endswith("running_mean"):
            values.copy_(0.1 * torch.randn(values.shape, generator=random))
        elif name.endswith("running_var"):
            values.copy_(0.5 + torch.rand(values.shape, generator=random))
    return model.eval()


def leave_training(folder: Path, data: PreparedData, genotype: str = "cdnet-top1") -> Path:
    """What `autoreid train --out FOLDER` leaves: the model file, and the outcome that vouches for it."""
    recipe, found = small_recipe(), PUBLISHED[genotype]
    model = small_model(found, recipe, data.identities)
    attempt = Attempt(LocalFolder(folder), "0" * 32)
    attempt.write("model.pt", pack_model(model, recipe, found, data.identity_order, data.fingerprint))
    scores = evaluate(model, data, device=torch.device("cpu"), execution=Execution()).plain()
    attempt.finish(Outcome("done", result={"evaluation": scores}, facts=FACTS))
    return folder
