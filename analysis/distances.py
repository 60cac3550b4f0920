"""How far genotypes are from each other, and how near random ones would be.

What is compared are items. Of a cell space an item is an edge that is kept together with its operation, 16 in
a genotype; of every other space it is a place with its option, one for each place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from analysis.cell_drawings import PLACE, is_cells
from search_spaces.genotype import Genotype
from search_spaces.places import KEPT, NONE, PLACES

Places = Mapping[str, Sequence[str]]
# The options of all places, as a key by which a simulation is kept.
Known = tuple[tuple[str, tuple[str, ...]], ...]
DRAWS, MOST_DRAWN = 2000, 1_000_000
SEED = 0


def items(genotype: Genotype) -> frozenset[tuple[str, str]]:
    """What counts of a genotype: its choices, of cells without the edges that are not kept.

    >>> len(items(Genotype.of("cs-v1", {"mblock1": "(3,5)", "mblock2": "(7,9)"})))
    2
    """
    cells = is_cells(dict(genotype.choices))
    return frozenset(choice for choice in genotype.choices if not (cells and choice[1] == NONE))


def distance(first: Genotype, second: Genotype) -> float:
    """The share of items that differ, from 0 for equal choices to 1 for nothing in common.

    It is |A - B| + |B - A| over |A| + |B|, with the items A of one genotype and B of the other. Where every
    genotype has as many items, as in all built-in spaces, it is the plain share that differs, and a metric:
    symmetric, 0 for equal choices alone, and never longer by a detour.

    - Other spaces: the share of places with another option (Hamming).
    - Cells: the share of the 16 kept edges, eight in each cell, that the other genotype has not, or has with
      another operation. An edge that moved counts once, and as much as an operation that was exchanged; edges
      that neither keeps count nothing. Blocks are compared by their number: cells that differ only in the
      order of their blocks are not equal here.

    ValueError for genotypes with other places: they have nothing to compare.
    """
    if dict(first.choices).keys() != dict(second.choices).keys():
        raise ValueError(f"{first.space} and {second.space} have not the same places")
    mine, other = items(first), items(second)
    return len(mine ^ other) / (len(mine) + len(other)) if mine or other else 0.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What two genotypes differ in: `items` of each, `moved` that stand at a place that the other has not,
    `exchanged` that have another option at the same place."""

    items: int
    moved: int
    exchanged: int


def parts(first: Genotype, second: Genotype) -> Parts:
    """The items of the first that the second has not: at another place, or with another option there."""
    mine, other = dict(items(first)), dict(items(second))
    shared = mine.keys() & other.keys()
    exchanged = sum(mine[place] != other[place] for place in shared)
    return Parts(len(mine), len(mine) - len(shared), exchanged)


def matrix(genotypes: Sequence[Genotype]) -> np.ndarray:
    """Distances between all of them: float (genotypes, genotypes)."""
    found = np.zeros((len(genotypes), len(genotypes)))
    for i, j in combinations(range(len(genotypes)), 2):
        found[i, j] = found[j, i] = distance(genotypes[i], genotypes[j])
    return found


def mean_distance(first: Mapping[Any, Genotype], second: Mapping[Any, Genotype]) -> float | None:
    """The mean distance over all pairs, one of each, that have not the same key; None without such a pair.

    The keys are jobs: one that two arms share is no pair with itself. Counted item by item, so that the time
    grows with the genotypes and not with their pairs; where some have more items, pairs weigh by them.
    """
    mine, other = _counts(first.values()), _counts(second.values())
    common = sum(count * other[item] for item, count in mine.items())
    size = (mine.total() * len(second) + other.total() * len(first)) / 2
    for key in first.keys() & second.keys():
        common -= len(items(first[key]) & items(second[key]))
        size -= (len(items(first[key])) + len(items(second[key]))) / 2
    return 1 - common / size if size else None


