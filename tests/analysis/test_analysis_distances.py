from __future__ import annotations

import itertools
import math
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from analysis.consensus import consensus, frequencies
from analysis.distances import (
    agreement,
    chance,
    distance,
    expected_agreement,
    known_places,
    matrix,
    mean_distance,
    parts,
)
from search_spaces.genotype import Genotype
from search_spaces.places import BASE, NONE, PLACES
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES

CELLS = ("base-v1", "reid-v1", "darts8-v1")


def random_genotypes(space: str, count: int, seed: int = 5) -> list[Genotype]:
    generator = torch.Generator().manual_seed(seed)
    return [SPACES[space].sample(generator) for _ in range(count)]


def naive(first: Genotype, second: Genotype) -> float:
    """Place by place; of cells, an edge that one alone keeps is half a difference: the other moved it."""
    cells = first.space in CELLS
    total, size = 0.0, 0
    for place, option in first.choices:
        other = second[place]
        size += not (cells and option == NONE)
        if option != other:
            total += 0.5 if cells and NONE in (option, other) else 1.0
    return total / size


def plain(**choices: str) -> Genotype:
    return Genotype.of("mine-v1", choices)


@pytest.mark.parametrize("space", SPACES)
def test_the_distance_is_a_metric_and_as_a_loop_counts_it(space: str) -> None:
    found = random_genotypes(space, 14)
    for first, second in itertools.product(found, repeat=2):
        assert distance(first, second) == pytest.approx(naive(first, second))
        assert distance(first, second) == distance(second, first) <= 1
        assert (distance(first, second) == 0) == (first == second)
    for first, second, third in itertools.product(found, repeat=3):
        assert distance(first, third) <= distance(first, second) + distance(second, third) + 1e-12
    assert np.array_equal(matrix(found), [[distance(a, b) for b in found] for a in found])


def test_an_edge_that_moved_counts_as_much_as_an_operation_that_was_exchanged() -> None:
    genotype = PUBLISHED["darts-v2-net"]
    choices = dict(genotype.choices)
    exchanged = Genotype.of(genotype.space, choices | {"normal.b4.i0": "max_pool_3x3"})
    moved = Genotype.of(genotype.space, choices | {"normal.b4.i0": NONE, "normal.b4.i1": "skip_connect"})
    assert distance(genotype, exchanged) == distance(genotype, moved) == 1 / 16
    assert (parts(genotype, exchanged).moved, parts(genotype, exchanged).exchanged) == (0, 1)
    assert (parts(genotype, moved).moved, parts(genotype, moved).exchanged) == (1, 0)
    assert parts(genotype, moved).items == 16


def test_genotypes_with_other_places_have_no_distance() -> None:
    with pytest.raises(ValueError, match="resnet-v1 and cs-v1 have not the same places"):
        distance(PUBLISHED["resnet18"], PUBLISHED["cnet-top1"])


@pytest.mark.parametrize("space", ["reid-v1", "cds-v1", "resnet-v1"])
def test_agreement_is_the_mean_over_all_pairs(space: str) -> None:
    found = random_genotypes(space, 9)
    pairs = list(itertools.combinations(found, 2))
    assert agreement(found) == pytest.approx(fmean(1 - naive(a, b) for a, b in pairs))
    with pytest.raises(ValueError, match="1 genotypes have no pair"):
        agreement(found[:1])


def test_a_search_that_two_arms_share_is_no_pair_with_itself() -> None:
    names = ("cdnet-top1", "cdnet-top2", "cdnet-top3")
    a, b, c = (PUBLISHED[name] for name in names)
    found = mean_distance({"a": a, "b": b}, {"b": b, "c": c})
    assert found == pytest.approx((naive(a, b) + naive(a, c) + naive(b, c)) / 3)
    assert mean_distance({"a": a}, {"a": a}) is None


def test_agreement_by_chance_is_that_of_all_pairs_of_a_small_space() -> None:
    places = {"a": ("x", "y"), "b": ("x", "y", "z")}
    everything = [plain(a=a, b=b) for a, b in itertools.product(*places.values())]
    exact = fmean(1 - distance(p, q) for p, q in itertools.product(everything, repeat=2))
    assert expected_agreement(places) == pytest.approx(exact) == pytest.approx((1 / 2 + 1 / 3) / 2)


@pytest.mark.parametrize("space", CELLS)
def test_agreement_of_cells_by_chance_is_that_of_all_pairs_block_by_block(space: str) -> None:
    """Blocks are drawn independently, so the mean over them is that over architectures."""
    named = [option for option in PLACES[space]["normal.b1.i0"] if option != NONE]
    shares = []
    for inputs in (2, 3, 4, 5):
        blocks = [
            {(one, x), (other, y)}
            for one, other in itertools.combinations(range(inputs), 2)
            for x, y in itertools.product(named, repeat=2)
        ]
        shares.append(fmean(len(blocks[0] & block) / 2 for block in blocks))
    assert expected_agreement(PLACES[space]) == pytest.approx(fmean(shares))


