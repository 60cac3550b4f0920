"""Backgrounds and occluders of the rendered pedestrians: street, wall, corridor and park."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from autoreid.data.canvas import SUPERSAMPLING, Layer, oval
from autoreid.data.looks import COLOURS, Colour

FADE = np.float32(0.3)
Painter = Callable[[ImageDraw.ImageDraw, int, int, np.random.Generator], None]


def _tint(rng: np.random.Generator, colour: Colour, spread: int = 14) -> Colour:
    red, green, blue = (int(np.clip(value + rng.integers(-spread, spread + 1), 0, 255)) for value in colour)
    return red, green, blue


def _street(draw: ImageDraw.ImageDraw, height: int, width: int, rng: np.random.Generator) -> None:
    """House fronts with windows, a pavement, parked cars."""
    ground = int(height * 0.68)
    x = 0
    while x < width:
        house = int(rng.integers(height // 3, height))
        draw.rectangle((x, 0, x + house, ground), fill=_tint(rng, (150, 130, 112), 40))
        pane = _tint(rng, (74, 84, 100), 20)
        step = max(6, height // 5)
        for left in range(x + step // 3, x + house - step // 2, step):
            for top in range(step // 3, ground - step, step):
                draw.rectangle((left, top, left + step // 2, top + step * 2 // 3), fill=pane)
        x += house
    draw.rectangle((0, ground, width, height), fill=_tint(rng, (122, 120, 118)))
    draw.rectangle((0, ground, width, ground + height // 50), fill=(168, 166, 160))
    for _ in range(width // height + 1):
        left, size = int(rng.integers(width)), height // 2
        paint = COLOURS[("red", "white", "navy", "grey", "black")[int(rng.integers(5))]]
        draw.rounded_rectangle(
            (left, ground - size // 3, left + size, ground), max(1, size // 8), fill=_tint(rng, paint)
        )
        for wheel in (0.2, 0.8):
            x, r = left + int(size * wheel), size // 11
            draw.ellipse((x - r, ground - r, x + r, ground + r), fill=(20, 20, 20))


def _wall(draw: ImageDraw.ImageDraw, height: int, width: int, rng: np.random.Generator) -> None:
    """A brick wall with posters, above a paved strip."""
    ground = int(height * 0.8)
    brick = _tint(rng, (156, 92, 72), 20)
    draw.rectangle((0, 0, width, ground), fill=brick)
    course = max(3, height // 22)
    for row, top in enumerate(range(0, ground, course)):
        draw.line((0, top, width, top), fill=(184, 160, 142))
        for left in range((row % 2) * course, width, course * 2):
            draw.line((left, top, left, top + course), fill=(184, 160, 142))
    for _ in range(width // height):
        left, top = int(rng.integers(width)), int(rng.integers(ground // 2))
        paper = _tint(rng, (190, 180, 150), 60)
        draw.rectangle((left, top, left + height // 5, top + height // 4), fill=paper)
        draw.rectangle(
            (left + 2, top + 2, left + height // 6, top + height // 9), fill=_tint(rng, (120, 90, 90), 80)
        )
    draw.rectangle((0, ground, width, height), fill=_tint(rng, (166, 160, 148)))
    for left in range(0, width, height // 6):
        draw.line((left, ground, left - height // 12, height), fill=(130, 124, 116))


def _corridor(draw: ImageDraw.ImageDraw, height: int, width: int, rng: np.random.Generator) -> None:
    """Pale walls with doors and a handrail, above a tiled floor that reflects."""
    ground = int(height * 0.62)
    draw.rectangle((0, 0, width, ground), fill=_tint(rng, (206, 208, 198), 12))
    step = height * 2 // 3
    for left in range(int(rng.integers(step)), width, step):
        door = _tint(rng, (120, 140, 150), 40)
        draw.rectangle((left, ground // 6, left + step // 2, ground), fill=door)
        draw.rectangle((left + step // 8, ground // 4, left + step // 4, ground // 2), fill=(176, 196, 204))
    draw.rectangle((0, ground * 2 // 3, width, ground * 2 // 3 + height // 40), fill=(110, 96, 84))
    draw.rectangle((0, ground, width, height), fill=_tint(rng, (148, 156, 160), 12))
    for share in (0.0, 0.12, 0.3, 0.56):
        y = ground + int((height - ground) * share)
        draw.line((0, y, width, y), fill=(110, 116, 122))
    for left in range(-height, width, height // 4):
        draw.line((left, ground, left + height // 3, height), fill=(110, 116, 122))


def _park(draw: ImageDraw.ImageDraw, height: int, width: int, rng: np.random.Generator) -> None:
    """Sky, foliage, trunks, grass and a sandy path."""
    ground = int(height * 0.58)
    draw.rectangle((0, 0, width, ground), fill=_tint(rng, (176, 196, 214), 10))
    for _ in range(width // 4):
        x, y, r = int(rng.integers(width)), int(rng.integers(ground)), int(rng.integers(4, height // 8 + 5))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_tint(rng, (74, 108, 58), 26))
    for _ in range(2 * width // height):
        x, thick = int(rng.integers(width)), int(rng.integers(2, height // 16 + 3))
        draw.rectangle((x, 0, x + thick, ground + height // 20), fill=_tint(rng, (84, 64, 46), 12))
    draw.rectangle((0, ground, width, height), fill=_tint(rng, (104, 132, 70), 12))
    draw.rectangle((0, int(height * 0.8), width, height), fill=_tint(rng, (186, 168, 132), 10))


SCENES: dict[str, Painter] = {"street": _street, "wall": _wall, "corridor": _corridor, "park": _park}


def panorama(scene: str, height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A scene wider than one picture: (height, width, 3) in [0, 1], with grain and uneven light."""
    image = Image.new("RGB", (width, height))
    SCENES[scene](ImageDraw.Draw(image), height, width, rng)
    pixels = np.asarray(image, dtype=np.float32) / 255
    patches = rng.uniform(0.75, 1.15, size=(4, 10)).astype(np.float32)
    light = Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 0.03, size=(height, width, 1)).astype(np.float32)
    faded = FADE * pixels.mean(axis=2, keepdims=True) + (1 - FADE) * pixels
    return np.clip(faded * np.asarray(light)[..., None] + grain, 0, 1).astype(np.float32)


