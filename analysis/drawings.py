"""Genotypes as drawings, without any program besides: cells, CDNet's chain, a list for any other space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis import cell_drawings, chain_drawings, svg
from analysis.cell_drawings import Edge, Look, cells_of, chosen_edges, tint
from analysis.figures import COLOURS
from analysis.words import shortened
from search_spaces.genotype import Genotype
from search_spaces.places import NONE

MARGIN, HEAD = 8.0, 34.0
LEAST_WIDTH = 600.0  # pages widen a figure to their column: a small one would get huge letters
ROW, MOST_ROWS, MOST_PLACES = 26.0, 20, 120
LONGEST = 34  # letters of a place or an option in a list
# Of a comparison: what only the first genotype has, what only the second has, and what both have.
FIRST = Look(COLOURS[0], "", 2.2)
SECOND = Look(COLOURS[1], "6 3", 2.2)
BOTH = Look()

Drawn = tuple[float, float, list[str]]


def draw(genotype: Genotype, title: str, notes: Mapping[str, str] | None = None) -> str:
    """A genotype as SVG text. `notes` add a few letters by place, such as how many seeds chose the option.

    What its places are called decides how it is drawn: edges of cells as cells, CDNet's places as a chain,
    all others as a list of places with their options. Equal genotypes give equal text.
    """
    return _page(title, _drawn(genotype, notes or {}, {}))


def _drawn(genotype: Genotype, notes: Mapping[str, str], marks: Mapping[str, str]) -> Drawn:
    choices = dict(genotype.choices)
    if cell_drawings.is_cells(choices):
        return cell_drawings.drawn(chosen_edges(genotype, notes), _blocks(genotype))
    if chain_drawings.is_chain(choices):
        return chain_drawings.drawn(genotype, notes, marks)
    rows = [(place, ((option, notes.get(place, ""), BOTH),)) for place, option in genotype.choices]
    return _listed(rows)


def _blocks(*genotypes: Genotype) -> int:
    edges = (edge for g in genotypes for found in cells_of(g).values() for edge in found)
    return max(block for _, block, _ in edges)


def draw_difference(first: Genotype, second: Genotype, title: str, names: tuple[str, str]) -> str:
    """Two genotypes as one drawing with the differences marked, by colour and by the letters A and B.

    Cells are laid over each other; two chains stand one below the other; others are listed side by side.
    """
    mine, other = dict(first.choices), dict(second.choices)
    if mine.keys() == other.keys() and cell_drawings.is_cells(mine):
        found = cell_drawings.drawn(_differing(first, second), _blocks(first, second))
    elif chain_drawings.is_chain(mine) and chain_drawings.is_chain(other):
        found = _two_chains(first, second)
    else:
        found = _listed(_rows_of_two(mine, other))
    return _page(title, _with_legend(found, names))


def _differing(first: Genotype, second: Genotype) -> dict[str, list[Edge]]:
    """The edges of both, each with what it has in it; an edge with two operations comes twice."""
    cells: dict[str, list[Edge]] = {}
    for kind, places in cells_of(first).items():
        edges = []
        for source, block, place in places:
            one, two = first[place], second[place]
            if one == two:
                found = [(one, BOTH, "")]
            else:
                found = [(one, FIRST, "A "), (two, SECOND, "B ")]
            edges += [
                Edge(source, block, f"{letter}{option}", look, tint(option))
                for option, look, letter in found
                if option != NONE
            ]
        cells[kind] = edges
    return cells


def _two_chains(first: Genotype, second: Genotype) -> Drawn:
    differ = [place for place, option in first.choices if second[place] != option]
    width, y, shapes = 0.0, 0.0, []
    for letter, genotype, look in (("A", first, FIRST), ("B", second, SECOND)):
        marks, notes = dict.fromkeys(differ, look.colour), dict.fromkeys(differ, letter)
        wide, high, found = chain_drawings.drawn(genotype, notes, marks)
        shapes += [svg.text(0, y + 10, letter, anchor="start", bold=True, size=14), svg.moved(0, y, found)]
        width, y = max(width, wide), y + high + 22
    return width, y - 22, shapes


def _rows_of_two(mine: Mapping[str, str], other: Mapping[str, str]) -> list[_Row]:
    rows: list[_Row] = []
    for place in dict.fromkeys([*mine, *other]):
        one, two = mine.get(place), other.get(place)
        if one == two:
            rows.append((place, ((str(one), "", BOTH),)))
            continue
        both = (("A", one, FIRST), ("B", two, SECOND))
        rows.append(
            (place, tuple((option or "no such place", letter, look) for letter, option, look in both))
        )
    return rows


_Row = tuple[str, tuple[tuple[str, str, Look], ...]]


def _listed(rows: Sequence[_Row]) -> Drawn:
    """Places and their options in columns; beyond `MOST_PLACES` the rest is counted."""
    shown = rows[:MOST_PLACES]
    columns = [shown[i : i + MOST_ROWS] for i in range(0, len(shown), MOST_ROWS)]
    x, shapes = 0.0, []
    for column in columns:
        labels = [shortened(place, LONGEST) for place, _ in column]
        start = x + max(map(svg.wide, labels)) + 14
        end = start
        for number, (label, (_, options)) in enumerate(zip(labels, column, strict=True)):
            y, at = ROW * (number + 0.5), start
            shapes.append(svg.text(start - 12, y, label, anchor="end"))
            for option, note, look in options:
                content = f"{shortened(option, LONGEST)} {note}".rstrip()
                width = svg.wide(content) + 12
                tinted = svg.box(
                    at, y - 9, width, 18, shade=0.1, fill=look.colour, stroke=look.colour, dash=look.dash
                )
                shapes.append(tinted)
                shapes.append(svg.text(at + width / 2, y, content))
                at += width + 6
            end = max(end, at)
        x = end + 18
    height = ROW * min(len(shown), MOST_ROWS)
    if len(rows) > len(shown):
        shapes.append(svg.text(0, height + 14, f"and {len(rows) - len(shown)} more places", anchor="start"))
        height += 28
    return max(x - 18, 160.0), height, shapes


def _with_legend(found: Drawn, names: tuple[str, str]) -> Drawn:
    width, height, shapes = found
    rows = []
    for number, (letter, name, look) in enumerate(zip("AB", names, (FIRST, SECOND), strict=True)):
        y = 8 + 17 * number
        label = f"only {letter}: {shortened(name, 60)}"
        rows.append(svg.line([(0, y), (34, y)], colour=look.colour, dash=look.dash, width=look.width))
        rows.append(svg.text(42, y, label, anchor="start"))
        width = max(width, 42 + svg.wide(label))
    return width, height + 54, [*rows, svg.moved(0, 54, shapes)]


def _page(title: str, found: Drawn) -> str:
    width, height, shapes = found
    label = shortened(title, 80)
    head = svg.text(0, 10, label, size=12.5, anchor="start", bold=True)
    wide = max(width, svg.wide(label, 12.5), LEAST_WIDTH) + 2 * MARGIN
    body = [svg.moved(MARGIN, MARGIN, [head, svg.moved(0, HEAD - MARGIN, shapes)])]
    return svg.document(wide, height + HEAD + MARGIN, title, body)
