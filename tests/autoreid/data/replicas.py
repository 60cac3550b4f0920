"""Tiny replicas of every layout that is read, written from a few random crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replica_files import (
    INDEX_EXPECTED,
    Labels,
    cuhk03_expected,
    write_crop,
    write_cuhk03_images,
    write_cuhk03_mat,
    write_index,
)


@dataclass(frozen=True)
class Replica:
    """One layout: `write(root)` lays it out and returns what is given as the data's root.

    expected: (identity, camera, split) of every image, sorted, as the reader must give them; junk is not
    among them. subfolders: names of the folder that people have, to be found from above.
    """

    data_set: str
    layout: str
    write: Callable[[Path], Path]
    expected: list[Labels]
    options: Mapping[str, Any] = field(default_factory=dict)
    subfolders: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        chosen = "".join(f", {value}" for value in self.options.values())
        return f"{self.layout}{chosen}"


def write_folders(root: Path, train: Iterable[str], query: Iterable[str], gallery: Iterable[str]) -> Path:
    for folder, names in (("bounding_box_train", train), ("query", query), ("bounding_box_test", gallery)):
        for name in names:
            write_crop(root / folder / name)
    return root


# Two training and two test people, each in two cameras; person 4 is a query and is in the gallery.
PEOPLE: list[Labels] = [
    *((identity, camera, "train") for identity in (1, 2) for camera in (1, 2)),
    *((identity, 1, "query") for identity in (3, 4)),
    *((identity, camera, "gallery") for identity in (3, 4) for camera in (1, 2)),
]
DISTRACTOR = (0, 2, "gallery")


def names_of(
    form: Callable[[int, int, int], str], split: str, people: Iterable[Labels] = PEOPLE
) -> list[str]:
    """File names of a split; the shots of one person count through the whole data set."""
    shots = enumerate(people)
    return [form(identity, camera, shot) for shot, (identity, camera, part) in shots if part == split]


def folders(
    form: Callable[[int, int, int], str], people: Iterable[Labels] = PEOPLE
) -> Callable[[Path], Path]:
    listed = list(people)

    def write(root: Path) -> Path:
        return write_folders(
            root, *(names_of(form, split, listed) for split in ("train", "query", "gallery"))
        )

    return write


def market_name(identity: int, camera: int, shot: int) -> str:
    return f"{identity if identity < 0 else f'{identity:04d}'}_c{camera}s1_{shot:06d}_01.jpg"


def duke_name(identity: int, camera: int, shot: int) -> str:
    return f"{identity:04d}_c{camera}_f{shot:07d}.jpg"


def cuhk03_name(identity: int, camera: int, shot: int) -> str:
    return f"{identity:04d}_c{camera}_{shot}.png"


def msmt17_name(identity: int, camera: int, shot: int) -> str:
    return f"{identity:04d}_{shot:03d}_{camera:02d}_0303morning_{shot:04d}_0_ex.jpg"


def write_extra(root: Path) -> Path:
    """Market-1501 with three images of the 500K distractors, one of them junk."""
    market(root)
    for name in ("0000_c1s1_000001_01.jpg", "0000_c5s2_000002_00.jpg", "-1_c1s1_000003_00.jpg"):
        write_crop(root / "images" / name)
    return root


MARKET_PEOPLE = [*PEOPLE, DISTRACTOR, (-1, 1, "gallery")]
market = folders(market_name, MARKET_PEOPLE)

# MSMT17 numbers train and test people from 0: these are the lists' numbers.
LISTED: list[Labels] = [
    *((identity, camera, "train") for identity in (0, 1) for camera in (1, 14)),
    *((identity, 3, "val") for identity in (0, 1)),
    *((identity, 1, "query") for identity in (0, 1)),
    *((identity, camera, "gallery") for identity in (0, 1) for camera in (1, 14)),
]


def msmt17_expected(validation: bool, people: Iterable[Labels] = LISTED) -> list[Labels]:
    """The lists' people as the reader numbers them: training from 1, test from 10,001."""
    found = []
    for identity, camera, split in people:
        if split == "val" and not validation:
            continue
        part = "train" if split == "val" else split
        found.append((identity + (1 if part == "train" else 10_001), camera, part))
    return sorted(found)


