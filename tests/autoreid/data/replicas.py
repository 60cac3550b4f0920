"""Tiny replicas of every layout that is read, written from a few random crops."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import scipy.io
from PIL import Image

Labels = tuple[int, int, str]


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


def crop(name: str, height: int = 24, width: int = 12) -> np.ndarray:
    """Random pixels that depend on a name."""
    random = np.random.default_rng(list(name.encode()))
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_crop(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(crop(f"{path.parent.name}/{path.name}")).save(path)


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


# Pair of cameras, person, view, shot and split of CUHK03; the two variants differ in one training image.
SHOTS = [
    *((1, person, view, 1 + 5 * (view - 1), "train") for person in (1, 2) for view in (1, 2)),
    *((pair, 1, 2, 6, "train") for pair in (3, 4)),
    *((pair, 1, 1, 2, "query") for pair in (2, 5)),
    *((pair, 1, view, 3 + 5 * (view - 1), "gallery") for pair in (2, 5) for view in (1, 2)),
]
DETECTED_ONLY = (1, 2, 1, 4, "train")


def shots_of(variant: str) -> list[tuple[int, int, int, int, str]]:
    return [*SHOTS, DETECTED_ONLY] if variant == "detected" else SHOTS


def shot_stem(pair: int, person: int, view: int, shot: int) -> str:
    return f"{pair}_{person:03d}_{view}_{shot:02d}"


def cuhk03_expected(variant: str) -> list[Labels]:
    return sorted((pair * 1000 + person, view, split) for pair, person, view, _, split in shots_of(variant))


def write_cuhk03_images(root: Path) -> Path:
    """As torchreid leaves it: images and divisions with paths of another machine, training relabelled from 0,
    the test from 1."""
    for variant in ("labeled", "detected"):
        division: dict[str, Any] = {"train": [], "query": [], "gallery": [], "num_train_pids": 2}
        for number, (*shot, split) in enumerate(shots_of(variant)):
            file = f"{shot_stem(*shot)}.png"
            write_crop(root / f"images_{variant}" / file)
            division[split].append([f"/home/else/cuhk03/images_{variant}/{file}", number % 2, shot[2] - 1])
        (root / f"splits_new_{variant}.json").write_text(json.dumps([division]))
    return root


def write_cuhk03_folders(root: Path) -> Path:
    """The two variants of one release, each with names of its own kind."""
    folders(cuhk03_name)(root / "labeled")
    folders(market_name)(root / "detected")
    return root


def write_cuhk03_mat(root: Path) -> Path:
    """The official file, as MATLAB writes it: cells are matrices of references, everything is transposed, an
    absent shot is an empty uint64 matrix. Beside it the two files of the protocol, in MATLAB 5."""
    (root / "cuhk03_release").mkdir(parents=True)
    with h5py.File(root / "cuhk03_release" / "cuhk-03.mat", "w") as file:
        refs = file.create_group("#refs#")
        empty = refs.create_dataset("empty", data=np.zeros(2, dtype=np.uint64))
        for variant in ("labeled", "detected"):
            present = {shot[:4] for shot in shots_of(variant)}
            pairs = []
            for pair, people in ((1, 2), (2, 1), (3, 1), (4, 1), (5, 1)):
                cells = np.empty((people, 10), dtype=h5py.ref_dtype)
                for person in range(1, people + 1):
                    for column in range(10):
                        shot = (pair, person, 1 if column < 5 else 2, column + 1)
                        cells[person - 1, column] = empty.ref
                        if shot in present:
                            name = f"{variant}_{shot_stem(*shot)}"
                            cells[person - 1, column] = refs.create_dataset(name, data=crop(name).T).ref
                pairs.append(refs.create_dataset(f"{variant}_{pair}", data=cells.T, dtype=h5py.ref_dtype).ref)
            row = np.empty((1, 5), dtype=h5py.ref_dtype)
            row[0, :] = pairs
            file.create_dataset(variant, data=row, dtype=h5py.ref_dtype)
        # The older protocol: pairs of cameras and people of twenty tests, of which one is enough here.
        tests = refs.create_dataset("tests", data=np.array([[2.0, 5.0], [1.0, 1.0]]))
        row = np.empty((1, 1), dtype=h5py.ref_dtype)
        row[0, 0] = tests.ref
        file.create_dataset("testsets", data=row, dtype=h5py.ref_dtype)
    for variant in ("labeled", "detected"):
        write_protocol(root, variant)
    return root


def write_protocol(root: Path, variant: str, **changes: Any) -> None:
    shots = shots_of(variant)
    files = np.array([[f"{shot_stem(*shot)}.png"] for *shot, _ in shots], dtype=object)
    rows = {
        split: np.array(
            [[number] for number, shot in enumerate(shots, start=1) if shot[4] == split], np.uint16
        )
        for split in ("train", "query", "gallery")
    }
    content = {
        "filelist": files,
        "labels": np.array([[shot[0] * 10 + shot[1]] for shot in shots], np.uint16),
        "camId": np.array([[shot[2]] for shot in shots], np.uint8),
        **{f"{split}_idx": found for split, found in rows.items()},
    }
    scipy.io.savemat(root / f"cuhk03_new_protocol_config_{variant}.mat", content | changes)


# An index file's people, by texts: they are numbered from 1 in sorted order.
INDEX_ROWS = [
    ("a/one.jpg", "anna", 1, "train"),
    ("a/two.jpg", "anna", 2, "train"),
    ("b/three.jpg", "bert", 1, "train"),
    ("b/four.png", "bert", 2, "train"),
    ("five.jpg", "carla", 1, "query"),
    ("six.jpg", "carla", 2, "gallery"),
    ("seven.jpg", "dirk", 2, "query"),
    ("eight.jpg", "dirk", 3, "gallery"),
    ("nine.jpg", "0", 3, "gallery"),
    ("ten.jpg", "-1", 3, "gallery"),
]
INDEX_NUMBERS = {"0": 0, "anna": 1, "bert": 2, "carla": 3, "dirk": 4}
INDEX_EXPECTED = sorted(
    (INDEX_NUMBERS[who], camera, split) for _, who, camera, split in INDEX_ROWS if who != "-1"
)


def write_index(kind: str, absolute: bool = False) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        for path, *_ in INDEX_ROWS:
            write_crop(root / "images" / path)
        home = f"{root.absolute()}/images" if absolute else "images"
        rows = [(f"{home}/{path}", who, camera, split) for path, who, camera, split in INDEX_ROWS]
        file = root / "lists" / f"all.{kind}" if absolute else root / f"all.{kind}"
        file.parent.mkdir(exist_ok=True)
        columns = ("path", "identity", "camera", "split")
        if kind == "csv":
            with file.open("w", newline="") as text:
                csv.writer(text).writerows([columns, *rows])
        else:
            table = pyarrow.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))
            pyarrow.parquet.write_table(table, file)
        return file

    return write


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
