"""The ResNet baselines against torchvision's, and what a space without a supernet says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision

from autoreid.recipes import SearchRecipe, TrainRecipe
from autoreid.sizes import check_search, size_problems
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES
from search_spaces.residual import ResNetBody

SPACE = SPACES["resnet-v1"]
CLASSIFIER = {"fc.weight", "fc.bias"}


def torchvision_network(name: str) -> Any:
    """torchvision's network with weights of a seed, and norms away from where they begin."""
    torch.manual_seed(5)
    network = torchvision.models.get_model(name, weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    return network


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
@pytest.mark.parametrize("training", [True, False])
def test_the_maps_are_those_of_torchvision(name: str, training: bool) -> None:
    theirs = torchvision_network(name).train(training)
    ours = ResNetBody(PUBLISHED[name]["depth"]).train(training)
    weights = theirs.state_dict()
    ours.load_state_dict({key: weights[key] for key in weights.keys() - CLASSIFIER}, strict=True)
    images = torch.randn(2, 3, 65, 33, generator=torch.Generator().manual_seed(1))
    x = theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images)))))
    middle = theirs.layer3(theirs.layer2(x))
    maps = ours(images)
    torch.testing.assert_close(maps.middle, middle, rtol=0, atol=0)
    torch.testing.assert_close(maps.last, theirs.layer4(middle), rtol=0, atol=0)
    assert ours.channels == (middle.shape[1], maps.last.shape[1])


def test_a_last_stride_of_1_keeps_the_size_of_the_map_and_the_weights() -> None:
    dense = SPACES["resnet-stride1-v1"].network(PUBLISHED["bag-of-tricks"]).eval()
    plain = ResNetBody("50").eval()
    plain.load_state_dict(dense.state_dict(), strict=True)
    images = torch.randn(1, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = dense(images), plain(images)
    torch.testing.assert_close(ours.middle, theirs.middle, rtol=0, atol=0)
    assert ours.last.shape == (1, 2048, 4, 2) and theirs.last.shape == (1, 2048, 2, 1)


def test_there_is_nothing_to_search() -> None:
    for start in (SPACE.supernet, lambda: check_search(SearchRecipe(space="resnet-v1"))):
        with pytest.raises(InputError, match="space: resnet-v1 cannot be searched"):
            start()


def test_sizes_of_other_networks_are_refused() -> None:
    problems = dict(size_problems(TrainRecipe(channels=16), SPACE, PUBLISHED["resnet18"]))
    assert problems == {
        "channels": "16, but networks of resnet-v1 have none. Leave it out. They have: no sizes."
    }


def test_an_alien_depth_is_refused() -> None:
    with pytest.raises(InputError, match=r"choices\.depth: no option '200'.*Known: 101, 152, 18, 34, 50"):
        SPACE.network(Genotype.of("resnet-v1", {"depth": "200"}))
