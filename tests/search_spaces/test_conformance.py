"""What every registered space must do; a new space is tested by being registered."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.operations import Pooling
from search_spaces.places import PLACES, check_built_in
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES, find_space
from search_spaces.relaxations import one_hot, relaxation
from search_spaces.space import SearchSpace, initial_alphas, mean_entropy

# Small networks, and images high enough for every body part at the last map.
SMALL = Macro(width_multiplier=0.25, channels=4, layers=(1, 1, 1, 1))
# Every kind of cell after every kind of cell, as in the paper's networks.
WIRED = Macro(width_multiplier=0.25, channels=4, layers=(2, 3, 1, 1))
IMAGES = torch.randn(2, 3, 128, 32, generator=torch.Generator().manual_seed(0))


def scrambled(module: nn.Module) -> nn.Module:
    """Norms away from where they begin: blocks that begin as their shortcut would all be equal."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(part.running_var, 0.5, 1.5, generator=generator)
        if isinstance(part, nn.BatchNorm2d) and part.affine:
            nn.init.uniform_(part.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(part.bias, generator=generator)
    return module


def without_norms_of_pooling(supernet: nn.Module) -> nn.Module:
    """They belong to the search: no derived network has them."""
    for part in supernet.modules():
        if isinstance(part, Pooling):
            part.norm = nn.Identity()
    return supernet


@pytest.fixture(params=sorted(SPACES))
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return SPACES[request.param]


@pytest.fixture(params=sorted(SPACES.keys() - {"resnet-v1", "resnet-stride1-v1", "osnet-v1"}))
def searchable(request: pytest.FixtureRequest) -> SearchSpace:
    """A space that has a supernet; that of the baselines has none."""
    return SPACES[request.param]


def random_genotypes(space: SearchSpace, count: int) -> list[Genotype]:
    generator = torch.Generator().manual_seed(7)
    return [space.sample(generator) for _ in range(count)]


def test_the_places_that_are_known_without_torch_are_those_of_the_space(space: SearchSpace) -> None:
    assert PLACES[space.id] == space.places
    for genotype in random_genotypes(space, 20):
        check_built_in(genotype)


def test_genotypes_round_trip_through_json(space: SearchSpace) -> None:
    for genotype in random_genotypes(space, 20):
        space.check(genotype)
        assert Genotype.from_json(genotype.to_json()) == genotype


def test_samples_reach_every_option(space: SearchSpace) -> None:
    seen = {choice for genotype in random_genotypes(space, 300) for choice in genotype.choices}
    # A first block has two edges to choose its two from.
    every = {(place, option) for place, options in space.places.items() for option in options}
    assert seen == {(place, option) for place, option in every if option != "none" or ".b1." not in place}


def test_one_hot_alphas_derive_their_genotype(space: SearchSpace) -> None:
    for genotype in random_genotypes(space, 5):
        alphas = {
            place: torch.tensor([float(option == genotype[place]) for option in options])
            for place, options in space.places.items()
        }
        assert space.derive(alphas) == genotype


def test_ties_derive_the_first_option(space: SearchSpace) -> None:
    alphas = {place: torch.zeros(len(options)) for place, options in space.places.items()}
    for place, option in space.derive(alphas).choices:
        options = space.places[place]
        if "none" in options:  # of a cell: the first two inputs, and the first operation
            assert option == (options[1] if place[-2:] in ("i0", "i1") else "none")
        else:
            assert option == options[0]


def test_networks_run_forward_and_backward(space: SearchSpace) -> None:
    for genotype in random_genotypes(space, 2):
        network = space.network(genotype, SMALL)
        maps = network(IMAGES)
        assert (maps.middle.shape[1], maps.last.shape[1]) == network.channels
        (maps.middle.mean() + maps.last.square().mean()).backward()
        for name, weight in network.named_parameters():
            # A cell brings both of its inputs to its size, whether its edges take them or not.
            assert weight.grad is not None or ".wiring." in name
            assert weight.grad is None or weight.grad.isfinite().all()


def test_the_stem_of_cifar_leaves_images_as_large_as_they_are(space: SearchSpace) -> None:
    assert "stem" in space.scales
    images = torch.randn(2, 3, 32, 32)
    genotype = random_genotypes(space, 1)[0]
    ours, usual = (
        space.network(genotype, replace(SMALL, stem=stem)).eval() for stem in ("cifar", "imagenet")
    )
    with torch.no_grad():
        small, large = ours(images), usual(torch.randn(2, 3, 128, 128))
    assert [found.shape for found in small] == [found.shape for found in large]
    assert list(ours.state_dict()) == list(usual.state_dict())


def test_odd_sizes_work(space: SearchSpace) -> None:
    network = space.network(random_genotypes(space, 1)[0], SMALL)
    assert network(torch.randn(2, 3, 131, 45)).last.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
def test_supernet_with_one_branch_equals_the_derived_network(searchable: SearchSpace, training: bool) -> None:
    space = searchable
    supernet = without_norms_of_pooling(scrambled(space.supernet(WIRED))).double().train(training)
    images = IMAGES.double()
    outputs: list[torch.Tensor] = []
    for genotype in random_genotypes(space, 3):
        network = space.network(genotype, WIRED).double().train(training)
        network.load_state_dict(supernet.inherited(genotype), strict=True)
        ones = one_hot(space.places, genotype)
        for theirs, ours in zip(network(images), supernet(images, ones), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        outputs.append(network(images).last)
    assert not torch.allclose(outputs[0], outputs[1])


@pytest.mark.parametrize(("name", "k"), [("top-k", 1), ("top-k", 2), ("top-k", "all"), ("softmax", 1)])
def test_every_relaxation_reaches_every_alpha(searchable: SearchSpace, name: str, k: int | str) -> None:
    space = searchable
    if name == "top-k" and k != "all" and "none" in next(iter(space.places.values())):
        k = "all"  # where `none` is among few branches, an edge brings nothing and learns nothing
    supernet = scrambled(space.supernet(SMALL))
    alphas = initial_alphas(space, 1e-3, torch.Generator().manual_seed(0))
    for alpha in alphas.values():
        alpha.requires_grad_()
    maps = supernet(IMAGES, relaxation(name, k)(alphas))
    maps.last.square().mean().backward()
    assert all(alpha.grad is not None and alpha.grad.abs().sum() > 0 for alpha in alphas.values())


def test_alphas_begin_undecided(space: SearchSpace) -> None:
    alphas = initial_alphas(space, 1e-3, torch.Generator().manual_seed(0))
    assert {place: len(alpha) for place, alpha in alphas.items()} == {
        place: len(options) for place, options in space.places.items()
    }
    sizes = [len(options) for options in space.places.values()]
    expected = torch.tensor(sizes).double().log().mean().item()
    assert mean_entropy(alphas) == pytest.approx(expected, abs=1e-5)


def test_published_genotypes_belong_to_their_spaces() -> None:
    assert len(PUBLISHED) == 21
    for genotype in PUBLISHED.values():
        SPACES[genotype.space].check(genotype)


def test_the_depths_of_table_8() -> None:
    depths = {
        name: sum(int(option.strip("()").split(",")[2]) for _, option in genotype.choices)
        for name, genotype in PUBLISHED.items()
        if genotype.space == "cds-v1"
    }
    assert depths.pop("cdnet-v35") == depths["cdnet-top2"]
    assert depths == {"cdnet-top1": 10, "cdnet-top2": 9, "cdnet-top3": 10, "cdnet-top4": 8}


def test_the_partners_of_table_7_are_made_of_the_second_network() -> None:
    found, standard, same = (dict(PUBLISHED[f"cdnet-{name}"].choices) for name in ("top2", "std", "v35"))
    assert standard == found and PUBLISHED["cdnet-std"].space == "cds-std-v1"
    assert same == {place: f"(3,5,{option[-2]})" for place, option in found.items()}


def test_sizes_of_the_spaces() -> None:
    sizes = {name: [len(options) for options in space.places.values()] for name, space in SPACES.items()}
    assert (sizes["cs-v1"], sizes["cds-v1"]) == ([6] * 6, [12] * 6)
    assert (sizes["base-v1"], sizes["reid-v1"], sizes["darts8-v1"]) == ([6] * 28, [7] * 28, [8] * 28)


def test_a_genotype_of_another_space_is_refused() -> None:
    with pytest.raises(InputError, match="belongs to the space 'cs-v1', not to 'cds-v1'"):
        SPACES["cds-v1"].network(PUBLISHED["cnet-top2"])


def test_every_mistake_of_a_genotype_is_reported() -> None:
    choices = dict(PUBLISHED["cnet-top2"].choices) | {"mblock1": "(3,4)", "mblock9": "(3,5)"}
    del choices["mblock2"]
    with pytest.raises(InputError) as error:
        SPACES["cs-v1"].check(Genotype.of("cs-v1", choices))
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "genotype.choices.mblock1",
        "genotype.choices.mblock2",
        "genotype.choices.mblock9",
    ]


def test_an_unknown_space_is_named_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"no space 'cds-v2'\. Did you mean 'cds-v1'"):
        find_space("cds-v2")
