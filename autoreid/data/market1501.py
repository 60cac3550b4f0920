"""Market-1501, and every data set laid out like it. Free of torch.

Folders bounding_box_train, query and bounding_box_test; file names such as 0002_c1s1_000451_03.jpg, which
give identity 2 and camera 1. Identity -1 (junk, which no protocol counts) is dropped; 0000 (distractors)
stays in the gallery as identity 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoreid.data.index import ImageIndex, few
from autoreid.errors import InputError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
SUBFOLDERS = ("", "Market-1501-v15.09.15", "market1501")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
JUNK, DISTRACTOR = -1, 0
SHOWN_ALIENS = 5

# Identity and camera; the sequence, frame and box numbers that follow do not matter here.
NAME = re.compile(r"(-1|\d+)_c(\d+)s\d+_\d+_\d+\.(?:jpg|jpeg|png|bmp)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """How much a split holds. `files` counts the junk, `images` does not."""

    files: int
    images: int
    identities: int


# Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015. The gallery's identities leave out
# the distractors, which are identity 0 here.
PUBLISHED = {
    "train": SplitCounts(12936, 12936, 751),
    "query": SplitCounts(3368, 3368, 750),
    "gallery": SplitCounts(19732, 15913, 750),
}
PUBLISHED_CAMERAS = 6


@dataclass(frozen=True, slots=True)
class SplitScan:
    """What the folder of one split holds, problems included. rows: (file name, identity, camera), by name.
    `closed` says why the folder could not be listed: nothing else is known then."""

    split: str
    folder: Path
    closed: str = ""
    rows: tuple[tuple[str, int, int], ...] = ()
    aliens: tuple[str, ...] = ()
    junk: int = 0

    def problems(self) -> Iterator[tuple[str, str]]:
        """(kind, message with its remedy) of everything that keeps this split from being read."""
        place = self.folder
        if self.closed:
            remedy = f"Give a readable folder that holds {', '.join(FOLDERS.values())}."
            yield "missing folder", f"{place}: {self.closed}. {remedy}"
            return
        if self.aliens:
            remedy = "Rename them like 0002_c1s1_000451_03.jpg (identity, camera), or move them away."
            names = [f"{name}: not a name of this layout" for name in self.aliens]
            yield "alien file name", "\n".join(few(place, names, remedy, shown=SHOWN_ALIENS))
        if not self.rows and not self.aliens:
            only = f"only junk ({self.junk} images of identity -1)" if self.junk else "no image"
            yield "empty split", f"{place}: {only}. Unpack the data set again: this split is empty."
        reserved = sum(identity == DISTRACTOR for _, identity, _ in self.rows)
        if reserved and self.split != "gallery":
            yield (
                "reserved identity",
                (
                    f"{place}: {reserved} images of identity 0000, which is kept for distractors in "
                    f"{FOLDERS['gallery']}. Number identities from 0001."
                ),
            )


def find_root(root: Path) -> Path:
    """The folder that holds the three splits: `root` itself or one of its known subfolders."""
    for name in SUBFOLDERS:
        if any((root / name / folder).is_dir() for folder in FOLDERS.values()):
            return root / name
    return root


def scan(root: Path) -> list[SplitScan]:
    """Look into all three folders below `root` (see `find_root`) without raising."""
    return [_scan_split(split, root / folder) for split, folder in FOLDERS.items()]


def _scan_split(split: str, folder: Path) -> SplitScan:
    if not folder.is_dir():
        return SplitScan(split, folder, closed="no such folder")
    try:
        names = sorted(path.name for path in folder.iterdir() if is_image(path))
    except OSError as error:
        return SplitScan(split, folder, closed=error.strerror or str(error))
    rows, aliens, junk = [], [], 0
    for name in names:
        match = NAME.fullmatch(name)
        if match is None:
            aliens.append(name)
        elif int(match[1]) == JUNK:
            junk += 1
        else:
            rows.append((name, int(match[1]), int(match[2])))
    return SplitScan(split, folder, "", tuple(rows), tuple(aliens), junk)


def is_image(path: Path) -> bool:
    """Whether a file claims to be an image. Hidden files (._0002_c1s1_000451_03.jpg) never do."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def read(root: Path) -> ImageIndex:
    """Index a folder in the Market-1501 layout.

    `root` holds the three split folders, or holds a folder Market-1501-v15.09.15 or market1501 that does.
    Identity and camera come from the file name alone. InputError with every missing folder, empty split and
    alien file name at once; files that are not images (Thumbs.db, readme.txt) are passed over.
    """
    if not root.is_dir():
        remedy = f"Give the folder that holds {', '.join(FOLDERS.values())}."
        raise InputError(f"{root}: no such folder. {remedy}")
    found = find_root(root)
    scans = scan(found)
    problems = [message for part in scans for _, message in part.problems()]
    if problems:
        raise InputError(*problems)
    return index_of(found, scans)


def index_of(root: Path, scans: list[SplitScan]) -> ImageIndex:
    """The index of scanned splits, sorted by name."""
    rows = sorted(
        (f"{part.folder.name}/{name}", identity, camera, part.split)
        for part in scans
        for name, identity, camera in part.rows
    )
    return ImageIndex(
        root=root,
        names=tuple(row[0] for row in rows),
        identities=np.array([row[1] for row in rows], dtype=np.int64),
        cameras=np.array([row[2] for row in rows], dtype=np.int64),
        splits=np.array([row[3] for row in rows], dtype="U7"),
    )
