"""Filled polygons at twice the final size: what the rendered pedestrians are drawn with.

Body units: a person is 1 high, y runs from 0 (top of the head) to 1 (soles), x is 0 on the body's axis.
`Placement` turns body units into pixels, and carries the camera's viewpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from autoreid.data.looks import Colour

Point = tuple[float, float]
Polygon = Sequence[Point]
Fill = Colour | Image.Image
SUPERSAMPLING = 2
CIRCLE = tuple((math.cos(angle), math.sin(angle)) for angle in np.linspace(0, 2 * math.pi, 15)[:-1].tolist())


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a body stands, in pixels of the large canvas: `left` is its axis, `top` the top of its head."""

    left: float
    top: float
    across: float
    down: float
    lean: float = 0.0
    taper: float = 0.0

    def __call__(self, polygon: Polygon) -> list[Point]:
        """Body units to pixels. `taper` widens what is high up, as a camera above the street sees it."""
        return [
            (
                self.left + self.across * (x * (1 + self.taper * (0.5 - y)) + self.lean * (0.5 - y)),
                self.top + self.down * (y + self.taper * 0.25 * y * (1 - y)),
            )
            for x, y in polygon
        ]


class Layer:
    """Polygons over nothing: a picture on black and how far it covers each pixel."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
        self.picture = Image.new("RGB", self.size)
        self.cover = Image.new("L", self.size)
        self._picture = ImageDraw.Draw(self.picture)
        self._cover = ImageDraw.Draw(self.cover)

    def paint(self, polygons: Sequence[Polygon], fill: Fill) -> None:
        """Fill polygons, given in pixels, with a colour or with a cloth as large as the canvas."""
        if isinstance(fill, Image.Image):
            mask = Image.new("L", self.size)
            draw = ImageDraw.Draw(mask)
            for polygon in polygons:
                draw.polygon(polygon, fill=255)
            self.picture.paste(fill, (0, 0), mask)
        for polygon in polygons:
            self._cover.polygon(polygon, fill=255)
            if not isinstance(fill, Image.Image):
                self._picture.polygon(polygon, fill=fill)

    def flatten(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """At final size, in [0, 1]: the picture times its cover (height, width, 3), the cover (.., 1)."""
        picture = np.asarray(self.picture.reduce(SUPERSAMPLING), dtype=np.float32) / np.float32(255)
        cover = np.asarray(self.cover.reduce(SUPERSAMPLING), dtype=np.float32)[..., None] / np.float32(255)
        return picture, cover


def oval(x: float, y: float, half_width: float, half_height: float) -> list[Point]:
    return [(x + half_width * a, y + half_height * b) for a, b in CIRCLE]


def limb(joints: Polygon, widths: Sequence[float]) -> list[list[Point]]:
    """A chain of joints as polygons: one tapered piece between two joints, a disc on every joint."""
    pieces = [oval(x, y, width / 2, width / 2) for (x, y), width in zip(joints, widths, strict=True)]
    for index in range(len(joints) - 1):
        (x0, y0), (x1, y1) = joints[index], joints[index + 1]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        across, down = -(y1 - y0) / length / 2, (x1 - x0) / length / 2
        w0, w1 = widths[index], widths[index + 1]
        pieces.append(
            [
                (x0 + across * w0, y0 + down * w0),
                (x1 + across * w1, y1 + down * w1),
                (x1 - across * w1, y1 - down * w1),
                (x0 - across * w0, y0 - down * w0),
            ]
        )
    return pieces


def along(joints: Polygon, share: float) -> list[Point]:
    """The first `share` of a chain of three joints."""
    (x0, y0), (x1, y1), (x2, y2) = joints
    if share >= 1:
        return [*joints]
    if share <= 0.5:
        return [(x0, y0), (x0 + (x1 - x0) * share * 2, y0 + (y1 - y0) * share * 2)]
    rest = share * 2 - 1
    return [(x0, y0), (x1, y1), (x1 + (x2 - x1) * rest, y1 + (y2 - y1) * rest)]


def darker(fill: Fill, factor: float) -> Fill:
    if isinstance(fill, Image.Image):
        return fill.point(lambda value: value * factor)
    return (int(fill[0] * factor), int(fill[1] * factor), int(fill[2] * factor))
