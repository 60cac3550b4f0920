"""Maps of people as SVG: a panel for each feature, a colour and a shape for each person."""

from __future__ import annotations

import csv
import io

import numpy as np

from analysis import svg
from analysis.embeddings import FEATURES, Embedding
from analysis.figures import COLOURS
from analysis.words import counted

SIDE, BETWEEN, TOP = 300.0, 24.0, 52.0
ROOM = 10.0  # inside of a panel's border
RADIUS = 3.2
COLUMN, ROW = 104.0, 18.0
# Paths about the origin for a radius of 1: what tells people apart where colours do not.
SHAPES = (
    "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    "M-.9-.9H.9V.9H-.9Z",
    "M0-1.2L1.1.8H-1.1Z",
    "M0-1.3L1.3 0L0 1.3L-1.3 0Z",
    "M0 1.2L1.1-.8H-1.1Z",
)


def draw_embedding(found: Embedding, title: str) -> str:
    """The maps side by side as SVG text, with the people below."""
    people = np.unique(found.identities).tolist()
    width = len(found.points) * (SIDE + BETWEEN) - BETWEEN
    columns = max(1, int(width // COLUMN))
    height = TOP + SIDE + 16 + ROW * -(-len(people) // columns)
    images = counted(len(found.identities), "image")
    words = f"t-SNE of {images}, perplexity {found.perplexity:.3g}; axes mean nothing"
    shapes = [
        svg.text(0, 8, title, size=12.5, anchor="start", bold=True),
        svg.text(0, 25, words, size=10, anchor="start", opacity=0.75),
    ]
    for number, (name, points) in enumerate(found.points.items()):
        shapes.append(svg.moved(number * (SIDE + BETWEEN), TOP, _panel(found, people, name, points)))
    for number, person in enumerate(people):
        x, y = COLUMN * (number % columns), TOP + SIDE + 20 + ROW * (number // columns)
        shapes.append(_mark(x + 5, y, number))
        shapes.append(svg.text(x + 14, y, f"identity {person}", size=10, anchor="start"))
    return svg.document(width + 16, height + 16, title, [svg.moved(8, 8, shapes)])


def _panel(found: Embedding, people: list[int], name: str, points: np.ndarray) -> list[str]:
    places = {person: number for number, person in enumerate(people)}
    shapes = [
        svg.text(0, -9, FEATURES[name], size=10.5, anchor="start"),
        svg.box(0, 0, SIDE, SIDE, line=0.6),
    ]
    for (x, y), person, camera in zip(
        points.tolist(), found.identities.tolist(), found.cameras.tolist(), strict=True
    ):
        scale = SIDE - 2 * ROOM
        at = SIDE / 2 + scale * x, SIDE / 2 - scale * y
        shapes.append(_mark(*at, places[person], f"identity {person}, camera {camera}"))
    return shapes


def _mark(x: float, y: float, number: int, hint: str = "") -> str:
    """The mark of the person of that number, with its middle at (x, y)."""
    colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
    place = f"translate({svg.number(x)} {svg.number(y)}) scale({svg.number(RADIUS)})"
    close = f"><title>{svg.clean(hint)}</title></path>" if hint else "/>"
    return f'<path d="{shape}" transform="{place}" fill="{colour}" fill-opacity="0.75"{close}'


def point_rows(found: Embedding) -> list[tuple[str, int, int, float, float]]:
    """feature, identity, camera, x and y of every image, to six places."""
    return [
        (name, identity, camera, round(x, 6), round(y, 6))
        for name, points in found.points.items()
        for identity, camera, (x, y) in zip(
            found.identities.tolist(), found.cameras.tolist(), points.tolist(), strict=True
        )
    ]


HEADINGS = ("feature", "identity", "camera", "x", "y")


def points_csv(found: Embedding) -> str:
    """The points as CSV; lines end with a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADINGS)
    writer.writerows(point_rows(found))
    return text.getvalue()
