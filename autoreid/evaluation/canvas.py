"""What pictures of people are put together from: cells of one size with frames and marks, as PNG.

Free of torch. Equal content gives equal bytes.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Verdict = Literal["query", "right", "wrong"]

PAPER, INK, QUIET = (255, 255, 255), (29, 33, 40), (93, 102, 115)
# Bluish green and vermilion, which the common colour blindnesses tell apart; a tick and a cross say it too.
FRAMES: dict[Verdict, Colour] = {"query": INK, "right": (0, 158, 115), "wrong": (213, 94, 0)}

MARGIN, GAP, FRAME = 10, 6, 3
LINE = 15  # a line of text
TEXT, SMALL = 12, 10
MARK = 8
HIGHEST = 128  # pixels: images of more are scaled down, smaller ones stay as they are


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def text_width(content: str, size: int = TEXT) -> int:
    """Room that a line of text takes, in pixels."""
    return int(np.ceil(font(size).getlength(content)))


def shortened(content: str, width: int, size: int = TEXT) -> str:
    """The text, cut where it would be wider than `width` pixels."""
    if text_width(content, size) <= width:
        return content
    while content and text_width(f"{content}…", size) > width:
        content = content[:-1]
    return f"{content}…"


def sheet(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty picture, and the pen for it."""
    image = Image.new("RGB", (width, height), PAPER)
    return image, ImageDraw.Draw(image)


def write(
    pen: ImageDraw.ImageDraw, x: int, y: int, content: str, size: int = TEXT, colour: Colour = INK
) -> None:
    """A line of text with its upper left corner at (x, y)."""
    pen.text((x, y), content, fill=colour, font=font(size))


def mark(pen: ImageDraw.ImageDraw, x: int, y: int, verdict: Verdict) -> None:
    """A tick, a cross or nothing in a square of `MARK` pixels with its upper left corner at (x, y)."""
    colour = FRAMES[verdict]
    end = MARK - 1
    if verdict == "right":
        pen.line([(x, y + end // 2), (x + 3, y + end), (x + end, y)], fill=colour, width=2)
    elif verdict == "wrong":
        pen.line([(x, y), (x + end, y + end)], fill=colour, width=2)
        pen.line([(x, y + end), (x + end, y)], fill=colour, width=2)


def framed(image: Image.Image, picture: Image.Image, x: int, y: int, colour: Colour | None) -> None:
    """Put a picture with its upper left corner at (x, y), with a frame of `FRAME` pixels around it."""
    if colour is not None:
        box = (x - FRAME, y - FRAME, x + picture.width + FRAME, y + picture.height + FRAME)
        image.paste(colour, box)
    image.paste(picture, (x, y))


def shown(pixels: np.ndarray) -> Image.Image:
    """An image of the data, uint8 (3, height, width), no higher than `HIGHEST`."""
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return picture.resize(shown_size(pixels.shape), Image.Resampling.LANCZOS)


def shown_size(shape: Sequence[int]) -> tuple[int, int]:
    """Width and height at which an image of the data, (..., height, width), is shown.

    >>> shown_size((3, 256, 128)), shown_size((3, 64, 32))
    ((64, 128), (32, 64))
    """
    height, width = shape[-2:]
    scale = min(1.0, HIGHEST / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def png(image: Image.Image) -> bytes:
    """The picture as PNG, without times and names."""
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()
