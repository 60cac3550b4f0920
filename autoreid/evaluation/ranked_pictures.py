"""Ranked lists as one picture: a row for each query, the nearest gallery images framed as right or wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoreid.data.index import ImageIndex
from autoreid.data.views import Images
from autoreid.evaluation.canvas import Verdict
from autoreid.evaluation.picture_rows import Cell, Heading, Row, draw_rows
from autoreid.evaluation.protocol import Protocol
from autoreid.evaluation.ranked_lists import RankedList

LEGEND: tuple[tuple[Verdict, str], ...] = (("right", "the query's person"), ("wrong", "someone else"))


def draw_ranked(lists: Sequence[RankedList], images: Images, index: ImageIndex, protocol: Protocol) -> bytes:
    """The lists as PNG: a tick and green frames where the person is right, a cross and orange ones elsewhere,
    with camera and distance below.

    images: uint8 (images, 3, height, width), rows as in `index`. They are shown as the network sees them, no
    higher than `canvas.HIGHEST` pixels.
    """
    rows = [Row(_title(found, index), _cells(found, index)) for found in lists]

    def pixels(number: int) -> np.ndarray:
        found = lists[number]
        return np.asarray(images[np.array([found.query, *found.gallery.tolist()])])

    heading = Heading(LEGEND, "below: camera (c) and distance, nearest first", _protocol_words(protocol))
    return draw_rows(rows, pixels, heading, images.shape)


def _cells(found: RankedList, index: ImageIndex) -> list[Cell]:
    """The query and its list."""
    cells = [Cell("query", int(index.cameras[found.query]), "query")]
    for image, distance, right in zip(
        found.gallery.tolist(), found.distances.tolist(), found.right.tolist(), strict=True
    ):
        verdict: Verdict = "right" if right else "wrong"
        cells.append(Cell(verdict, int(index.cameras[image]), f"{distance:.3f}"))
    return cells


def _title(found: RankedList, index: ImageIndex) -> str:
    """What is known of a query, in a line."""
    begin = f"identity {index.identities[found.query]}   "
    if found.average_precision is None:
        begin += "no match in the gallery"
    else:
        begin += f"AP {100 * found.average_precision:.1f} %   first match at rank {found.first_rank}"
    return f"{begin}   {index.names[found.query]}"


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
