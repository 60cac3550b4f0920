"""The alphas of one search over its epochs: a small heat map for every place, options by epochs.

The maps are images in the drawing: a search has hundreds of options and up to 60 recorded epochs, which as
rectangles would take megabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import svg
from analysis.cell_drawings import INPUT_NAMES, INPUTS, TITLES, cells_of, is_cells
from analysis.heat_maps import image
from analysis.words import shortened
from search_spaces.genotype import Genotype
from search_spaces.places import NONE

MOST_PLACES, MOST_EPOCHS = 40, 120
WIDTH = 600.0
BETWEEN, HEADING, TITLE = 14.0, 22.0, 13.0
OPTION_SIZE = 7.5
LONGEST = 18  # letters of an option beside its row


@dataclass(frozen=True, slots=True)
class Panel:
    """One place: its options, the softmax weights, float (options, epochs), and which option was chosen."""

    title: str
    options: tuple[str, ...]
    weights: np.ndarray
    chosen: str


def shown_epochs(alphas: pd.DataFrame) -> list[int]:
    """The epochs that are drawn: all, or `MOST_EPOCHS` of them evenly, the first and the last among them."""
    epochs = sorted(int(epoch) for epoch in alphas["epoch"].unique())
    if len(epochs) <= MOST_EPOCHS:
        return epochs
    return [epochs[i] for i in np.linspace(0, len(epochs) - 1, MOST_EPOCHS).round().astype(int)]


def panels(alphas: pd.DataFrame, genotype: Genotype) -> dict[str, Panel]:
    """A panel for each place of a search, in the order of the table.

    `alphas`: the rows of one search, with the columns epoch, place, option and weight. What has no row has no
    weight (nan).
    """
    epochs = shown_epochs(alphas)
    found = {}
    choices = dict(genotype.choices)
    for key, rows in alphas.groupby("place", sort=False):
        place = str(key)
        options = list(dict.fromkeys(rows["option"]))
        table = rows.pivot_table(index="option", columns="epoch", values="weight", aggfunc="last")
        weights = table.reindex(index=options, columns=epochs).to_numpy(dtype=float)
        found[place] = Panel(place, tuple(map(str, options)), weights, choices.get(place, ""))
    return found


def draw_alphas(alphas: pd.DataFrame, genotype: Genotype, title: str) -> str:
    """One search as SVG text; the option of the genotype is marked at every place. `alphas` as for `panels`.

    The full tint is the largest weight of the search, or twice an equal share where no weight got that far: a
    search that has not decided looks even. Beyond `MOST_PLACES` places the rest is counted.
    """
    found = panels(alphas, genotype)
    names = list(found)[:MOST_PLACES]
    shares = [1 / len(found[name].options) for name in names]
    largest = max(float(np.nanmax(found[name].weights, initial=0.0)) for name in names)
    scale = max(largest, 2 * max(shares))
    if is_cells(dict(genotype.choices)) and set(found) == {place for place, _ in genotype.choices}:
        width, height, shapes = _cells(found, genotype, scale)
    else:
        width, height, shapes = _grid([found[name] for name in names], scale)
    if len(found) > len(names):
        shapes.append(svg.text(0, height + 10, f"and {len(found) - len(names)} more places", anchor="start"))
        height += 24
    head = [svg.text(0, 10, shortened(title, 80), size=12.5, anchor="start", bold=True)]
    head += _legend(scale, shares, shown_epochs(alphas))
    page = max(width, WIDTH, svg.wide(shortened(title, 80), 12.5))
    body = [svg.moved(8, 8, [*head, svg.moved(0, 58, shapes)])]
    return svg.document(page + 16, height + 58 + 16, title, body)


def _legend(scale: float, shares: Sequence[float], epochs: Sequence[int]) -> list[str]:
    x, y, wide = 0.0, 24.0, 120.0
    shapes = [
        image(x, y, wide, 10, np.linspace(0, 1, 60)[None, :]),
        svg.box(x, y, wide, 10, radius=0, line=0.5),
    ]
    shapes.append(svg.text(x + wide + 8, y + 5, f"weight 0 to {scale:.3g}", size=10, anchor="start"))
    if len(set(shares)) == 1:
        at = x + wide * shares[0] / scale
        shapes.append(svg.line([(at, y - 2), (at, y + 12)]))
        shapes.append(svg.text(at, y + 19, f"equal {shares[0]:.3g}", size=8.5))
    span = f"epochs {epochs[0]} to {epochs[-1]}, left to right" if len(epochs) > 1 else f"epoch {epochs[0]}"
    words = f"{span}; triangle: in the genotype"
    shapes.append(svg.text(x + wide + 116, y + 5, words, size=10, anchor="start"))
    return shapes


def _panel(
    panel: Panel, x: float, y: float, wide: float, row: float, scale: float, labelled: bool
) -> list[str]:
    """A place with its upper left corner at (x, y), its title above; labels stand to the left."""
    high = row * len(panel.options)
    kept = panel.chosen in panel.options and panel.chosen != NONE
    shapes = [
        svg.text(x, y - 6, panel.title, size=9, anchor="start", bold=kept, opacity=1.0 if kept else 0.65)
    ]
    shapes.append(image(x, y, wide, high, panel.weights / scale))
    shapes.append(svg.box(x, y, wide, high, radius=0, line=1.0 if kept else 0.4))
    if labelled:
        shapes += [
            svg.text(x - 4, y + row * (i + 0.5), shortened(option, LONGEST), size=OPTION_SIZE, anchor="end")
            for i, option in enumerate(panel.options)
        ]
    if kept:
        middle = y + row * (panel.options.index(panel.chosen) + 0.5)
        corners = f"M{svg.number(x + wide + 1)} {svg.number(middle)}l6 -4v8z"
        shapes.append(f'<path d="{corners}" fill="{svg.INK}"/>')
    return shapes


def _label_width(found: Sequence[Panel]) -> float:
    labels = (shortened(option, LONGEST) for panel in found for option in panel.options)
    return max(svg.wide(label, OPTION_SIZE) for label in labels) + 8


def _cells(found: dict[str, Panel], genotype: Genotype, scale: float) -> tuple[float, float, list[str]]:
    """The edges of every cell: a row for each block, a column for each input."""
    left, row, y, shapes = _label_width(list(found.values())), 9.0, 0.0, []
    edges = [edge for places in cells_of(genotype).values() for edge in places]
    columns = max(source for source, _, _ in edges) + 1
    wide = max(60.0, (WIDTH - left) / columns - BETWEEN)
    for kind, places in cells_of(genotype).items():
        shapes.append(
            svg.text(0, y + 8, TITLES.get(kind, f"cell {kind}"), anchor="start", bold=True, size=12)
        )
        y += HEADING
        for block in sorted({block for _, block, _ in places}):
            y += TITLE
            mine = [(source, place) for source, number, place in places if number == block]
            for source, place in mine:
                origin = INPUT_NAMES[source] if source < INPUTS else str(source - INPUTS + 1)
                panel = found[place]
                named = Panel(f"{origin} to {block}", panel.options, panel.weights, panel.chosen)
                x = left + source * (wide + BETWEEN)
                shapes += _panel(named, x, y, wide, row, scale, labelled=source == mine[0][0])
            y += row * max(len(found[place].options) for _, place in mine) + 4
        y += 10
    return left + columns * (wide + BETWEEN), y, shapes


def _grid(found: Sequence[Panel], scale: float) -> tuple[float, float, list[str]]:
    """Places one after the other, three in a row, each with the labels of its options."""
    left, row, columns = _label_width(found), 10.0, min(3, len(found))
    wide = max(60.0, WIDTH / columns - left - BETWEEN)
    y, shapes = 0.0, []
    for start in range(0, len(found), columns):
        y += TITLE
        line = found[start : start + columns]
        for number, panel in enumerate(line):
            x = left + number * (left + wide + BETWEEN)
            named = Panel(shortened(panel.title, 24), panel.options, panel.weights, panel.chosen)
            shapes += _panel(named, x, y, wide, row, scale, labelled=True)
        y += row * max(len(panel.options) for panel in line) + 12
    return columns * (left + wide + BETWEEN), y, shapes
