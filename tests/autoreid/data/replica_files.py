"""Images and files of the replicas: CUHK03's lists and .mat files, and index files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import scipy.io
from PIL import Image

Labels = tuple[int, int, str]


def crop(name: str, height: int = 24, width: int = 12) -> np.ndarray:
    """Random pixels that depend on a name."""
    random = np.random.default_rng(list(name.encode()))
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_crop(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(crop(f"{path.parent.name}/{path.name}")).save(path)


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
