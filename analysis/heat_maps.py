"""Heat maps: shares between 0 and 1 as tints of one colour, with labels at rows and columns.

The tint is opacity, so that the ground shows through where a share is small, white or dark. A small map has a
rectangle and a number for each share; a large one is an image in the drawing, which takes a few bytes for a
share instead of a hundred.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from analysis import svg
from analysis.figures import COLOURS
from analysis.words import shortened

ACCENT = COLOURS[0]
NUMBERED = 16  # columns up to which every share stands in its cell
CELL_WIDE, CELL_HIGH, SMALL = 38.0, 19.0, 9.0
STRONGEST = 0.6  # of a tint under a number: ink stays readable on white and on dark grounds
PIXELS = 4  # a side of one share in the image: programs that smooth it blur little
LONGEST = 30
GROUP = 5.0
LEAST_WIDTH = 600.0


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Shares, float (rows, columns), nan where there is none; `texts` stand in the cells of a small map.

    `breaks` are the rows before which a little room is left; `quiet` the columns in ink instead of colour.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    shares: np.ndarray
    texts: tuple[tuple[str, ...], ...] = ()
    breaks: frozenset[int] = frozenset()
    quiet: frozenset[int] = frozenset()


def image(x: float, y: float, width: float, height: float, shares: np.ndarray, colour: str = ACCENT) -> str:
    """Shares, float (rows, columns), as an image of one colour whose opacity they are; nan is nothing."""
    opacity = np.round(255 * np.clip(np.nan_to_num(shares), 0, 1)).astype(np.uint8)
    pixels = np.zeros((*shares.shape, 4), dtype=np.uint8)
    pixels[..., :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    pixels[..., 3] = opacity
    large = pixels.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)
    file = io.BytesIO()
    Image.fromarray(large).save(file, format="PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    place = (
        f'x="{svg.number(x)}" y="{svg.number(y)}" width="{svg.number(width)}" height="{svg.number(height)}"'
    )
    looks = 'preserveAspectRatio="none" style="image-rendering:pixelated"'
    return f'<image {place} {looks} href="data:image/png;base64,{data}"/>'


def draw_map(heat: HeatMap, title: str) -> str:
    """A heat map as SVG text."""
    small = len(heat.columns) <= NUMBERED
    wide, high = (_cell_width(heat), CELL_HIGH) if small else (SMALL, SMALL)
    labels = [shortened(row, LONGEST) for row in heat.rows]
    left = max((svg.wide(label, 10) for label in labels), default=0.0) + 10
    names = [shortened(column, LONGEST) for column in heat.columns]
    longest = max((svg.wide(name, 9.5) for name in names), default=0.0)
    # Numbers of searches stand upright, and only some of them where they are many.
    every = 1 if small else math.ceil((longest + 3) / wide)
    slanted = longest > wide and (small or every > 3)
    top = 30 + (0.72 * longest + 8 if slanted else 18)
    tops = _tops(heat, top, high)
    shapes = [svg.text(0, 10, shortened(title, 80), size=12.5, anchor="start", bold=True)]
    for number, name in enumerate(names):
        x = left + wide * (number + 0.5)
        if slanted:
            shapes.append(_slanted(x, top - 6, name))
        elif number % every == 0:
            shapes.append(svg.text(x, top - 9, name, size=9.5))
    step = 1 if high >= 11 else 2
    shapes += [
        svg.text(left - 7, y + high / 2, label, size=10 if small else 8.5, anchor="end")
        for number, (label, y) in enumerate(zip(labels, tops, strict=True))
        if number % step == 0
    ]
    shapes += _numbered(heat, left, tops, wide) if small else _imaged(heat, left, tops)
    width = left + wide * len(names) + (0.72 * longest if slanted else 0.0)
    height = (tops[-1] + high if tops else top) + 4
    page = max(width, svg.wide(shortened(title, 80), 12.5), LEAST_WIDTH)
    return svg.document(page + 16, height + 16, title, [svg.moved(8, 8, shapes)])


def _cell_width(heat: HeatMap) -> float:
    longest = max((svg.wide(text, 9.5) for row in heat.texts for text in row), default=0.0)
    return max(CELL_WIDE, longest + 6)


def _tops(heat: HeatMap, top: float, high: float) -> list[float]:
    tops, y = [], top
    for number in range(len(heat.rows)):
        y += GROUP if number in heat.breaks else 0.0
        tops.append(y)
        y += high
    return tops


def _slanted(x: float, y: float, name: str) -> str:
    turned = svg.text(0, 0, name, size=9.5, anchor="start")
    return f'<g transform="translate({svg.number(x)} {svg.number(y)}) rotate(-45)">{turned}</g>'


def _numbered(heat: HeatMap, left: float, tops: Sequence[float], wide: float) -> list[str]:
    shapes = []
    for row, y in enumerate(tops):
        for column in range(len(heat.columns)):
            share = float(heat.shares[row, column])
            x = left + wide * column
            fill = svg.INK if column in heat.quiet else ACCENT
            strength = (0.25 if column in heat.quiet else STRONGEST) * (0.0 if np.isnan(share) else share)
            shapes.append(svg.box(x, y, wide, CELL_HIGH, radius=0, shade=strength, fill=fill, line=0.3))
            if heat.texts and heat.texts[row][column]:
                shapes.append(svg.text(x + wide / 2, y + CELL_HIGH / 2, heat.texts[row][column], size=9.5))
    return shapes


def _imaged(heat: HeatMap, left: float, tops: Sequence[float]) -> list[str]:
    """Runs of rows without a break between them are one image each."""
    shapes = []
    starts = [0, *sorted(b for b in heat.breaks if 0 < b < len(tops)), len(tops)]
    for start, end in pairwise(starts):
        size = SMALL * len(heat.columns), SMALL * (end - start)
        shapes.append(image(left, tops[start], *size, heat.shares[start:end]))
        shapes.append(svg.box(left, tops[start], *size, radius=0, line=0.5))
    return shapes
