"""The shapes of an SVG text, taken apart: segments of lines, and the room that texts take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
Segment = tuple[float, float, float, float]
Room = tuple[float, float, float, float]


def _walk(
    element: ElementTree.Element, x: float = 0.0, y: float = 0.0
) -> Iterator[tuple[ElementTree.Element, float, float]]:
    """Every element with the origin of its group."""
    moved = re.search(r"translate\((\S+) (\S+)\)", element.get("transform", ""))
    if moved:
        x, y = x + float(moved[1]), y + float(moved[2])
    yield element, x, y
    for child in element:
        yield from _walk(child, x, y)


def texts(svg: str) -> list[str]:
    """What can be read in it, the title left out."""
    root = ElementTree.fromstring(svg)
    return ["".join(found.itertext()) for found in root.iter(f"{SVG}text")]


def segments(svg: str) -> list[Segment]:
    """The straight parts of all lines; areas are left out."""
    found = []
    for element, x, y in _walk(ElementTree.fromstring(svg)):
        path = element.get("d", "")
        if element.tag != f"{SVG}path" or "Z" in path.upper():
            continue
        corners = [tuple(map(float, corner.split())) for corner in path[1:].split("L")]
        found += [(a + x, b + y, c + x, d + y) for (a, b), (c, d) in pairwise(corners)]
    return found


def rooms(svg: str) -> dict[str, Room]:
    """Left, top, right and bottom of every text, by the widths of common letters."""
    found = {}
    for element, x, y in _walk(ElementTree.fromstring(svg)):
        if element.tag != f"{SVG}text":
            continue
        content, size = "".join(element.itertext()), float(element.get("font-size", "0"))
        width = 0.5 * size * len(content)
        anchor = element.get("text-anchor")
        left = (
            x + float(element.get("x", "0")) - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor or ""]
        )
        base = y + float(element.get("y", "0"))
        found[f"{content} at {left:.0f} {base:.0f}"] = (left, base - 0.7 * size, left + width, base)
    return found


def struck(svg: str) -> list[str]:
    """The texts that a line runs through."""
    lines = segments(svg)
    return [
        name
        for name, (left, top, right, bottom) in rooms(svg).items()
        for a, b, c, d in lines
        if min(a, c) < right and max(a, c) > left and min(b, d) < bottom and max(b, d) > top
    ]


def outside(svg: str) -> list[str]:
    """The texts that leave the drawing."""
    root = ElementTree.fromstring(svg)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    return [
        name
        for name, (left, top, right, bottom) in rooms(svg).items()
        if left < 0 or top < 0 or right > width or bottom > height
    ]
