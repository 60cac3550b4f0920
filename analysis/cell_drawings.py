"""Cells as drawings: inputs and blocks are vertical lines, and edges lead from one of them to the right.

Every operation stands in the gap between the line before its block and the block's own, where no line passes;
a line that is crossed is broken. So no edge ever runs through a label, whatever is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis import svg
from analysis.figures import COLOURS
from search_spaces.genotype import Genotype
from search_spaces.places import NONE

PLACE = re.compile(r"(.+)\.b(\d+)\.i(\d+)")
TITLES = {"normal": "normal cell", "reduce": "reduction cell"}
INPUTS = 2
INPUT_NAMES = ("k\u22122", "k\u22121")  # with minus signs

TOP, ROW, BETWEEN = 62.0, 25.0, 13.0
LABEL, NODE = 18.0, 26.0
LEFT, INPUT_STEP, AROUND = 34.0, 52.0, 20.0
OUTPUT = 22.0


@dataclass(frozen=True, slots=True)
class Look:
    """How an edge is drawn: the colour and dashes of its line."""

    colour: str = svg.INK
    dash: str = ""
    width: float = 1.2


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of a cell as it is drawn: source (0 and 1 are the inputs, then the blocks), block from 1 on."""

    source: int
    block: int
    label: str
    look: Look = Look()
    tint: str = svg.INK


def tint(operation: str) -> str:
    """A colour by the family of an operation; ink for a family that is not known.

    >>> tint("sep_conv_3x3") == tint("sep_conv_5x5"), tint("other")
    (True, 'currentColor')
    """
    families = ("sep_conv", "dil_conv", "_pool", "part_aware")
    number = next((i for i, family in enumerate(families) if family in operation), None)
    return svg.INK if number is None else COLOURS[number]


def is_cells(choices: Mapping[str, str]) -> bool:
    """Whether all places are edges of cells whose sources lie before their blocks."""
    found = [PLACE.fullmatch(place) for place in choices]
    return bool(found) and all(m is not None and int(m[2]) > 0 and int(m[3]) <= int(m[2]) for m in found)


def cells_of(genotype: Genotype) -> dict[str, list[tuple[int, int, str]]]:
    """(source, block, place) of all edges by the kind of the cell, the normal one first, `none` included."""
    cells: dict[str, list[tuple[int, int, str]]] = {}
    for place, _ in genotype.choices:
        match = PLACE.fullmatch(place)
        if match is not None:
            cells.setdefault(match[1], []).append((int(match[3]), int(match[2]), place))
    return {kind: sorted(cells[kind], key=lambda edge: (edge[1], edge[0])) for kind in sorted(cells)}