def _counts(genotypes: Iterable[Genotype]) -> Counter[tuple[str, str]]:
    return Counter(item for genotype in genotypes for item in items(genotype))


def agreement(genotypes: Sequence[Genotype]) -> float:
    """The share of items in common, 1 - distance, averaged over all pairs; for two genotypes or more."""
    numbered = dict(enumerate(genotypes))
    mean = mean_distance(numbered, numbered)
    if mean is None:
        raise ValueError(f"{len(genotypes)} genotypes have no pair")
    return 1 - mean


def known_places(space: str) -> Places | None:
    """The options of a built-in space by place, or None."""
    return PLACES.get(space)


def expected_agreement(places: Places) -> float:
    """The mean agreement of two architectures that are drawn uniformly at random, exactly.

    Options are drawn independently at every place: 1 / options, averaged over the places. Of cells every
    block draws two of its n inputs and one of m operations for each: an edge of one architecture is in the
    other with probability 2 / (n m), averaged over the blocks.
    """
    if not is_cells(dict.fromkeys(places, "")):
        return float(np.mean([1 / len(options) for options in places.values()]))
    return float(np.mean([KEPT / len(block) / _named(block, places) for block in _blocks(places)]))


def _blocks(places: Places) -> list[list[str]]:
    """The places of every block of every cell."""
    found: dict[Hashable, list[str]] = {}
    for place in places:
        match = PLACE.fullmatch(place)
        if match is not None:
            found.setdefault((match[1], match[2]), []).append(place)
    return list(found.values())


def _named(block: Sequence[str], places: Places) -> int:
    """The operations besides `none`; all edges of a block have the same."""
    return sum(option != NONE for option in places[block[0]])


@lru_cache(maxsize=64)
def _random_agreements(known: Known, number: int, draws: int) -> np.ndarray:
    """The agreement of so many sets of `number` random architectures, sorted: float (draws,)."""
    generator = np.random.default_rng(SEED)
    places = dict(known)
    totals = np.zeros(draws)
    if is_cells(dict.fromkeys(places, "")):
        blocks = _blocks(places)
        for block in blocks:
            order = generator.random((draws, number, len(block))).argsort(-1)[..., :KEPT]
            operations = generator.integers(_named(block, places), size=order.shape)
            count = len(block) * _named(block, places)
            totals += _pairs(order * _named(block, places) + operations, count)
        size = KEPT * len(blocks)
    else:
        for options in places.values():
            drawn = generator.integers(len(options), size=(draws, number, 1))
            totals += _pairs(drawn, len(options))
        size = len(places)
    return np.sort(totals / (number * (number - 1) / 2 * size))


def _pairs(drawn: np.ndarray, count: int) -> np.ndarray:
    """Pairs in common, by draw, of what `drawn` (draws, number, items) has as numbers below `count`."""
    found = np.stack([(drawn == number).sum((1, 2)) for number in range(count)])
    return np.asarray((found * (found - 1) / 2).sum(0))


@dataclass(frozen=True, slots=True)
class Chance:
    """What random architectures would give: the `mean` agreement, exact; the agreement that 95 of 100 sets
    stay below; and `p`, the share of sets that agree at least as much as was observed."""

    mean: float
    high: float
    p: float


def chance(observed: float, number: int, places: Places) -> Chance:
    """How `observed`, the agreement of `number` genotypes, stands to random ones of the space.

    The mean is exact, the rest is simulated with a fixed seed. `p` is (1 + sets at least as high) over
    (1 + draws), and so never 0. There are 2,000 draws, of more than 500 genotypes fewer, at least 200.
    """
    draws = max(200, min(DRAWS, MOST_DRAWN // number))
    known = tuple((place, tuple(options)) for place, options in places.items())
    found = _random_agreements(known, number, draws)
    above = int((found >= observed - 1e-12).sum())
    return Chance(expected_agreement(places), float(np.quantile(found, 0.95)), (1 + above) / (1 + draws))
