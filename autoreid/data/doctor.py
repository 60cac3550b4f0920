"""Is this copy of a data set complete? Everything found, with its remedy, instead of the first error."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoreid.data.disk import thread_count
from autoreid.data.images import read_image, reason
from autoreid.data.index import SPLITS, ImageIndex, few
from autoreid.data.sets import find_set
from autoreid.data.source import source_of, survey_source
from autoreid.data.surveys import DISTRACTOR, Survey, Trouble, one_camera, rows_index
from autoreid.errors import InputError
from autoreid.words import counted

SHOWN_DUPLICATES = 3


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What a split holds next to what was published. `distractors` are among `images`, `junk` is not; neither
    counts as an identity. Nothing is published of data of one's own."""

    split: str
    images: int
    identities: int
    cameras: int
    junk: int
    distractors: int
    published_images: int | None
    published_identities: int | None

    @property
    def published(self) -> str:
        if self.published_images is None or self.published_identities is None:
            return "-"
        return f"{self.published_images:,} images, {self.published_identities:,} identities"


@dataclass(frozen=True, slots=True)
class Defect:
    """Something wrong with the data. A fatal one keeps the data set from being used at all."""

    kind: str
    message: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found. `data_set` is the name for --data-set, `facts` what results will say of it.
    `warnings` are differences that need not be mistakes."""

    root: str
    data_set: str
    layout: str
    splits: tuple[SplitReport, ...]
    warnings: tuple[str, ...]
    defects: tuple[Defect, ...]
    facts: dict[str, str | int | bool] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        return not any(defect.fatal for defect in self.defects)

    def plain(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "root": self.root,
            "data_set": self.data_set,
            "layout": self.layout,
            "facts": self.facts,
            "usable": self.usable,
            "splits": {part.split: asdict(part) for part in self.splits},
            "warnings": list(self.warnings),
            "defects": [asdict(defect) for defect in self.defects],
        }

    def text(self) -> str:
        """The report for people: a table, then what was found."""
        head = f"{'split':<8} {'images':>9} {'identities':>11} {'cameras':>8}   published"
        facts = "".join(f", {name} {value}" for name, value in self.facts.items())
        name = f"{self.data_set}{facts}: " if self.data_set else ""
        lines = [f"{self.root}: {name}{self.layout or 'not found'}", "", head]
        lines += [
            f"{part.split:<8} {part.images:>9,} {part.identities:>11,} {part.cameras:>8}   {part.published}"
            for part in self.splits
        ]
        dropped = sum(part.junk for part in self.splits)
        distractors = sum(part.distractors for part in self.splits)
        lines += [
            "",
            f"dropped as junk (-1): {counted(dropped, 'image')}; distractors (0000): {distractors:,} images",
        ]
        for title, found in (
            ("defects", [f"{'' if d.fatal else '(can be used) '}{d.message}" for d in self.defects]),
            ("warnings", list(self.warnings)),
        ):
            lines += ["", f"{title}: {len(found) or 'none'}"]
            lines += ["  - " + message.replace("\n", "\n    ") for message in found]
        return "\n".join([*lines, "", f"usable: {'yes' if self.usable else 'no'}"])


def check(
    root: Path, data_set: str = "", settings: Iterable[str] = (), cache: Path | None = None
) -> CheckReport:
    """Look at every folder, list, name and image below `root` and report all that is wrong.

    Without the name of a data set the one that lies there is found by looking. `settings` are FIELD=VALUE, as
    for `source_of`, which raises an InputError for what is wrong with them. Counts that differ from the
    published ones are warnings, so that data of one's own passes. Every image is decoded completely. Nothing
    is raised for what is found, not even for a missing folder.
    """
    try:
        name = data_set or find_set(root)
    except InputError as error:
        defects = tuple(Defect("unknown layout", message, True) for message in error.problems)
        return CheckReport(str(root), "", "", (), (), defects)
    source = source_of(name, str(root), settings)
    try:
        survey = survey_source(source, cache)
    except InputError as error:  # what a reader of an installed package refuses
        refused = tuple(Trouble("refused", message) for message in error.problems)
        survey = Survey(root, name, troubles=refused)
    index = rows_index(survey.root, survey.rows, survey.facts)
    index = dataclasses.replace(index, single_camera=source.single_camera)
    broken, duplicates = _read_everything(index)
    defects = (
        *(Defect(trouble.kind, trouble.message, True) for trouble in survey.troubles),
        *broken,
        *_protocol_defects(index),
    )
    splits = tuple(_split_report(survey, split) for split in SPLITS)
    facts = {key: value for key, value in survey.facts.items() if key != "layout"}
    warnings = (*survey.remarks, *_differences(splits, index, survey), *duplicates)
    return CheckReport(str(root), name, survey.layout, splits, warnings, defects, facts)


def _split_report(survey: Survey, split: str) -> SplitReport:
    rows = [row for row in survey.rows if row.split == split]
    published = survey.published.splits[split] if survey.published else None
    return SplitReport(
        split=split,
        images=len(rows),
        identities=len({row.identity for row in rows} - {DISTRACTOR}),
        cameras=len({row.camera for row in rows}),
        junk=survey.junk.get(split, 0),
        distractors=sum(row.identity == DISTRACTOR for row in rows),
        published_images=published.images if published else None,
        published_identities=published.identities if published else None,
    )


def _differences(splits: tuple[SplitReport, ...], index: ImageIndex, survey: Survey) -> Iterator[str]:
    if survey.published is None or not survey.rows:
        return
    remedy = f"Unpack {survey.title} again if this is meant to be it; otherwise nothing is wrong."
    for part in splits:
        if (part.images, part.identities) != (part.published_images, part.published_identities):
            yield (
                f"{part.split}: {counted(part.images, 'image')} of "
                f"{counted(part.identities, 'identity', 'identities')}; published are "
                f"{part.published_images:,} of {part.published_identities:,}. {remedy}"
            )
    cameras = len(set(index.cameras.tolist()))
    if cameras != survey.published.cameras:
        yield f"{counted(cameras, 'camera')}; published are {survey.published.cameras}. {remedy}"


def _protocol_defects(index: ImageIndex) -> Iterator[Defect]:
    """Queries that no gallery image can answer, and data that has one camera only."""
    query, gallery = index.rows("query"), index.rows("gallery")
    if not len(query) or not len(gallery):
        return
    problem = one_camera(index)
    if problem:
        yield Defect("one camera", problem, True)
        return
    views: dict[int, set[int]] = {}
    for identity, camera in zip(index.identities[gallery], index.cameras[gallery], strict=True):
        views.setdefault(int(identity), set()).add(int(camera))
    absent, unmatched = [], []
    for row in query:
        seen = views.get(int(index.identities[row]), set())
        if not seen:
            absent.append(f"{index.names[row]}: identity {index.identities[row]} is not in the gallery")
        elif seen == {int(index.cameras[row])} and not index.single_camera:
            unmatched.append(f"{index.names[row]}: in the gallery in this camera only")
    fatal = len(absent) + len(unmatched) == len(query)
    remedy = "These queries are left out of every score; add images to the gallery to count them."
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
    """Test data that is trained on, and queries that find themselves."""
    test = np.concatenate([index.rows("query"), index.rows("gallery")])
    shared = np.intersect1d(index.identities[index.rows("train")], index.identities[test]).tolist()
    if shared:
        named = ", ".join(map(str, shared[:SHOWN_DUPLICATES]))
        remedy = "Number the people of both apart, or remove them from one: the scores would be of no use."
        people = f"{counted(len(shared), 'identity is', 'identities are')} trained and tested on"
        yield f"{index.root}: {people}, such as {named}. {remedy}"
    remedy = "Remove one of each: a test image must not be trained on."
    yield from _twins(index, digests, "train", ("query", "gallery"), remedy)
    if index.single_camera:
        remedy = "Remove one of each: in one camera a query would find itself."
        yield from _twins(index, digests, "query", ("gallery",), remedy)


def _twins(
    index: ImageIndex, digests: list[str], split: str, others: tuple[str, ...], remedy: str
) -> Iterator[str]:
    splits = index.splits.tolist()
    first = {digest: row for row, digest in enumerate(digests) if digest and splits[row] == split}
    twins = [
        f"{index.names[row]} has the bytes of {index.names[first[digest]]}"
        for row, digest in enumerate(digests)
        if splits[row] in others and digest in first
    ]
    if twins:
        yield "\n".join(few(index.root, twins, remedy, shown=SHOWN_DUPLICATES))
