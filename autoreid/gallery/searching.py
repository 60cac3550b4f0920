"""Queries by a gallery: what is looked for, what was found, as tables, lines and a picture. Free of torch."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from autoreid.data.arrays import resized
from autoreid.data.images import read_image, reason
from autoreid.data.index import few
from autoreid.errors import InputError
from autoreid.evaluation.canvas import Verdict
from autoreid.evaluation.picture_rows import Cell, Heading, Row, draw_rows
from autoreid.gallery.feature_files import GROUP, FeatureFile
from autoreid.gallery.images import ImageFile, Said
from autoreid.gallery.nearest import NOBODY, Nearest
from autoreid.whole_files import output_file

if TYPE_CHECKING:
    import pyarrow as pa

Search = Callable[["Queries", int], Nearest]
# Queries that are looked for in one reading of the gallery.
TOGETHER = 2 * GROUP
LEGEND: tuple[tuple[Verdict, str], ...] = (("right", "the query's person"), ("wrong", "someone else"))


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Images that are looked for, and their features, float32 (images, dim)."""

    images: Sequence[ImageFile]
    features: np.ndarray

    @property
    def cameras(self) -> np.ndarray:
        """Their cameras, int64 (images,), -1 where it is not known."""
        known = [-1 if image.said.camera is None else image.said.camera for image in self.images]
        return np.array(known, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found for some queries. labels: of the whole gallery, by `Gallery.labels`. threshold: the
    distance below which an image is taken to show the query's person, None where nobody said one."""

    queries: Queries
    nearest: Nearest
    labels: pa.Table
    threshold: float | None

    def table(self) -> pa.Table:
        """A row for every query and image found, in their order."""
        import pyarrow as pa  # deferred: slow to load

        place, rank = np.nonzero(self.nearest.rows != NOBODY)
        said = self.labels.take(pa.array(self.nearest.rows[place, rank]))
        images, distances = self.queries.images, self.nearest.distances[place, rank]
        same = [None] * len(distances) if self.threshold is None else distances < self.threshold
        columns = {
            "query": pa.array([image.name for image in images], pa.string()).take(pa.array(place)),
            "query_identity": pa.array([i.said.identity for i in images], pa.int64()).take(pa.array(place)),
            "query_camera": pa.array([i.said.camera for i in images], pa.int64()).take(pa.array(place)),
            "rank": pa.array(rank + 1, pa.int64()),
            **{name: said[name].combine_chunks() for name in ("name", "identity", "camera")},
            "distance": pa.array(distances, pa.float64()),
            "same": pa.array(same, pa.bool_()),
        }
        return pa.table(columns)

    def plain(self) -> list[dict[str, Any]]:
        """The same as JSON values, a group for every query."""
        rows = self.table().select(["rank", "name", "identity", "camera", "distance", "same"]).to_pylist()
        matches = iter(rows)
        return [
            {
                "name": image.name,
                "identity": image.said.identity,
                "camera": image.said.camera,
                "matches": list(itertools.islice(matches, count)),
            }
            for image, count in zip(self.queries.images, self.counts, strict=True)
        ]

    @property
    def counts(self) -> list[int]:
        """How many images were found for each query."""
        found: list[int] = np.count_nonzero(self.nearest.rows != NOBODY, axis=1).tolist()
        return found


def queries_of_file(file: FeatureFile) -> Iterator[Queries]:
    """The images of a file of features, `TOGETHER` at a time."""
    labels, start = file.labels(), 0
    for features in joined(file.blocks()):
        rows = labels.slice(start, len(features)).to_pylist()
        images = [
            ImageFile(row["name"], row["folder"], Said(row["identity"], row["camera"], row["split"]))
            for row in rows
        ]
        yield Queries(images, features)
        start += len(features)


def joined(blocks: Iterable[np.ndarray], rows: int = TOGETHER) -> Iterator[np.ndarray]:
    """Blocks put together until they have `rows` rows or more."""
    held: list[np.ndarray] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= rows:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def queries_of_images(
    batches: Iterable[tuple[Sequence[ImageFile], np.ndarray]], rows: int = TOGETHER
) -> Iterator[Queries]:
    """Images with their features, batch by batch, put together until there are `rows` or more."""
    images: list[ImageFile] = []
    features: list[np.ndarray] = []
    for taken, found in batches:
        images += taken
        features.append(found)
        if len(images) >= rows:
            yield Queries(images, np.concatenate(features))
            images, features = [], []
    if images:
        yield Queries(images, np.concatenate(features))


def together(parts: Sequence[Found]) -> Found:
    """Parts of one search as one."""
    return Found(
        Queries(
            [image for part in parts for image in part.queries.images],
            np.concatenate([part.queries.features for part in parts]),
        ),
        Nearest(
            np.concatenate([part.nearest.rows for part in parts]),
            np.concatenate([part.nearest.distances for part in parts]),
        ),
        parts[0].labels,
        parts[0].threshold,
    )


class TableWriter:
    """Writes tables of one schema to an open file, as CSV or parquet by the ending of its name."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file, self.csv = file, name.endswith(".csv")
        self.writer: Any = None

    def add(self, table: pa.Table) -> None:
        """Write more rows."""
        import pyarrow.csv as csv  # deferred: slow to load
        import pyarrow.parquet as parquet

        if self.writer is None:
            kind = csv.CSVWriter if self.csv else parquet.ParquetWriter
            self.writer = kind(self.file, table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


@contextlib.contextmanager
def table_file(path: Path) -> Iterator[TableWriter]:
    """A table to write that is there when all of it is."""
    with output_file(path) as file:
        writer = TableWriter(file, path.name)
        try:
            yield writer
            writer.close()
        finally:
            if writer.writer is not None and not writer.csv:
                writer.writer.is_open = False  # else it would be closed once more when it is collected


def draw_found(found: Found, shape: tuple[int, int], folder: str | None = None) -> bytes:
    """The queries, each with what was found for it, as PNG. shape: height and width, in pixels, of the images
    that the network takes. folder: where the gallery's images lie, if no longer where they were.

    Where identities are known, a tick and a green frame tell the query's person; what is beyond the threshold
    is faint. InputError, all of them together, for images that cannot be read.
    """
    shown = found.nearest.rows[found.nearest.rows != NOBODY]
    matches = iter(found.labels.take(shown).to_pylist())
    rows, pictures = [], []
    for image, told in zip(found.queries.images, found.plain(), strict=True):
        own = list(itertools.islice(matches, len(told["matches"])))
        rows.append(Row(_title(told), [_query_cell(told), *(_cell(told, m) for m in told["matches"])]))
        pictures.append([image.path, *(Path(folder or m["folder"], m["name"]) for m in own)])
    pixels = _pixels(dict.fromkeys(path for row in pictures for path in row), *shape)
    labelled = any(cell.verdict in ("right", "wrong") for row in rows for cell in row.cells)
    note = "below: camera (c), where it is known, and distance, nearest first"
    heading = Heading(LEGEND if labelled else (), note, _how(found.threshold))
    return draw_rows(rows, lambda number: [pixels[path] for path in pictures[number]], heading, shape)


def _title(told: Mapping[str, Any]) -> str:
    begin = "" if told["identity"] is None else f"identity {told['identity']}   "
    return f"{begin}{told['name']}"


def _query_cell(told: Mapping[str, Any]) -> Cell:
    return Cell("query", told["camera"], "query")


def _cell(query: Mapping[str, Any], match: Mapping[str, Any]) -> Cell:
    verdict = _verdict(query["identity"], match["identity"])
    return Cell(verdict, match["camera"], f"{match['distance']:.3f}", faint=match["same"] is False)


def _verdict(query: int | None, match: int | None) -> Verdict | None:
    """Whether two images show one person; None where nobody knows. Distractors, 0, are all people that nobody
    names, and junk, -1, is nobody.

    >>> _verdict(7, 7), _verdict(7, 0), _verdict(0, 0), _verdict(-1, 7)
    ('right', 'wrong', None, None)
    """
    if query is None or match is None or min(query, match) < 0 or query == match == 0:
        return None
    return "right" if query == match else "wrong"


def _how(threshold: float | None) -> str:
    words = "Euclidean distance of L2-normalised features"
    return words if threshold is None else f"{words}; faint: {threshold:.3f} or more, the threshold"


def _pixels(paths: Iterable[Path], height: int, width: int) -> dict[Path, np.ndarray]:
    found, problems = {}, []
    for path in paths:
        try:
            found[path] = resized(read_image(path), height, width)
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            problems.append(f"{path}: {reason(error)}")
    if problems:
        remedy = "Restore these images, or say by --gallery-images where those of the gallery lie."
        raise InputError(*few("--picture", problems, remedy))
    return found
