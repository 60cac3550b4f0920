"""The places of the built-in spaces and the options at each, by name; what a genotype must choose. Free of
torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from search_spaces.errors import InputError, Problems, unknown
from search_spaces.genotype import Genotype

NONE = "none"
BASE = (NONE, "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
REID = (*BASE, "part_aware")
DARTS = (*BASE[:5], "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")

BLOCKS = 4
KINDS = ("normal", "reduce")
KEPT = 2  # edges of a block in a genotype

KERNELS = ((3, 5), (3, 7), (3, 9), (5, 7), (5, 9), (7, 9))
MBLOCKS = tuple(f"mblock{number}" for number in range(1, 7))
RESNETS = ("18", "34", "50", "101", "152")
OSNET = ("yes", "no")  # whether it has its conv5


def edge_keys() -> Iterator[tuple[str, int, int]]:
    """The edges of a cell: key, block from 1 on, input from 0 on (the two cells before, then the blocks)."""
    for block in range(1, BLOCKS + 1):
        for source in range(block + 1):
            yield f"b{block}_i{source}", block, source


def place_of(kind: str, key: str) -> str:
    """
    >>> place_of("normal", "b2_i0")
    'normal.b2.i0'
    """
    return f"{kind}.{key.replace('_', '.')}"


def of_block(kind: str, block: int) -> list[str]:
    """The places of a block, by input."""
    return [place_of(kind, key) for key, number, _ in edge_keys() if number == block]


def cell_places(options: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The places of a cell space: the edges of both kinds of cell, with the same options on each."""
    return {place_of(kind, key): options for kind in KINDS for key, _, _ in edge_keys()}


def depth_options(depths: tuple[int, ...] = ()) -> tuple[str, ...]:
    """The options of CDNet's places: pairs of kernels, with every number of repeats where there are any.

    >>> depth_options()[:2], len(depth_options((1, 2)))
    (('(3,5)', '(3,7)'), 12)
    """
    if not depths:
        return tuple(f"({a},{b})" for a, b in KERNELS)
    return tuple(f"({a},{b},{depth})" for depth in depths for a, b in KERNELS)


PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "base-v1": cell_places(BASE),
    "reid-v1": cell_places(REID),
    "darts8-v1": cell_places(DARTS),
    "cs-v1": dict.fromkeys(MBLOCKS, depth_options()),
    "cds-v1": dict.fromkeys(MBLOCKS, depth_options((1, 2))),
    "cds-std-v1": dict.fromkeys(MBLOCKS, depth_options((1, 2))),
    "resnet-v1": {"depth": RESNETS},
    "resnet-stride1-v1": {"depth": RESNETS},
    "osnet-v1": {"conv5": OSNET},
}


def check_places(space_id: str, places: Mapping[str, tuple[str, ...]], genotype: Genotype) -> None:
    """InputError with every mistake of a genotype: another space, missing or alien places, alien options."""
    if genotype.space != space_id:
        raise InputError(
            f"genotype {genotype.digest}: it belongs to the space {genotype.space!r}, not to {space_id!r}. "
            f"Use a genotype of {space_id!r}, or name the space {genotype.space!r}."
        )
    problems, choices = Problems(), dict(genotype.choices)
    for place in places.keys() - choices.keys():
        problems.add(f"genotype.choices.{place}", f"missing. Choose one of {', '.join(places[place])}.")
    for place, option in choices.items():
        if place not in places:
            problems.add(f"genotype.choices.{place}", unknown("place", place, places))
        elif option not in places[place]:
            problems.add(f"genotype.choices.{place}", unknown("option", option, places[place]))
    problems.found.sort()
    problems.raise_if_any()


def check_edges(genotype: Genotype) -> None:
    """InputError where a block of a cell has not `KEPT` edges; the places have been checked before."""
    problems = Problems()
    for kind in KINDS:
        for block in range(1, BLOCKS + 1):
            kept = [place for place in of_block(kind, block) if genotype[place] != NONE]
            if len(kept) != KEPT:
                problems.add(
                    f"genotype.choices.{kind}.b{block}",
                    f"{len(kept)} edges. Choose an operation on two edges and none on the others.",
                )
    problems.raise_if_any()


def check_built_in(genotype: Genotype) -> None:
    """InputError, with every mistake, for a genotype of a built-in space; others cannot be judged here."""
    places = PLACES.get(genotype.space)
    if places is None:
        return
    check_places(genotype.space, places, genotype)
    if places.keys() == cell_places(BASE).keys():
        check_edges(genotype)
