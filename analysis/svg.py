"""SVG text from a few shapes, for drawings that need no axes.

Ink is the colour of the surrounding text, as in `analysis.figures`, and areas are tinted by opacity, so that
a drawing stands on white and on dark grounds alike. Equal shapes give equal text. Lengths are in pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from analysis.figures import STYLE

INK = "currentColor"
SIZE = 11.0
ARROW = 6.0
# What XML 1.0 cannot hold, however it is escaped.
FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Letters by their width in ems, in the widest of the fonts that pages are shown in.
NARROW, SLIM = frozenset("ijl.,:;'|! /"), frozenset("frt()[]_-")

Point = tuple[float, float]


def clean(content: str) -> str:
    """Text that may stand between tags and in attributes.

    >>> clean('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return escape(FORBIDDEN.sub("\ufffd", content))


def number(value: float) -> str:
    """
    >>> number(12.0), number(1 / 3)
    ('12', '0.33')
    """
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def wide(content: str, size: float = SIZE) -> float:
    """Room that a text takes: an upper bound for the usual fonts without serifs, in which letters differ."""
    return sum(_width(char) for char in content) * size


def _width(char: str) -> float:
    if char in NARROW:
        return 0.36
    if char in SLIM:
        return 0.5
    return 1.0 if char in "mwMW@%" or ord(char) > 0x24F else 0.79 if char.isupper() else 0.64


def text(
    x: float,
    y: float,
    content: str,
    *,
    size: float = SIZE,
    anchor: str = "middle",
    bold: bool = False,
    colour: str = INK,
    opacity: float = 1.0,
) -> str:
    """One line of text whose middle has the height y; `anchor` is start, middle or end."""
    attributes = f'font-size="{number(size)}" text-anchor="{anchor}" fill="{colour}"'
    attributes += ' font-weight="600"' if bold else ""
    attributes += f' fill-opacity="{number(opacity)}"' if opacity < 1 else ""
    return f'<text x="{number(x)}" y="{number(y + 0.35 * size)}" {attributes}>{clean(content)}</text>'


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    radius: float = 4.0,
    shade: float = 0.0,
    fill: str = INK,
    stroke: str = INK,
    line: float = 1.0,
    dash: str = "",
    hint: str = "",
) -> str:
    """A rectangle with its upper left corner at (x, y), tinted by `shade` (0 to 1) of `fill`; `line` 0 draws
    no border. `hint` is shown where a pointer rests on it."""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    inner = f'fill="{fill}" fill-opacity="{number(shade)}"' if shade else 'fill="none"'
    border = f'stroke="{stroke}" stroke-width="{number(line)}"' if line else 'stroke="none"'
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    close = f"><title>{clean(hint)}</title></rect>" if hint else "/>"
    return f'<rect {place} rx="{number(radius)}" {inner} {border}{dashes}{close}'


def line(
    points: Sequence[Point],
    *,
    colour: str = INK,
    width: float = 1.2,
    dash: str = "",
    arrow: bool = False,
    opacity: float = 1.0,
) -> str:
    """A line through the points, with an arrow's head at the last one on request."""
    corners = list(points)
    head = ""
    if arrow:
        (x0, y0), (x, y) = corners[-2:]
        length = max(abs(x - x0), abs(y - y0))
        dx, dy = (x - x0) / length, (y - y0) / length
        bx, by = x - ARROW * dx, y - ARROW * dy
        half = 0.55 * ARROW
        wings = [(x, y), (bx - half * dy, by + half * dx), (bx + half * dy, by - half * dx)]
        head = f'<path d="{_path(wings)}Z" fill="{colour}"{_faint("fill", opacity)}/>'
        corners[-1] = (bx, by)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    stroke = f'stroke="{colour}" stroke-width="{number(width)}"{dashes}{_faint("stroke", opacity)}'
    return f'<path d="{_path(corners)}" fill="none" {stroke}/>{head}'


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _faint(what: str, opacity: float) -> str:
    return f' {what}-opacity="{number(opacity)}"' if opacity < 1 else ""


def dot(x: float, y: float, radius: float = 2.6, colour: str = INK) -> str:
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{colour}"/>'


def moved(x: float, y: float, shapes: Iterable[str]) -> str:
    """The shapes as one group, with their origin at (x, y)."""
    return f'<g transform="translate({number(x)} {number(y)})">{"".join(shapes)}</g>'


def document(width: float, height: float, title: str, shapes: Iterable[str]) -> str:
    """A whole SVG text, to stand alone or in a page; nothing in it has an id, and nothing is fetched."""
    size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
    head = f'<svg class="autoreid-figure" role="img" aria-label="{clean(title)}" {size}'
    body = "\n".join(shapes)
    return f'{head} xmlns="http://www.w3.org/2000/svg">\n<title>{clean(title)}</title>\n{STYLE}\n{body}\n</svg>\n'
