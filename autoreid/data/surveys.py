"""What a reader finds below a folder: the images, and all that keeps them from being used. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autoreid.data.index import ImageIndex
from autoreid.errors import InputError

DISTRACTOR, JUNK = 0, -1


class Row(NamedTuple):
    """One image: its posix path relative to the survey's root, and what the reader says of it."""

    name: str
    identity: int
    camera: int
    split: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a data set from being read: its kind, and a message with place, value and remedy."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """How much a split holds. `files` counts the junk, `images` does not; distractors are no identity."""

    files: int
    images: int
    identities: int


@dataclass(frozen=True, slots=True)
class Published:
    """The counts that the authors of a data set print."""

    splits: Mapping[str, SplitCounts]
    cameras: int


@dataclass(frozen=True, slots=True)
class Survey:
    """A reader's whole answer; nothing is raised for what is wrong.

    root: the folder that the names start at. layout: in words. junk: dropped images by split. facts: see
    `ImageIndex`. remarks: what need not be a mistake.
    """

    root: Path
    title: str
    layout: str = ""
    rows: tuple[Row, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    junk: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    published: Published | None = None


def index_of(survey: Survey) -> ImageIndex:
    """The index of a survey. InputError with all its troubles at once."""
    if survey.troubles:
        raise InputError(*(trouble.message for trouble in survey.troubles))
    return rows_index(survey.root, survey.rows, {"layout": survey.layout} | dict(survey.facts))


def rows_index(root: Path, rows: Iterable[Row], facts: Mapping[str, str | int | bool]) -> ImageIndex:
    """Rows of any order as an index, sorted by name."""
    ordered = sorted(rows)
    return ImageIndex(
        root=root,
        names=tuple(row.name for row in ordered),
        identities=np.array([row.identity for row in ordered], dtype=np.int64),
        cameras=np.array([row.camera for row in ordered], dtype=np.int64),
        splits=np.array([row.split for row in ordered], dtype="U7"),
        facts=facts,
    )


def rows_of(index: ImageIndex) -> tuple[Row, ...]:
    """The rows of an index, in its order."""
    columns = (index.names, index.identities.tolist(), index.cameras.tolist(), index.splits.tolist())
    return tuple(Row(*row) for row in zip(*columns, strict=True))


def one_camera(index: ImageIndex) -> str:
    """What to do where all test images are of one camera and this was not chosen; nothing elsewhere."""
    rows = np.flatnonzero(index.splits != "train")
    if index.single_camera or not len(rows) or len(np.unique(index.cameras[rows])) > 1:
        return ""
    return (
        f"{index.root}: query and gallery come from one camera ({index.cameras[rows[0]]}), and the protocol "
        "looks for people in other cameras. Give the images their right camera numbers; or, if there is one "
        "camera only, choose single_camera: true (--data-option single_camera=true), which counts matches in "
        "the query's own camera and is stored with every result."
    )


def plain_name(name: str) -> str:
    """A folder's name without case, hyphens and underscores.

    >>> plain_name("Market-1501-v15.09.15")
    'market1501v15.09.15'
    """
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def folders_below(root: Path, known: Iterable[str], depth: int = 2) -> Iterator[Path]:
    """`root`, then the folders at most `depth` levels below it whose plain names are `known`, by name."""
    yield root
    if depth == 0:
        return
    names = frozenset(known)
    try:
        children = sorted(path for path in root.iterdir() if plain_name(path.name) in names and path.is_dir())
    except OSError:
        return  # what cannot be listed holds nothing to be found
    for child in children:
        yield from folders_below(child, names, depth - 1)