def msmt17(version: str, nested: bool, listed_nested: bool = True) -> Callable[[Path], Path]:
    """The official release; `listed_nested` says whether the lists name the identities' folders."""
    parts = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}[version]

    def write(root: Path) -> Path:
        lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}
        for shot, (identity, camera, split) in enumerate(LISTED):
            name = msmt17_name(identity, camera, shot)
            part = parts[0] if split in ("train", "val") else parts[1]
            write_crop(root / part / (f"{identity:04d}/{name}" if nested else name))
            lists[split].append(f"{f'{identity:04d}/' if listed_nested else ''}{name} {identity}\n")
        for split, lines in lists.items():
            (root / f"list_{split}.txt").write_text("".join(lines))
        return root

    return write


def market_msmt17_name(identity: int, camera: int, shot: int) -> str:
    return f"{identity:04d}_c{camera}_{shot:04d}.jpg"


def write_cuhk03_folders(root: Path) -> Path:
    """The two variants of one release, each with names of its own kind."""
    folders(cuhk03_name)(root / "labeled")
    folders(market_name)(root / "detected")
    return root


def _read(people: Iterable[Labels]) -> list[Labels]:
    return sorted(person for person in people if person[0] >= 0)


REPLICAS = [
    Replica(
        "market1501",
        "Market-1501 folders",
        market,
        _read(MARKET_PEOPLE),
        subfolders=("Market-1501-v15.09.15", "market1501", "Market-1501", "market1501/Market-1501-v15.09.15"),
    ),
    Replica(
        "market1501",
        "Market-1501 folders and images/ (500K distractors)",
        write_extra,
        _read([*MARKET_PEOPLE, (0, 1, "gallery"), (0, 5, "gallery")]),
        {"distractors": True},
        subfolders=("market1501/Market-1501-v15.09.15",),
    ),
    Replica(
        "dukemtmc",
        "DukeMTMC-reID folders",
        folders(duke_name),
        _read(PEOPLE),
        subfolders=("DukeMTMC-reID", "dukemtmc-reid/DukeMTMC-reID", "dukemtmcreid"),
    ),
    *(
        replica
        for variant in ("labeled", "detected")
        for replica in (
            Replica(
                "cuhk03",
                "CUHK03, cuhk-03.mat with the protocol's .mat file",
                write_cuhk03_mat,
                cuhk03_expected(variant),
                {"variant": variant},
                subfolders=("cuhk03",),
            ),
            Replica(
                "cuhk03",
                "CUHK03, images extracted as torchreid does",
                write_cuhk03_images,
                cuhk03_expected(variant),
                {"variant": variant},
                subfolders=("cuhk03",),
            ),
            Replica(
                "cuhk03",
                "CUHK03, Market-1501 folders",
                write_cuhk03_folders,
                _read(PEOPLE),
                {"variant": variant},
                subfolders=("cuhk03-np", "CUHK03-NP"),
            ),
        )
    ),
    *(
        Replica(
            "msmt17",
            f"MSMT17 {version}, {'nested' if nested else 'flat'}",
            msmt17(version, nested, listed),
            msmt17_expected(validation == "training"),
            {"validation": validation},
            subfolders=(f"MSMT17_{version}", f"msmt17/MSMT17_{version}", "MSMT17"),
        )
        for version, nested, listed in (
            ("V1", True, True),
            ("V1", False, True),
            ("V2", True, True),
            ("V2", False, False),
            ("V2", True, False),
        )
        for validation in ("training", "left-out")
    ),
    *(
        Replica(
            "msmt17",
            "MSMT17 in Market-1501 folders",
            folders(form, [row for row in LISTED if row[2] != "val"]),
            msmt17_expected(False),
            subfolders=("MSMT17", "msmt17/MSMT17_V1"),
        )
        for form in (market_msmt17_name, msmt17_name)
    ),
    *(
        Replica("index", f"index file ({kind})", write_index(kind, absolute), INDEX_EXPECTED)
        for kind in ("csv", "parquet")
        for absolute in (False, True)
    ),
]