def test_the_p_of_an_agreement_is_that_of_all_sets_of_a_small_space() -> None:
    """Three genotypes of one place with two options: all equal with p = 1/4, else an agreement of 1/3."""
    places = {"a": ("x", "y")}
    equal = chance(1.0, 3, places)
    assert equal.mean == 0.5 and equal.p == pytest.approx(1 / 4, abs=4 * math.sqrt(3 / 16 / 2000))
    assert chance(1 / 3, 3, places).p == 1.0 and chance(1.0, 3, places) == equal
    assert equal.high == 1.0


@pytest.mark.parametrize("space", ["reid-v1", "cds-v1"])
def test_random_genotypes_agree_as_chance_says(space: str) -> None:
    places = known_places(space)
    assert places is not None
    found = [agreement(random_genotypes(space, 4, seed)) for seed in range(150)]
    expected = chance(fmean(found), 4, places)
    assert fmean(found) == pytest.approx(expected.mean, abs=0.02)
    assert sum(value <= expected.high for value in found) >= 0.88 * len(found)
    assert chance(1.0, 4, places).p == pytest.approx(1 / 2001)
    assert known_places("other-v1") is None


def test_hundreds_of_genotypes_take_fewer_draws() -> None:
    found = chance(0.2, 4000, {"a": ("x", "y"), "b": ("x", "y")})
    assert found.p == 1.0 and chance(0.9, 4000, {"a": ("x", "y")}).p == pytest.approx(1 / 251)


def test_frequencies_are_those_of_a_counter() -> None:
    found = random_genotypes("reid-v1", 20)
    counts = frequencies(found)
    assert list(counts) == list(PLACES["reid-v1"])
    for place in counts:
        assert counts[place] == Counter(genotype[place] for genotype in found)


def test_the_consensus_is_the_most_frequent_choice_and_says_ties() -> None:
    found = [plain(a="x", b="x"), plain(a="x", b="y"), plain(a="z", b="y"), plain(a="x", b="x")]
    result = consensus(found)
    assert result.genotype == plain(a="x", b="x") and result.counts == {"a": 3, "b": 2}
    assert result.ties == ("b",) and result.notes == {"a": "3/4", "b": "2/4 ="}
    assert consensus(found, order=("y", "x")).genotype["b"] == "y"


def test_the_consensus_of_equal_cells_is_themselves() -> None:
    genotype = PUBLISHED["gdas-v1-net"]
    result = consensus([genotype] * 3)
    assert result.genotype == genotype and result.ties == () and set(result.counts.values()) == {3}


def test_the_consensus_of_cells_has_two_edges_in_every_block() -> None:
    """Of block 2 the edges from inputs 1 and 2 are kept 3 and 2 times, that from input 0 once."""
    genotype = PUBLISHED["darts-v2-net"]
    block = ({"i0": "sep_conv_3x3", "i1": "skip_connect", "i2": NONE},)
    block += ({"i0": NONE, "i1": "skip_connect", "i2": "max_pool_3x3"},)
    block += ({"i0": NONE, "i1": "sep_conv_3x3", "i2": "dil_conv_3x3"},)
    found = [
        Genotype.of(genotype.space, dict(genotype.choices) | {f"normal.b2.{i}": o for i, o in edges.items()})
        for edges in block
    ]
    result = consensus(found, BASE)
    chosen = {i: result.genotype[f"normal.b2.{i}"] for i in ("i0", "i1", "i2")}
    assert chosen == {"i0": NONE, "i1": "skip_connect", "i2": "max_pool_3x3"}
    assert result.counts["normal.b2.i1"] == 2 and result.ties == ("normal.b2.i2",)
    for result in (consensus(random_genotypes("reid-v1", number)) for number in range(1, 9)):
        SPACES["reid-v1"].check(result.genotype)


def test_edges_that_are_kept_as_often_are_a_tie_and_the_lower_input_wins() -> None:
    genotype = PUBLISHED["darts-v2-net"]
    other = dict(genotype.choices) | {"normal.b2.i1": NONE, "normal.b2.i2": "sep_conv_3x3"}
    result = consensus([genotype, Genotype.of(genotype.space, other)])
    assert result.genotype["normal.b2.i1"] == "sep_conv_3x3" and result.genotype["normal.b2.i2"] == NONE
    assert result.ties == ("normal.b2.i1",)


def test_the_page_on_genotypes_gives_the_agreements_by_chance() -> None:
    page = (Path(__file__).parents[2] / "docs" / "genotypes.md").read_text()
    shares = {space: f"{100 * expected_agreement(PLACES[space]):.1f} %" for space in ("reid-v1", "cds-v1")}
    assert f"For `reid-v1` that is {shares['reid-v1']}, for\n  `cds-v1` {shares['cds-v1']};" in page
