"""Folders bounding_box_train, query and bounding_box_test, whose file names give identity and camera.

Market-1501 began it; DukeMTMC-reID, releases of CUHK03 and MSMT17 and people's own data follow. Free of
torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoreid.data.index import few
from autoreid.data.surveys import DISTRACTOR, JUNK, Published, Row, Survey, Trouble, folders_below
from autoreid.words import counted

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
SHOWN_ALIENS = 5
LONGEST_NUMBER = 18  # digits that surely fit 64 bits
ENDING = r"\.(?:jpg|jpeg|png|bmp)"


@dataclass(frozen=True, slots=True)
class Naming:
    """File names of a data set: group 1 of the pattern is the identity, group 2 the camera. The whole name
    must fit, and never more than the name: a folder may be called anything."""

    title: str
    option: str
    pattern: re.Pattern[str]
    example: str

    def read(self, name: str) -> tuple[int, int] | None:
        """Identity and camera of a file name; None where it is of another naming."""
        match = self.pattern.fullmatch(name)
        if match is None or max(len(match[1]), len(match[2])) > LONGEST_NUMBER:
            return None
        return int(match[1]), int(match[2])


def _naming(title: str, option: str, pattern: str, example: str) -> Naming:
    return Naming(title, option, re.compile(pattern + ENDING, re.IGNORECASE), example)


MARKET = _naming("Market-1501", "market1501", r"(-1|\d+)_c(\d+)s\d+_\d+_\d+", "0002_c1s1_000451_03.jpg")
DUKE = _naming("DukeMTMC-reID", "dukemtmc", r"(\d+)_c(\d+)_f\d+", "0001_c2_f0046182.jpg")
CUHK03 = _naming("CUHK03", "cuhk03", r"(\d+)_c([12])_\d+", "0001_c1_2.png")
# The names of the official release, or c and the camera; those of the other data sets do not fit.
MSMT17 = _naming(
    "MSMT17", "msmt17", r"(\d+)_(?:c|\d+_)(\d+)_(?!f\d)[^/]+", "0000_000_01_0303morning_0008_0.jpg"
)
NAMINGS = (MARKET, DUKE, CUHK03, MSMT17)


@dataclass(frozen=True, slots=True)
class SplitScan:
    """What the folder of one split holds, problems included. rows: (file name, identity, camera), by name.
    `closed` says why the folder could not be listed: nothing else is known then."""

    split: str
    folder: Path
    naming: Naming
    closed: str = ""
    rows: tuple[tuple[str, int, int], ...] = ()
    aliens: tuple[str, ...] = ()
    junk: int = 0

    def troubles(self) -> Iterator[Trouble]:
        """Everything that keeps this split from being read."""
        place = self.folder
        if self.closed:
            remedy = f"Give a readable folder that holds {', '.join(FOLDERS.values())}."
            yield Trouble("missing folder", f"{place}: {self.closed}. {remedy}")
            return
        if self.aliens:
            names = [f"{name}: not a name of this layout" for name in self.aliens]
            remedy = _alien_remedy(self.naming, self.aliens)
            yield Trouble("alien file name", "\n".join(few(place, names, remedy, shown=SHOWN_ALIENS)))
        if not self.rows and not self.aliens:
            only = f"only junk ({counted(self.junk, 'image')} of identity -1)" if self.junk else "no image"
            remedy = "Unpack the data set again: this split is empty."
            yield Trouble("empty split", f"{place}: {only}. {remedy}")


def _alien_remedy(naming: Naming, aliens: Iterable[str]) -> str:
    remedy = f"Rename them like {naming.example} (identity, camera), or move them away."
    for other in NAMINGS:
        if other is not naming and all(other.read(name) for name in aliens):
            return f"These are names of {other.title}: choose the data set {other.option}. {remedy}"
    return remedy


def reserved_identity(scan: SplitScan) -> Iterator[Trouble]:
    """Identity 0 outside the gallery, where only distractors have it."""
    found = sum(identity == DISTRACTOR for _, identity, _ in scan.rows)
    if found and scan.split != "gallery":
        yield Trouble(
            "reserved identity",
            f"{scan.folder}: {counted(found, 'image')} of identity 0000, which is kept for distractors in "
            f"{FOLDERS['gallery']}. Number identities from 0001.",
        )


def image_names(folder: Path) -> list[str]:
    """File names of the images in a folder, sorted: the order of the listing does not matter. Hidden files
    (._0002_c1s1_000451_03.jpg) and folders are passed over. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(SUFFIXES) and entry.name[0] != "." and entry.is_file()
        )


