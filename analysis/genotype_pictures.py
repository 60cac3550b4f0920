"""The pictures of the section on genotypes, each with the table that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from analysis import words
from analysis.alpha_maps import draw_alphas, shown_epochs
from analysis.cell_drawings import is_cells
from analysis.consensus import consensus, frequencies
from analysis.distances import Places, matrix
from analysis.drawings import draw
from analysis.found import Found, Group
from analysis.heat_maps import HeatMap, draw_map
from analysis.pages import Grid, Picture
from search_spaces.genotype import Genotype
from search_spaces.places import NONE

MOST_OPTIONS, MOST_SHOWN_PLACES = 16, 60
DATA = "Data of the figure"


def _options(group: Group, places: Places | None) -> list[str]:
    """All options that a place of the group can have or had, in the order of the space."""
    named = [option for options in (places or {}).values() for option in options]
    chosen = sorted({option for genotype in group.genotypes for _, option in genotype.choices})
    return list(dict.fromkeys([*named, *chosen]))


def _kept(genotype: Genotype) -> list[tuple[str, str]]:
    """The choices, of cells without the edges that are not kept."""
    cells = is_cells(dict(genotype.choices))
    return [choice for choice in genotype.choices if not (cells and choice[1] == NONE)]


def of_seed(group: Group, seed: Found, name: str) -> Picture:
    """One genotype of an arm: the selected one, or the first."""
    why = "selected on validation" if seed.selected else "the first of the arm"
    if len(group.seeds) == 1:
        why = "the only one of the arm"
    title = f"{group.label}, repeat {seed.repeat + 1}"
    data = Grid(DATA, ("place", "option"), "ll", tuple(_kept(seed.genotype)))
    caption = f"Genotype {seed.genotype.digest} of {seed.genotype.space}: {title}, {why}."
    return Picture(name, caption, partial(draw, seed.genotype, title), data)


def of_consensus(group: Group, places: Places | None, name: str) -> Picture:
    """The most frequent choices of an arm's seeds, with how many seeds made each."""
    found = consensus(group.genotypes, _options(group, places))
    title = f"{group.label}: consensus of {found.number}"
    rows = tuple(
        (place, option, str(found.counts[place]), "yes" if place in found.ties else "")
        for place, option in _kept(found.genotype)
    )
    data = Grid(DATA, ("place", "option", f"chosen by, of {found.number}", "tie"), "llrl", rows)
    said = "the most frequent choice at every place, and how many seeds made it"
    if is_cells(dict(found.genotype.choices)):
        said = (
            "of every block the two edges that most seeds keep, each with its most frequent operation and "
            "how many seeds have both"
        )
    tied = "; = marks a choice that another equals" if found.ties else ""
    return Picture(
        name, f"{group.label}: {said}{tied}.", partial(draw, found.genotype, title, found.notes), data
    )


def of_frequencies(group: Group, places: Places | None, name: str) -> Picture | None:
    """How often every option was chosen at every place; None for spaces too large to be read."""
    options, counts = _options(group, places), frequencies(group.genotypes)
    if len(options) > MOST_OPTIONS or len(counts) > MOST_SHOWN_PLACES:
        return None
    rows = list(counts)
    number = len(group.seeds)
    table = np.array([[counts[place][option] for option in options] for place in rows], dtype=float)
    texts = tuple(tuple(str(int(count)) if count else "" for count in line) for line in table)
    blocks = [place.rpartition(".")[0] for place in rows]
    cells = is_cells(dict.fromkeys(rows, ""))
    breaks = frozenset(i for i in range(1, len(rows)) if cells and blocks[i] != blocks[i - 1])
    quiet = frozenset(i for i, option in enumerate(options) if option == NONE)
    heat = HeatMap(tuple(rows), tuple(options), table / number, texts, breaks, quiet)
    title = f"{group.label}: choices of {words.counted(number, 'seed')}"
    lines = tuple((place, *(str(counts[place][option]) for option in options)) for place in rows)
    data = Grid(DATA, ("place", *options), f"l{'r' * len(options)}", lines)
    caption = f"{group.label}: how many of {words.counted(number, 'seed')} chose each option at each place."
    return Picture(name, caption, partial(draw_map, heat, title), data)


def of_distances(groups: Sequence[Group], name: str) -> Picture:
    """The distances between all seeds of some arms whose genotypes have the same places."""
    seeds = [(group, seed) for group in groups for seed in group.seeds]
    labels = tuple(f"{words.shortened(group.label, 24)} {seed.repeat + 1}" for group, seed in seeds)
    found = matrix([seed.genotype for _, seed in seeds])
    texts = tuple(tuple(f"{value:.2f}" for value in row) for row in found)
    breaks = frozenset(i for i in range(1, len(seeds)) if seeds[i][0] is not seeds[i - 1][0])
    columns = tuple(str(seed.repeat + 1) for _, seed in seeds)
    title = "Distances between the seeds"
    heat = HeatMap(labels, columns, 1 - found, texts, breaks)
    data = Grid(DATA, ("arm and repeat", *labels), f"l{'r' * len(labels)}", _with_labels(labels, texts))
    caption = (
        "The share of choices in which two seeds differ: 0 for equal genotypes, 1 for nothing in common. The "
        "nearer, the stronger the tint; columns are in the order of the rows."
    )
    return Picture(name, caption, partial(draw_map, heat, title), data)


def _with_labels(labels: Sequence[str], rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple((label, *row) for label, row in zip(labels, rows, strict=True))


def _weight(value: float) -> str:
    return words.NOTHING if np.isnan(value) else f"{value:.4f}"


def of_alphas(group: Group, seed: Found, alphas: pd.DataFrame, name: str) -> Picture:
    """The weights of one search over its epochs; `alphas` are its rows of that table."""
    title = f"{group.label}, repeat {seed.repeat + 1}: softmax weights of the alphas"
    epochs = shown_epochs(alphas)
    choices = dict(seed.genotype.choices)
    wide = alphas.pivot_table(
        index=["place", "option"], columns="epoch", values="weight", aggfunc="last", sort=False
    )
    ends = list(dict.fromkeys([epochs[0], epochs[-1]]))
    rows = []
    for key, *weights in zip(wide.index, *(wide[epoch] for epoch in ends), strict=True):
        place, option = map(str, key)
        marked = "yes" if choices.get(place) == option else ""
        rows.append((place, option, *map(_weight, weights), marked))
    headings = ("place", "option", *(f"epoch {epoch}" for epoch in ends), "in the genotype")
    note = "All epochs are in the table alphas."
    caption = (
        f"{group.label}, repeat {seed.repeat + 1}: the weight of every option over the epochs; a triangle "
        "marks what is in the genotype."
    )
    data = Grid(DATA, headings, f"ll{'r' * len(ends)}l", tuple(rows), note)
    return Picture(name, caption, partial(draw_alphas, alphas, seed.genotype, title), data)
