"""Ranked lists as one picture: a row for each query, the nearest gallery images framed as right or wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from autoreid.data.index import ImageIndex
from autoreid.data.views import Images
from autoreid.evaluation import canvas
from autoreid.evaluation.canvas import FRAME, FRAMES, GAP, LINE, MARGIN, MARK, SMALL, Verdict
from autoreid.evaluation.protocol import Protocol
from autoreid.evaluation.ranked_lists import RankedList

HEADING = 2 * LINE + 6
BETWEEN = 14  # room between a query and its list, and between two rows
LEAST_WIDTH = 640

# One image of a row: its row in the data set, what it is, and the words below it.
Cell = tuple[int, Verdict, str]


def draw_ranked(lists: Sequence[RankedList], images: Images, index: ImageIndex, protocol: Protocol) -> bytes:
    """The lists as PNG: a tick and green frames where the person is right, a cross and orange ones elsewhere,
    with camera and distance below.

    images: uint8 (images, 3, height, width), rows as in `index`. They are shown as the network sees them, no
    higher than `canvas.HIGHEST` pixels.
    """
    rows = [_cells(found, index) for found in lists]
    wide, high = canvas.shown_size(images.shape)
    room = max(wide, *(MARK + 3 + canvas.text_width(words, SMALL) for row in rows for _, _, words in row))
    step, row_height = room + 2 * FRAME + GAP, 2 * LINE + high + 2 * FRAME + BETWEEN
    heading = canvas.text_width(_protocol_words(protocol))
    width = max(2 * MARGIN + max(heading, max(map(len, rows)) * step + BETWEEN), LEAST_WIDTH)
    picture, pen = canvas.sheet(width, 2 * MARGIN + HEADING + len(rows) * row_height - BETWEEN)
    _heading(pen, protocol)
    for number, (found, row) in enumerate(zip(lists, rows, strict=True)):
        y = MARGIN + HEADING + number * row_height
        canvas.write(pen, MARGIN, y, canvas.shortened(_title(found, index), width - 2 * MARGIN))
        pixels = np.asarray(images[np.array([image for image, _, _ in row])])
        for place, cell in enumerate(row):
            x = MARGIN + place * step + (BETWEEN if place else 0)
            _put(picture, pen, canvas.shown(pixels[place]), cell, (x, y + LINE + 1, room))
    return canvas.png(picture)


def _cells(found: RankedList, index: ImageIndex) -> list[Cell]:
    """The query and its list."""
    cells: list[Cell] = [(found.query, "query", f"c{index.cameras[found.query]} query")]
    for image, distance, right in zip(
        found.gallery.tolist(), found.distances.tolist(), found.right.tolist(), strict=True
    ):
        words = f"c{index.cameras[image]} {distance:.3f}"
        cells.append((image, "right" if right else "wrong", words))
    return cells


def _put(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    shown: Image.Image,
    cell: Cell,
    place: tuple[int, int, int],
) -> None:
    """One cell with its upper left corner at the place, (x, y, width), the image in its middle."""
    (_, verdict, words), (x, y, room) = cell, place
    left = x + FRAME + (room - shown.width) // 2
    canvas.framed(picture, shown, left, y + FRAME, FRAMES[verdict])
    below = y + shown.height + 2 * FRAME + 1
    start = left - FRAME
    if verdict != "query":
        canvas.mark(pen, start, below + 3, verdict)
        start += MARK + 3
    canvas.write(pen, start, below, words, SMALL, canvas.QUIET)


def _title(found: RankedList, index: ImageIndex) -> str:
    """What is known of a query, in a line."""
    begin = f"identity {index.identities[found.query]}   "
    if found.average_precision is None:
        begin += "no match in the gallery"
    else:
        begin += f"AP {100 * found.average_precision:.1f} %   first match at rank {found.first_rank}"
    return f"{begin}   {index.names[found.query]}"


def _heading(pen: ImageDraw.ImageDraw, protocol: Protocol) -> None:
    y = MARGIN
    x = MARGIN
    verdicts: tuple[tuple[Verdict, str], ...] = (("right", "the query's person"), ("wrong", "someone else"))
    for verdict, words in verdicts:
        canvas.mark(pen, x, y + 4, verdict)
        canvas.write(pen, x + MARK + 5, y, words, colour=FRAMES[verdict])
        x += MARK + 5 + canvas.text_width(words) + 20
    canvas.write(pen, x, y, "below: camera and distance, nearest first", colour=canvas.QUIET)
    canvas.write(pen, MARGIN, y + LINE, _protocol_words(protocol), colour=canvas.QUIET)


def _protocol_words(protocol: Protocol) -> str:
    """How the lists were ranked, in a line."""
    features = "L2-normalised features" if protocol.normalised else "features as they are"
    words = f"Euclidean distance of {features}"
    again = protocol.reranking
    if again is not None:
        parameters = f"k1 {again.k1}, k2 {again.k2}, lambda {again.weight:g}"
        words = f"k-reciprocal re-ranking ({parameters}) of {features}"
    if protocol.same_camera_ignored:
        return f"{words}; images of the person under the query's camera left out"
    return f"{words}; images under the query's camera count"
