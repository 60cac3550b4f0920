"""Market-1501, and every data set laid out like it. Free of torch.

Folders bounding_box_train, query and bounding_box_test; file names such as 0002_c1s1_000451_03.jpg, which
give identity 2 and camera 1. Identity -1 (junk, which no protocol counts) is dropped; 0000 (distractors)
stays in the gallery as identity 0. The 500K further distractors lie in images/ beside the three.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from autoreid.data.index import ImageIndex
from autoreid.data.market_folders import (
    ENDING,
    FOLDERS,
    MARKET,
    SplitScan,
    find_folders,
    folder_layouts,
    scan_folder,
    survey_folders,
)
from autoreid.data.surveys import (
    DISTRACTOR,
    Published,
    Row,
    SplitCounts,
    Survey,
    Trouble,
    index_of,
)
from autoreid.words import counted

SUBFOLDERS = ("market1501", "market1501v15.09.15", "market")
EXTRA = "images"
# What torchreid and others read there: any file name that begins with identity and camera.
EXTRA_NAMING = dataclasses.replace(
    MARKET,
    pattern=re.compile(r"(-1|\d+)_c(\d+)\D.*" + ENDING, re.IGNORECASE),
    example="0000_c1s1_000001_01.jpg",
)

# Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015. The gallery's identities leave out
# the distractors, which are identity 0 here.
PUBLISHED = Published(
    {
        "train": SplitCounts(12936, 12936, 751),
        "query": SplitCounts(3368, 3368, 750),
        "gallery": SplitCounts(19732, 15913, 750),
    },
    cameras=6,
)
PUBLISHED_DISTRACTORS = 500_000


def layouts(root: Path) -> list[str]:
    """Where this data set lies at or below `root`, each place in words."""
    return folder_layouts(root, SUBFOLDERS, MARKET)


def survey(root: Path, *, distractors: bool = False) -> Survey:
    """Look into all folders at or below `root`, without raising. `distractors` adds those in images/."""
    found, remarks = find_folders(root, SUBFOLDERS, MARKET)
    result = survey_folders(found, MARKET, f"{MARKET.title} folders", PUBLISHED, remarks=remarks)
    if not distractors or not found.is_dir():
        return result
    extra = scan_folder("gallery", found / EXTRA, EXTRA_NAMING)
    more = tuple(Row(f"{EXTRA}/{name}", DISTRACTOR, camera, "gallery") for name, _, camera in extra.rows)
    return dataclasses.replace(
        result,
        layout=f"{result.layout} and {EXTRA}/ (500K distractors)",
        rows=(*result.rows, *more),
        troubles=(*result.troubles, *_extra_troubles(extra)),
        junk={**result.junk, "gallery": result.junk["gallery"] + extra.junk},
        facts={"distractors": len(more)},
        published=_with_distractors(),
    )


def _extra_troubles(extra: SplitScan) -> Iterator[Trouble]:
    if extra.closed:
        remedy = f"Unpack the 500K distractors beside {FOLDERS['gallery']}, or leave out distractors."
        yield Trouble("missing folder", f"{extra.folder}: {extra.closed}. {remedy}")
        return
    yield from extra.troubles()
    people = [name for name, identity, _ in extra.rows if identity != DISTRACTOR]
    if people:
        yield Trouble(
            "reserved identity",
            f"{extra.folder}: {counted(len(people), 'image')} of people, such as {people[0]}. Distractors "
            "have identity 0000; leave out distractors if these are none.",
        )


def _with_distractors() -> Published:
    gallery = PUBLISHED.splits["gallery"]
    more = SplitCounts(
        gallery.files + PUBLISHED_DISTRACTORS, gallery.images + PUBLISHED_DISTRACTORS, gallery.identities
    )
    return dataclasses.replace(PUBLISHED, splits={**PUBLISHED.splits, "gallery": more})


def read(root: Path, *, distractors: bool = False) -> ImageIndex:
    """Index a folder in the Market-1501 layout.

    `root` holds the three split folders, or holds a folder Market-1501-v15.09.15, market1501 or the like
    that does. Identity and camera come from the file name alone. InputError with every missing folder, empty
    split and alien file name at once; files that are not images (Thumbs.db, readme.txt) are passed over.
    """
    return index_of(survey(root, distractors=distractors))
