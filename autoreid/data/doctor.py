"""Is this copy of a data set complete? Everything found, with its remedy, instead of the first error."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoreid.data import market1501
from autoreid.data.arrays import read_image, reason
from autoreid.data.disk import thread_count
from autoreid.data.index import ImageIndex, few
from autoreid.data.market1501 import FOLDERS, PUBLISHED, PUBLISHED_CAMERAS, SplitScan

SHOWN_DUPLICATES = 3


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What a split holds next to what was published. `distractors` are among `images`, `junk` is not; neither
    counts as an identity."""

    split: str
    images: int
    identities: int
    cameras: int
    junk: int
    distractors: int
    published_images: int
    published_identities: int


@dataclass(frozen=True, slots=True)
class Defect:
    """Something wrong with the data. A fatal one keeps the data set from being used at all."""

    kind: str
    message: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found. `warnings` are differences that need not be mistakes."""

    root: str
    splits: tuple[SplitReport, ...]
    warnings: tuple[str, ...]
    defects: tuple[Defect, ...]

    @property
    def usable(self) -> bool:
        return not any(defect.fatal for defect in self.defects)

    def plain(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "root": self.root,
            "usable": self.usable,
            "splits": {part.split: asdict(part) for part in self.splits},
            "warnings": list(self.warnings),
            "defects": [asdict(defect) for defect in self.defects],
        }

    def text(self) -> str:
        """The report for people: a table, then what was found."""
        head = f"{'split':<8} {'images':>9} {'identities':>11} {'cameras':>8}   published"
        lines = [f"{self.root}: Market-1501 layout", "", head]
        lines += [
            f"{part.split:<8} {part.images:>9,} {part.identities:>11,} {part.cameras:>8}   "
            f"{part.published_images:,} images, {part.published_identities:,} identities"
            for part in self.splits
        ]
        dropped = sum(part.junk for part in self.splits)
        distractors = sum(part.distractors for part in self.splits)
        lines += ["", f"dropped as junk (-1): {dropped:,} images; distractors (0000): {distractors:,} images"]
        for title, found in (
            ("defects", [f"{'' if d.fatal else '(can be used) '}{d.message}" for d in self.defects]),
            ("warnings", list(self.warnings)),
        ):
            lines += ["", f"{title}: {len(found) or 'none'}"]
            lines += ["  - " + message.replace("\n", "\n    ") for message in found]
        return "\n".join([*lines, "", f"usable: {'yes' if self.usable else 'no'}"])


def check(root: Path) -> CheckReport:
    """Look at every folder, name and image below `root` and report all that is wrong.

    Counts that differ from the published ones are warnings, so that data of one's own passes. Every image is
    decoded completely. Nothing is raised for what is found, not even for a missing folder.
    """
    found = market1501.find_root(root)
    scans = market1501.scan(found)
    index = market1501.index_of(found, scans)
    broken, duplicates = _read_everything(index)
    defects = [
        *(Defect(kind, message, True) for part in scans for kind, message in part.problems()),
        *broken,
        *_protocol_defects(index),
    ]
    splits = tuple(_split_report(part) for part in scans)
    return CheckReport(str(root), splits, (*_differences(splits, index), *duplicates), tuple(defects))


def _split_report(part: SplitScan) -> SplitReport:
    people = {identity for _, identity, _ in part.rows} - {market1501.DISTRACTOR}
    return SplitReport(
        split=part.split,
        images=len(part.rows),
        identities=len(people),
        cameras=len({camera for _, _, camera in part.rows}),
        junk=part.junk,
        distractors=sum(identity == market1501.DISTRACTOR for _, identity, _ in part.rows),
        published_images=PUBLISHED[part.split].images,
        published_identities=PUBLISHED[part.split].identities,
    )


def _differences(splits: tuple[SplitReport, ...], index: ImageIndex) -> Iterator[str]:
    remedy = "Unpack Market-1501 again if this is meant to be it; otherwise nothing is wrong."
    for part in splits:
        if (part.images, part.identities) != (part.published_images, part.published_identities):
            yield (
                f"{part.split}: {part.images:,} images of {part.identities:,} identities; published are "
                f"{part.published_images:,} of {part.published_identities:,}. {remedy}"
            )
    cameras = len(set(index.cameras.tolist()))
    if cameras != PUBLISHED_CAMERAS:
        yield f"{cameras} cameras; published are {PUBLISHED_CAMERAS}. {remedy}"


def _protocol_defects(index: ImageIndex) -> Iterator[Defect]:
    """Queries that no gallery image can answer, and data that has one camera only."""
    query, gallery = index.rows("query"), index.rows("gallery")
    if not len(query) or not len(gallery):
        return
    if len(np.unique(index.cameras[np.concatenate([query, gallery])])) == 1:
        yield Defect(
            "one camera",
            f"{index.root}: query and gallery come from one camera ({index.cameras[query[0]]}), and the "
            "protocol looks for people in other cameras. Use images of two cameras or more, or give them the "
            "right camera numbers.",
            True,
        )
        return
    views: dict[int, set[int]] = {}
    for identity, camera in zip(index.identities[gallery], index.cameras[gallery], strict=True):
        views.setdefault(int(identity), set()).add(int(camera))
    absent, unmatched = [], []
    for row in query:
        seen = views.get(int(index.identities[row]), set())
        if not seen:
            absent.append(f"{index.names[row]}: identity {index.identities[row]} is not in the gallery")
        elif seen == {int(index.cameras[row])}:
            unmatched.append(f"{index.names[row]}: in the gallery in this camera only")
    fatal = len(absent) + len(unmatched) == len(query)
    remedy = f"These queries are left out of every score; add images to {FOLDERS['gallery']} to count them."
    for kind, found in (
        ("identity absent from the gallery", absent),
        ("no match in another camera", unmatched),
    ):
        if found:
            yield Defect(kind, "\n".join(few(index.root, found, remedy)), fatal)


def _read_everything(index: ImageIndex) -> tuple[list[Defect], list[str]]:
    """Defects of unreadable images, and warnings about training images that are test images too."""

    def read(name: str) -> tuple[str, str]:
        path = index.root / name
        try:
            read_image(path)
            return hashlib.sha256(path.read_bytes()).hexdigest(), ""
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            return "", reason(error)

    with ThreadPoolExecutor(thread_count()) as pool:
        found = list(pool.map(read, index.names))
    broken = [f"{name}: {problem}" for name, (_, problem) in zip(index.names, found, strict=True) if problem]
    defects = []
    if broken:
        remedy = "Restore these images from the data set's archive, or move them away."
        defects.append(Defect("unreadable image", "\n".join(few(index.root, broken, remedy)), True))
    return defects, list(_leaks(index, [digest for digest, _ in found]))


def _leaks(index: ImageIndex, digests: list[str]) -> Iterator[str]:
    splits = index.splits.tolist()
    train = {digest: row for row, digest in enumerate(digests) if digest and splits[row] == "train"}
    twins = [
        f"{index.names[row]} has the bytes of {index.names[train[digest]]}"
        for row, digest in enumerate(digests)
        if splits[row] != "train" and digest in train
    ]
    if twins:
        remedy = "Remove one of each: a test image must not be trained on."
        yield "\n".join(few(index.root, twins, remedy, shown=SHOWN_DUPLICATES))