def chosen_edges(genotype: Genotype, notes: Mapping[str, str]) -> dict[str, list[Edge]]:
    """The edges that a genotype keeps, by the kind of the cell; `notes` add a few letters by place."""
    found: dict[str, list[Edge]] = {}
    for kind, places in cells_of(genotype).items():
        kept = ((s, b, place, genotype[place]) for s, b, place in places if genotype[place] != NONE)
        found[kind] = [
            Edge(s, b, f"{option} {notes.get(place, '')}".rstrip(), tint=tint(option))
            for s, b, place, option in kept
        ]
    return found


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where everything of a cell stands: `lines` are the x of the sources, `rows` the y of every edge."""

    lines: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    gap: float
    bottom: float

    @property
    def width(self) -> float:
        return self.lines[-1] + NODE / 2 + 8


def _frame(edges: Sequence[Edge], blocks: int, gap: float) -> _Frame:
    lines = [LEFT + INPUT_STEP * number for number in range(INPUTS)]
    rows, y = [], TOP
    for block in range(1, blocks + 1):
        count = max(1, sum(edge.block == block for edge in edges))
        rows.append(tuple(y + ROW * (number + 0.5) for number in range(count)))
        y += ROW * count + BETWEEN
        lines.append(lines[-1] + gap)
    return _Frame(tuple(lines), tuple(rows), gap, y)


def label_gap(edges: Sequence[Edge]) -> float:
    """The room between two lines that the longest label needs."""
    return max((svg.wide(edge.label) for edge in edges), default=0.0) + 8 + 2 * AROUND


def cell(kind: str, edges: Sequence[Edge], blocks: int, gap: float) -> tuple[float, float, list[str]]:
    """Width, height and shapes of one cell of so many blocks."""
    frame = _frame(edges, blocks, gap)
    ordered = sorted(edges, key=lambda edge: (edge.block, edge.source))
    at: list[tuple[Edge, float]] = []
    for block in range(1, blocks + 1):
        mine = [edge for edge in ordered if edge.block == block]
        at += zip(mine, frame.rows[block - 1], strict=False)
    shapes = [svg.text(0, 10, TITLES.get(kind, f"cell {kind}"), size=13, anchor="start", bold=True)]
    for source in range(blocks + INPUTS):
        shapes += _line_of(source, frame, at)
    shapes += [shape for edge, y in at for shape in _edge(edge, y, frame)]
    for block in range(1, blocks + 1):
        rows = frame.rows[block - 1]
        x, top = frame.lines[block + 1] - NODE / 2, rows[0] - ROW / 2 + 1
        shapes.append(svg.box(x, top, NODE, rows[-1] + ROW / 2 - 1 - top, shade=0.1))
        shapes.append(svg.text(x + NODE / 2, (rows[0] + rows[-1]) / 2, str(block), bold=True))
    first, last = frame.lines[INPUTS] - NODE / 2, frame.lines[-1] + NODE / 2
    shapes.append(svg.box(first, frame.bottom + 8, last - first, OUTPUT, shade=0.1))
    shapes.append(
        svg.text((first + last) / 2, frame.bottom + 8 + OUTPUT / 2, "concatenation: output of cell k")
    )
    return frame.width, frame.bottom + 8 + OUTPUT + 4, shapes


def _line_of(source: int, frame: _Frame, at: Sequence[tuple[Edge, float]]) -> list[str]:
    """The vertical line of a source, broken where an edge of another passes; an input has a label on top."""
    x = frame.lines[source]
    shapes = []
    if source < INPUTS:
        shapes.append(svg.box(x - 22, TOP - 36, 44, 20, shade=0.1, radius=10))
        shapes.append(svg.text(x, TOP - 26, f"cell {INPUT_NAMES[source]}", size=9.5))
        start = TOP - 16
        mine = [y for edge, y in at if edge.source == source]
        if not mine:
            return shapes
        end = max(mine)
    else:
        start, end = frame.rows[source - INPUTS][-1] + ROW / 2 - 1, frame.bottom + 8
    crossed = sorted(y for edge, y in at if start < y < end and edge.source < source <= edge.block)
    for y in crossed:
        shapes.append(svg.line([(x, start), (x, y - 4)]))
        start = y + 4
    shapes.append(svg.line([(x, start), (x, end)], arrow=source >= INPUTS))
    return shapes


def _edge(edge: Edge, y: float, frame: _Frame) -> list[str]:
    """From the line of the source through the operation to the block."""
    x, node = frame.lines[edge.source], frame.lines[edge.block + 1] - NODE / 2
    width = svg.wide(edge.label) + 8
    right = node - 14
    look = edge.look
    dashed = "3 2" if look.dash else ""
    return [
        svg.dot(x, y, colour=look.colour),
        svg.line([(x, y), (right - width, y)], width=look.width, colour=look.colour, dash=look.dash),
        svg.line([(right, y), (node, y)], arrow=True, colour=look.colour, width=look.width),
        svg.box(
            right - width,
            y - LABEL / 2,
            width,
            LABEL,
            shade=0.16,
            fill=edge.tint,
            stroke=look.colour,
            dash=dashed,
        ),
        svg.text(right - width / 2, y, edge.label),
    ]


def drawn(cells: Mapping[str, Sequence[Edge]], blocks: int) -> tuple[float, float, list[str]]:
    """Width, height and shapes of the cells, one below the other."""
    gap = label_gap([edge for edges in cells.values() for edge in edges])
    width, y, shapes = 0.0, 0.0, []
    for kind, edges in cells.items():
        wide, high, found = cell(kind, edges, blocks, gap)
        shapes.append(svg.moved(0, y, found))
        width, y = max(width, wide), y + high + 26
    return width, y - 26, shapes
