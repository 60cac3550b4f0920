"""The steps that are timed: every network takes one, on small images."""

from __future__ import annotations

from dataclasses import replace

import pytest
from random_people import random_people
from training_step import FORMS, NETWORKS, Network, steps_of

from autoreid.recipes import Batch


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.genotype)
def test_every_network_takes_a_step(network: Network) -> None:
    _, precision, execution = FORMS[-1]
    small = {"height": network.recipe.height // 4, "width": network.recipe.width // 4}
    recipe = replace(network.recipe, batch=Batch(2, 2), precision=precision, **small)
    data = random_people(recipe.height, recipe.width, identities=4, images=2)
    step, run = steps_of(network, recipe, data, replace(execution, device="cpu", threads=1))
    before = [parameter.detach().clone() for parameter in run.model.parameters()]
    step()
    moved = [not old.equal(new) for old, new in zip(before, run.model.parameters(), strict=True)]
    assert any(moved) and not run.remarks