def scan_folder(split: str, folder: Path, naming: Naming) -> SplitScan:
    """Look into the folder of one split, without raising."""
    if not folder.is_dir():
        return SplitScan(split, folder, naming, closed="no such folder")
    try:
        names = image_names(folder)
    except OSError as error:
        return SplitScan(split, folder, naming, closed=error.strerror or str(error))
    rows, aliens, junk = [], [], 0
    for name in names:
        found = naming.read(name)
        if found is None:
            aliens.append(name)
        elif found[0] == JUNK:
            junk += 1
        else:
            rows.append((name, *found))
    return SplitScan(split, folder, naming, "", tuple(rows), tuple(aliens), junk)


def survey_folders(
    root: Path,
    naming: Naming,
    layout: str,
    published: Published,
    *,
    remarks: tuple[str, ...] = (),
    shifts: Mapping[str, int] | None = None,
) -> Survey:
    """Look into the three folders of `root`, without raising; `shifts` is added to identities by split.
    Identity 0 is a distractor where it is not shifted."""
    if not root.is_dir():
        said, more = "no such folder", ""
        if root.is_file():
            said, more = "a file and no folder", "; for an index file choose the data set index"
        remedy = f"Give the folder that holds {', '.join(FOLDERS.values())}{more}."
        nowhere = Trouble("missing folder", f"{root}: {said}. {remedy}")
        return Survey(root, naming.title, layout, troubles=(nowhere,), published=published)
    scans = scan_splits(root, naming)
    troubles = [trouble for scan in scans for trouble in scan.troubles()]
    if not shifts:
        troubles.extend(trouble for scan in scans for trouble in reserved_identity(scan))
    return Survey(
        root=root,
        title=naming.title,
        layout=layout,
        rows=scan_rows(scans, shifts),
        troubles=tuple(troubles),
        junk={scan.split: scan.junk for scan in scans},
        remarks=remarks,
        published=published,
    )


def scan_splits(root: Path, naming: Naming) -> list[SplitScan]:
    """Look into all three folders of `root`, without raising."""
    return [scan_folder(split, root / folder, naming) for split, folder in FOLDERS.items()]


def scan_rows(scans: Iterable[SplitScan], shifts: Mapping[str, int] | None = None) -> tuple[Row, ...]:
    """The rows of scanned splits; `shifts` is added to the identities of a split."""
    added = shifts or {}
    return tuple(
        Row(f"{scan.folder.name}/{name}", identity + added.get(scan.split, 0), camera, scan.split)
        for scan in scans
        for name, identity, camera in scan.rows
    )


def folder_layouts(root: Path, known: Iterable[str], naming: Naming) -> list[str]:
    """Where folders with names of a naming lie at or below `root`, each place in words."""
    places = [folder for folder in folders_below(root, known) if has_splits(folder)]
    return [f"{naming.title} folders in {folder}" for folder in places if naming_of(folder) is naming]


def has_splits(root: Path) -> bool:
    """Whether a folder holds at least one of the three."""
    return any((root / folder).is_dir() for folder in FOLDERS.values())


def naming_of(root: Path) -> Naming | None:
    """The naming that most images of the three folders of `root` have; None without images, or where no
    naming has half of them. CUHK03's two cameras tell it from MSMT17."""
    names = _all_names(root)
    counts = [sum(naming.read(name) is not None for name in names) for naming in NAMINGS]
    best = max(counts)
    return NAMINGS[counts.index(best)] if best and 2 * best >= len(names) else None


def most_fit(root: Path, naming: Naming) -> bool:
    """Whether half of the images of the three folders of `root` or more have a naming."""
    names = _all_names(root)
    return 2 * sum(naming.read(name) is not None for name in names) >= len(names)


def _all_names(root: Path) -> list[str]:
    names: list[str] = []
    for folder in FOLDERS.values():
        try:
            names.extend(image_names(root / folder))
        except OSError:
            continue  # the survey names what cannot be listed
    return names


def find_folders(root: Path, known: Iterable[str], naming: Naming) -> tuple[Path, tuple[str, ...]]:
    """The folder at or below `root` that a data set is read from, and remarks about others that fit.

    Folders whose names fit come first, then outer ones. `root` itself where there is none.
    """
    places = [folder for folder in folders_below(root, known) if has_splits(folder)]
    if len(places) < 2:
        return (places[0] if places else root), ()
    fitting = [folder for folder in places if naming_of(folder) is naming]
    taken = (fitting or places)[0]
    others = ", ".join(str(folder) for folder in fitting[1:])
    return taken, (f"{taken} is read; {others} would fit as well. Give the folder that you mean.",) * bool(
        others
    )