def paint_occluder(layer: Layer, rng: np.random.Generator) -> None:
    """Something between camera and person: a pole, a bush, a car's bonnet or a railing."""
    width, height = layer.size
    kind = int(rng.integers(4))
    if kind == 0:
        left, thick = float(rng.uniform(0.05, 0.9)) * width, float(rng.uniform(0.06, 0.16)) * width
        layer.paint([_box(left, 0, left + thick, height)], _tint(rng, (112, 112, 112), 60))
    elif kind == 1:
        centre = float(rng.choice([0.05, 0.95])) * width
        for _ in range(14):
            x, y = centre + float(rng.normal(0, 0.16)) * width, float(rng.uniform(0.66, 1.0)) * height
            leaf = oval(x, y, width * 0.1, width * 0.1)
            layer.paint([leaf], _tint(rng, (64, 96, 50), 24))
    elif kind == 2:
        top = float(rng.uniform(0.66, 0.84)) * height
        paint = COLOURS[("red", "white", "navy", "grey", "black")[int(rng.integers(5))]]
        bonnet = [(0, top + height * 0.05), (width * 0.3, top), (width, top + height * 0.02)]
        layer.paint([[*bonnet, (width, height), (0, height)]], _tint(rng, paint))
        layer.paint([_box(0, top + height * 0.09, width, top + height * 0.1)], (60, 60, 64))
    else:
        top, thick = float(rng.uniform(0.55, 0.7)) * height, SUPERSAMPLING * 2
        bars = [_box(x, top, x + thick, height) for x in range(int(rng.integers(16)), width, width // 5)]
        layer.paint([_box(0, top, width, top + 2 * thick), *bars], _tint(rng, (90, 94, 98), 40))


def _box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
