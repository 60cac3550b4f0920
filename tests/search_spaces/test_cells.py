"""The cell spaces: operations, derivation, the macro network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from search_spaces.cell_space import CellSpace
from search_spaces.cells import cell_plans
from search_spaces.errors import InputError
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.operations import operation
from search_spaces.places import BLOCKS, KINDS, NONE

OPTIONS = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
SPACE = CellSpace("base-v1", OPTIONS)
ALL = (*OPTIONS, "sep_conv_5x5", "dil_conv_5x5", "part_aware")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 6), (9, 7), (9, 6), (4, 1)])
@pytest.mark.parametrize("search", [True, False])
def test_operations_keep_channels_and_halve_upwards(
    name: str, stride: int, size: tuple[int, int], search: bool
) -> None:
    height, width = size
    output = operation(name, 6, stride, search=search)(torch.randn(2, 6, height, width))
    assert output.shape == (2, 6, -(-height // stride), -(-width // stride))
    assert output.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_norms_have_no_parameters_in_a_search(name: str) -> None:
    weights = dict(operation(name, 6, 2, search=True).named_parameters())
    assert not [key for key in weights if "norm" in key]
    pools = "running_mean" in " ".join(operation(name, 6, 1, search=True).state_dict())
    assert pools == (name not in ("none", "skip_connect"))


def literal_derivation(space: CellSpace, alphas: Mapping[str, Tensor]) -> dict[str, str]:
    """The rule in words: of each block the two strongest edges; on each the strongest operation but none.

    In exact arithmetic: alphas are whole multiples of ln 3.
    """
    choices = {}
    for kind, block in itertools.product(KINDS, range(1, BLOCKS + 1)):
        strengths: list[tuple[Fraction, int, str]] = []
        for source in range(block + 1):
            exact = [Fraction(3) ** int(value) for value in alphas[f"{kind}.b{block}.i{source}"]]
            shares = [value / sum(exact) for value in exact]
            best, winner = Fraction(-1), ""
            for option, share in zip(space.options, shares, strict=True):
                if option != NONE and share > best:
                    best, winner = share, option
            strengths.append((best, source, winner))
            choices[f"{kind}.b{block}.i{source}"] = NONE
        for _ in range(2):
            strongest = max(strengths, key=lambda found: (found[0], -found[1]))
            strengths.remove(strongest)
            choices[f"{kind}.b{block}.i{strongest[1]}"] = strongest[2]
    return choices


@pytest.mark.parametrize("seed", range(30))
def test_derivation_equals_the_rule_in_words_with_ties(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    alphas = {
        place: torch.randint(0, 3, (len(options),), generator=generator)
        for place, options in SPACE.places.items()
    }
    genotype = SPACE.derive({place: alpha * math.log(3) for place, alpha in alphas.items()})
    assert dict(genotype.choices) == literal_derivation(SPACE, alphas)
    SPACE.check(genotype)


def test_an_edge_is_never_taken_twice() -> None:
    """One edge holds the two strongest operations of its block: it is taken once."""
    alphas = {place: torch.zeros(len(options)) for place, options in SPACE.places.items()}
    alphas["normal.b2.i1"] = torch.tensor([0.0, 0, 0, 0, 9, 8])
    alphas["normal.b2.i2"] = torch.tensor([0.0, 0, 0, 1, 0, 0])
    genotype = SPACE.derive(alphas)
    kept = {place: option for place, option in genotype.choices if place.startswith("normal.b2.")}
    assert kept == {"normal.b2.i0": NONE, "normal.b2.i1": "sep_conv_3x3", "normal.b2.i2": "skip_connect"}


def test_none_is_never_derived_however_strong() -> None:
    alphas = {place: torch.tensor([9.0, 0, 0, 0, 0, 1]) for place in SPACE.places}
    chosen = [option for _, option in SPACE.derive(alphas).choices if option != NONE]
    assert chosen == ["dil_conv_3x3"] * 16


def test_a_genotype_with_one_edge_too_many_is_refused() -> None:
    genotype = SPACE.sample(torch.Generator().manual_seed(0))
    choices = dict(genotype.choices) | {f"normal.b3.i{source}": "skip_connect" for source in range(4)}
    choices |= {f"reduce.b1.i{source}": NONE for source in range(2)}
    with pytest.raises(InputError) as error:
        SPACE.check(Genotype.of("base-v1", choices))
    assert error.value.problems == (
        "genotype.choices.normal.b3: 4 edges. Choose an operation on two edges and none on the others.",
        "genotype.choices.reduce.b1: 0 edges. Choose an operation on two edges and none on the others.",
    )


def test_samples_take_every_pair_of_edges_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(600):
        choices = dict(SPACE.sample(generator).choices)
        pairs.append(tuple(s for s in range(5) if choices[f"normal.b4.i{s}"] != NONE))
    counts = [pairs.count(pair) for pair in itertools.combinations(range(5), 2)]
    assert min(counts) > 35
    assert sum(counts) == 600


def test_channels_double_and_sizes_halve_at_the_first_cell_of_a_block() -> None:
    plans = cell_plans(Macro(channels=16, layers=(2, 1, 3, 2)))
    assert [[plan.kind for plan in block] for block in plans] == [
        ["normal", "normal"],
        ["reduce"],
        ["reduce", "normal", "normal"],
        ["reduce", "normal"],
    ]
    assert [block[0].channels for block in plans] == [16, 32, 64, 128]
    assert [plan.after_reduction for block in plans for plan in block] == [0, 0, 0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("size", [(64, 32), (79, 45), (33, 65)])
def test_the_last_map_has_32_c_channels_at_a_32nd_of_the_size(size: tuple[int, int]) -> None:
    genotype = SPACE.sample(torch.Generator().manual_seed(1))
    network = SPACE.network(genotype, Macro(channels=4, layers=(1, 1, 2, 1)))
    maps = network(torch.randn(2, 3, *size))
    assert network.channels == (64, 128)
    assert maps.last.shape[1:] == (128, -(-size[0] // 32), -(-size[1] // 32))
    assert maps.middle.shape[1:] == (64, -(-size[0] // 16), -(-size[1] // 16))


@pytest.mark.parametrize(
    ("macro", "message"),
    [
        (Macro(layers=(2, 2, 0, 2)), r"layers: \[2, 2, 0, 2\] is not four numbers"),
        (Macro(layers=(2, 2)), "layers"),
    ],
)
def test_a_macro_that_cannot_be_built_is_refused(macro: Macro, message: str) -> None:
    genotype = SPACE.sample(torch.Generator().manual_seed(1))
    for build in (lambda: SPACE.network(genotype, macro), lambda: SPACE.supernet(macro)):
        with pytest.raises(InputError, match=message):
            build()


def test_drop_path_drops_connections_of_whole_samples_in_training_alone() -> None:
    torch.manual_seed(0)
    genotype = SPACE.sample(torch.Generator().manual_seed(1))
    network = SPACE.network(genotype, Macro(channels=4, layers=(1, 1, 1, 1), drop_path=0.5))
    plain = SPACE.network(genotype, Macro(channels=4, layers=(1, 1, 1, 1)))
    plain.load_state_dict(network.state_dict())
    images = torch.randn(4, 3, 64, 32)
    assert torch.equal(network.eval()(images).last, plain.eval()(images).last)
    assert not torch.equal(network.train()(images).last, plain.train()(images).last)
