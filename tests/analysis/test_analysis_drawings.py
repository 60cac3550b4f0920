from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from drawn_shapes import SVG, outside, segments, struck, texts

from analysis.cell_drawings import is_cells, tint
from analysis.chain_drawings import is_chain
from analysis.drawings import MOST_PLACES, draw, draw_difference
from analysis.figures import COLOURS
from search_spaces.genotype import Genotype
from search_spaces.places import NONE
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
HOSTILE = '<script>alert(1)</script> & "quotes" \x00\x1b'


def random_genotypes(space: str, count: int) -> list[Genotype]:
    generator = torch.Generator().manual_seed(3)
    return [SPACES[space].sample(generator) for _ in range(count)]


def hints(svg: str) -> list[str]:
    """What stands in the labels of cells, without the names of nodes."""
    return [text for text in texts(svg) if re.fullmatch(r"([AB] )?[a-z]+_\w+( .*)?", text)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_genotype_is_drawn(name: str) -> None:
    genotype = PUBLISHED[name]
    svg = draw(genotype, name)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img" and root.get("aria-label") == name == root.findtext(f"{SVG}title")
    assert not struck(svg) and not outside(svg)
    assert draw(Genotype.from_json(genotype.to_json()), name) == svg
    shown = " ".join(texts(svg))
    assert all(option in shown for _, option in genotype.choices if option != NONE)


@pytest.mark.parametrize("space", SPACES)
def test_random_genotypes_of_every_space_are_drawn_without_a_line_through_a_text(space: str) -> None:
    first, *others = random_genotypes(space, 12)
    for genotype in others:
        alone = draw(genotype, "random")
        both = draw_difference(first, genotype, "two", ("one", "other"))
        for svg in (alone, both):
            assert not struck(svg) and not outside(svg)
            ElementTree.fromstring(svg)


def test_a_standard_block_has_one_branch_as_deep_as_two() -> None:
    found = [text for text in texts(draw(PUBLISHED["cdnet-std"], "a")) if text.startswith("Lite")]
    assert found == [f"Lite {kernel}" for kernel in (7, 9, 9, 11, 11, 13, 11, 11, 11)]


def test_the_oracle_sees_a_line_through_a_text() -> None:
    svg = draw(PUBLISHED["darts-v2-net"], "a")
    label = re.search(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>sep_conv_3x3<', svg)
    assert label is not None and segments(svg)
    x, y = float(label[1]), float(label[2]) - 3
    line = f'<path d="M{x - 50} {y}L{x + 50} {y}" fill="none"/>'
    assert struck(svg.replace(label[0], line + label[0]))


def test_the_edges_of_a_cell_are_those_of_the_genotype() -> None:
    """Every edge has a dot on the line of its source: 8 in each cell."""
    genotype = PUBLISHED["gdas-v1-net"]
    svg = draw(genotype, "gdas")
    assert sorted(hints(svg)) == sorted(option for _, option in genotype.choices if option != NONE)
    assert svg.count("<circle") == 16


def test_a_chain_shows_kernels_and_repeats() -> None:
    """(3,7,2) (3,9,1) (5,9,2) (3,7,1) (3,9,2) (7,9,2): ten CBlocks of two branches."""
    found = texts(draw(PUBLISHED["cdnet-top1"], "a"))
    lites = [text for text in found if text.startswith("Lite ")]
    assert len(lites) == 20
    assert {k: lites.count(f"Lite {k}") for k in (3, 5, 7, 9)} == {3: 6, 5: 2, 7: 5, 9: 7}
    assert found.count("DownSample") == 2 and [f"mblock{n}" in found for n in range(1, 7)] == [True] * 6


def test_other_spaces_are_listed_and_bounded() -> None:
    genotype = Genotype.of("mine-v1", {f"place {n:03}": f"option {n % 7}" for n in range(300)})
    svg = draw(genotype, "mine")
    assert f"and {300 - MOST_PLACES} more places" in texts(svg) and len(svg) < 100_000
    assert not struck(svg) and not outside(svg)
    assert texts(draw(Genotype.of("mine-v1", {"a": "b"}), "t")) == ["t", "a", "b"]


@pytest.mark.parametrize(
    "choices",
    [
        {HOSTILE: HOSTILE},
        {"normal.b1.i0": HOSTILE, "normal.b1.i1": "x"},
        {f"{HOSTILE}.b1.i0": "x", f"{HOSTILE}.b1.i1": "none"},
        {f"mblock{n}": HOSTILE for n in range(1, 7)},
    ],
    ids=["list", "operation", "cell", "chain"],
)
def test_names_are_text_and_never_markup(choices: dict[str, str]) -> None:
    genotype = Genotype.of("mine-v1", choices)
    svg = draw(genotype, HOSTILE)
    other = Genotype.of("mine-v1", dict.fromkeys(choices, "other"))
    for text in (svg, draw_difference(genotype, other, HOSTILE, (HOSTILE, HOSTILE))):
        root = ElementTree.fromstring(text)
        assert not list(root.iter(f"{SVG}script")) and "alert(1)" in "".join(root.itertext())


def test_what_two_cells_differ_in_is_marked() -> None:
    first, second = PUBLISHED["darts-v1-net"], PUBLISHED["darts-v2-net"]
    found = hints(draw_difference(first, second, "two", ("one", "other")))
    pairs = [(option, second[place]) for place, option in first.choices]
    assert sorted(found) == sorted(
        [a for a, b in pairs if a == b != NONE]
        + [f"A {a}" for a, b in pairs if a != b and a != NONE]
        + [f"B {b}" for a, b in pairs if a != b and b != NONE]
    )
    assert sum(text.startswith("A ") for text in found) == 5


def test_what_two_chains_differ_in_is_marked() -> None:
    first = PUBLISHED["cdnet-top1"]
    second = Genotype.of(first.space, dict(first.choices) | {"mblock2": "(5,7,1)"})
    found = texts(draw_difference(first, second, "two", ("one", "other")))
    assert [text for text in found if re.search(r"\) [AB]$", text)] == ["(3,9,1) A", "(5,7,1) B"]


def test_equal_genotypes_have_no_marks() -> None:
    for name in ("darts-v1-net", "cdnet-top1", "resnet50"):
        genotype = PUBLISHED[name]
        found = texts(draw_difference(genotype, genotype, "two", ("one", "other")))
        assert not [text for text in found if re.search(r"^[AB] |\) [AB]$|\d [AB]$", text)]


def test_what_looks_like_a_cell_or_a_chain_but_is_none_is_listed() -> None:
    assert is_cells({"x.b1.i1": ""}) and not is_cells({"x.b1.i2": ""}) and not is_cells({})
    assert not is_cells({"x.b1.i0": "", "depth": ""})
    assert not is_chain({f"mblock{n}": "(3,5,9)" for n in range(1, 7)})
    assert not is_chain({"mblock1": "(3,5)"})
    assert texts(draw(Genotype.of("mine-v1", {}), "nothing")) == ["nothing"]


def test_families_of_operations_have_a_colour_each() -> None:
    operations = ("sep_conv_3x3", "dil_conv_5x5", "max_pool_3x3", "part_aware", "skip_connect")
    assert [tint(name) for name in operations] == [*COLOURS[:4], "currentColor"]
    assert tint("avg_pool_3x3") == tint("max_pool_3x3")


@pytest.mark.parametrize("name", ["darts-v2-net", "cdnet-top1"])
def test_the_drawings_of_the_docs_are_up_to_date(name: str) -> None:
    """If this fails: autoreid genotypes draw NAME --out docs/figures/NAME.svg"""
    assert (FIGURES / f"{name}.svg").read_text() == draw(PUBLISHED[name], name)


def test_the_comparison_of_the_docs_is_up_to_date() -> None:
    """If this fails: autoreid genotypes compare darts-v1-net darts-v2-net --out docs/figures/..."""
    names = ("darts-v1-net", "darts-v2-net")
    svg = draw_difference(*(PUBLISHED[name] for name in names), " and ".join(names), names)
    assert (FIGURES / f"{'-'.join(names)}.svg").read_text() == svg
