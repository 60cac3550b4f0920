"""Rows of images as one picture: each begins with what was looked for, then what was found, nearest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from autoreid.evaluation import canvas
from autoreid.evaluation.canvas import FRAME, FRAMES, GAP, LINE, MARGIN, MARK, PAPER, SMALL, Verdict

HEADING = 2 * LINE + 6
APART = 7  # pixels between the camera and what follows it
BETWEEN = 14  # room between a query and its list, and between two rows
LEAST_WIDTH = 640
# Share of an image that a faint one keeps.
FAINT = 0.35


@dataclass(frozen=True, slots=True)
class Cell:
    """One image of a row: what it is, None where nobody says it, its camera, if that is known, and what else
    is written below it. A faint one is drawn with little colour."""

    verdict: Verdict | None
    camera: int | None
    words: str
    faint: bool = False

    @property
    def parts(self) -> list[str]:
        """What is written below the image, as texts that are drawn apart: a space in so small a font is not
        seen beside digits.

        >>> Cell("right", 4, "0.411").parts, Cell("right", None, "0.411").parts
        (['c4', '0.411'], ['0.411'])
        """
        return [self.words] if self.camera is None else [f"c{self.camera}", self.words]


@dataclass(frozen=True, slots=True)
class Row:
    """A query, first among the cells, and what was found."""

    title: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Heading:
    """Two lines over the rows: what frames and marks mean, with a note, and how it was found."""

    legend: Sequence[tuple[Verdict, str]]
    note: str
    how: str


def draw_rows(
    rows: Sequence[Row],
    pixels: Callable[[int], Sequence[np.ndarray] | np.ndarray],
    heading: Heading,
    shape: Sequence[int],
) -> bytes:
    """The rows as PNG. pixels(number): the images of a row, uint8 (3, height, width) each; shape: of all of
    them, (..., height, width). They are shown no higher than `canvas.HIGHEST` pixels."""
    wide, high = canvas.shown_size(shape)
    room = max(wide, *(_words_width(cell) for row in rows for cell in row.cells))
    step, row_height = room + 2 * FRAME + GAP, 2 * LINE + high + 2 * FRAME + BETWEEN
    longest = max(len(row.cells) for row in rows)
    width = max(2 * MARGIN + max(canvas.text_width(heading.how), longest * step + BETWEEN), LEAST_WIDTH)
    picture, pen = canvas.sheet(width, 2 * MARGIN + HEADING + len(rows) * row_height - BETWEEN)
    _head(pen, heading)
    for number, row in enumerate(rows):
        y = MARGIN + HEADING + number * row_height
        canvas.write(pen, MARGIN, y, canvas.shortened(row.title, width - 2 * MARGIN))
        images = pixels(number)
        for place, cell in enumerate(row.cells):
            x = MARGIN + place * step + (BETWEEN if place else 0)
            _put(picture, pen, canvas.shown(images[place]), cell, (x, y + LINE + 1, room))
    return canvas.png(picture)


def _words_width(cell: Cell) -> int:
    return MARK + 3 - APART + sum(APART + canvas.text_width(part, SMALL) for part in cell.parts)


def _put(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    shown: Image.Image,
    cell: Cell,
    place: tuple[int, int, int],
) -> None:
    """One cell with its upper left corner at the place, (x, y, width), the image in its middle."""
    x, y, room = place
    left = x + FRAME + (room - shown.width) // 2
    if cell.faint:
        shown = Image.blend(Image.new("RGB", shown.size, PAPER), shown, FAINT)
    canvas.framed(picture, shown, left, y + FRAME, FRAMES[cell.verdict] if cell.verdict else None)
    below = y + shown.height + 2 * FRAME + 1
    start = left - FRAME
    if cell.verdict in ("right", "wrong"):
        canvas.mark(pen, start, below + 3, cell.verdict)
        start += MARK + 3
    for part in cell.parts:
        canvas.write(pen, start, below, part, SMALL, canvas.QUIET)
        start += canvas.text_width(part, SMALL) + APART


def _head(pen: ImageDraw.ImageDraw, heading: Heading) -> None:
    x, y = MARGIN, MARGIN
    for verdict, words in heading.legend:
        canvas.mark(pen, x, y + 4, verdict)
        canvas.write(pen, x + MARK + 5, y, words, colour=FRAMES[verdict])
        x += MARK + 5 + canvas.text_width(words) + 20
    canvas.write(pen, x, y, heading.note, colour=canvas.QUIET)
    canvas.write(pen, MARGIN, y + LINE, heading.how, colour=canvas.QUIET)
