"""CUHK03 in the 767/700 protocol of Zhong et al., labeled or detected. Free of torch.

Three layouts: the official cuhk-03.mat with the protocol's two .mat files (extracted once into the cache, see
cuhk03_mat.py), the images that torchreid and FastReID extract with their splits_new_*.json, and the release
in Market-1501 folders (labeled/ and detected/). In the first two, names such as 1_001_2_06.png say pair of
cameras, person, view and shot: the identity is 1000 x pair + person, the camera is the view.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoreid.data.index import SPLITS, ImageIndex, few
from autoreid.data.market_folders import (
    CUHK03,
    ENDING,
    FOLDERS,
    SUFFIXES,
    has_splits,
    image_names,
    most_fit,
    survey_folders,
)
from autoreid.data.surveys import Published, Row, SplitCounts, Survey, Trouble, folders_below, index_of
from autoreid.errors import InputError

TITLE = "CUHK03"
SUBFOLDERS = ("cuhk03", "cuhk03np", "cuhk03release", "cuhk03new", "labeled", "detected")
VARIANTS = ("labeled", "detected")
MAT = "cuhk-03.mat"
NAME = re.compile(r"([1-5])_(\d{1,3})_([12])_(\d+)", re.ASCII)
PEOPLE_OF_A_PAIR = 1000
# The folders labeled/ and detected/ say enough: releases end their names in several ways.
NAMING = dataclasses.replace(CUHK03, pattern=re.compile(r"(\d+)_c([12])\D.*" + ENDING, re.IGNORECASE))

# Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
PUBLISHED = {
    "labeled": Published(
        {
            "train": SplitCounts(7368, 7368, 767),
            "query": SplitCounts(1400, 1400, 700),
            "gallery": SplitCounts(5328, 5328, 700),
        },
        cameras=2,
    ),
    "detected": Published(
        {
            "train": SplitCounts(7365, 7365, 767),
            "query": SplitCounts(1400, 1400, 700),
            "gallery": SplitCounts(5332, 5332, 700),
        },
        cameras=2,
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A folder from which one variant can be read, and how."""

    words: str
    folder: Path
    read: Callable[[Path, str, Path | None], Survey]


def split_file(variant: str) -> str:
    """The file name of torchreid's division of a variant."""
    return f"splits_new_{variant}.json"


def protocol_file(variant: str) -> str:
    """The file name of the protocol's division of a variant."""
    return f"cuhk03_new_protocol_config_{variant}.mat"


def places(root: Path, variant: str) -> list[Place]:
    """Where a variant lies at or below `root`, what is read first coming first."""
    folders, extracted, mats = [], [], []
    for folder in folders_below(root, SUBFOLDERS):
        if (folder / f"images_{variant}").is_dir() and (folder / split_file(variant)).is_file():
            extracted.append(Place("images extracted as torchreid does", folder, _from_images))
        if (folder / protocol_file(variant)).is_file() and _mat_of(folder) is not None:
            mats.append(Place(f"{MAT} with the protocol's .mat file", folder, _from_mat))
        if folder.absolute().name.lower() == variant and has_splits(folder) and most_fit(folder, NAMING):
            folders.append(Place("Market-1501 folders", folder, _from_folders))
    return [*folders, *extracted, *mats]


def _mat_of(folder: Path) -> Path | None:
    """The official file: beside the protocol's, in cuhk03_release/ or one folder up."""
    for path in (folder / MAT, folder / "cuhk03_release" / MAT, folder.parent / MAT):
        if path.is_file():
            return path
    return None


def layouts(root: Path) -> list[str]:
    """Where this data set lies at or below `root`, each place and variant in words."""
    return [
        f"{TITLE}, {variant}, {place.words} in {place.folder}"
        for variant in VARIANTS
        for place in places(root, variant)
    ]


def survey(root: Path, *, variant: str = "labeled", cache: Path | None = None) -> Survey:
    """Look at one variant at or below `root`, without raising. From cuhk-03.mat the images are first
    extracted into `cache` (`default_cache()`), unless they are there."""
    found = places(root, variant)
    if not found:
        return _nothing(root, variant)
    first, *others = found
    result = first.read(first.folder, variant, cache)
    remarks = result.remarks
    if others:
        more = " and ".join(f"{place.words} in {place.folder}" for place in others)
        remarks = (*remarks, f"{first.words} in {first.folder} are read; there is also {more}.")
    return dataclasses.replace(
        result,
        title=TITLE,
        layout=f"{TITLE}, {first.words}",
        facts={"variant": variant},
        remarks=remarks,
        published=PUBLISHED[variant],
    )


def _nothing(root: Path, variant: str) -> Survey:
    other = next(name for name in VARIANTS if name != variant)
    if not root.is_dir():
        said = "no such folder"
    elif places(root, other):
        said = f"only the {other} images are here, and the variant is {variant}"
    else:
        said = f"no CUHK03 of the variant {variant} here"
    otherwise = f"; or choose variant={other}" if places(root, other) else ""
    remedy = (
        f"Give the folder with {variant}/{FOLDERS['train']}, with images_{variant}/ and "
        f"{split_file(variant)}, or with {MAT} and {protocol_file(variant)}{otherwise}."
    )
    trouble = Trouble("missing folder", f"{root}: {said}. {remedy}")
    return Survey(root, TITLE, troubles=(trouble,), facts={"variant": variant}, published=PUBLISHED[variant])


def _from_folders(folder: Path, variant: str, cache: Path | None) -> Survey:
    return survey_folders(folder, NAMING, "", PUBLISHED[variant])


def _from_mat(folder: Path, variant: str, cache: Path | None) -> Survey:
    from autoreid.data.cuhk03_mat import extracted  # deferred: HDF5 is an extra

    mat = _mat_of(folder)
    try:
        where = extracted(mat or folder / MAT, folder / protocol_file(variant), variant, cache)
    except InputError as error:
        return Survey(folder, TITLE, troubles=tuple(Trouble("mat file", text) for text in error.problems))
    result = _from_images(where, variant, cache)
    if result.troubles:
        message = f"{where}: what was extracted is not whole any more. Remove this folder: it is made again."
        return dataclasses.replace(result, troubles=(Trouble("damaged cache", message), *result.troubles))
    return result


def _from_images(folder: Path, variant: str, cache: Path | None) -> Survey:
    """images_VARIANT/ with splits_new_VARIANT.json. The JSON numbers training and test identities apart,
    from 0 and from 1: the file names say who is who."""
    path = folder / split_file(variant)
    images = folder / f"images_{variant}"
    try:
        division = _division(json.loads(path.read_bytes()))
        present = {Path(name).stem: name for name in image_names(images)}
    except OSError as error:
        reason = f"{error.filename or path}: {error.strerror or error}. Make it readable."
        return Survey(folder, TITLE, troubles=(Trouble("unreadable file", reason),))
    except ValueError as error:
        remedy = "Let the tool that wrote it write it again, from the protocol's .mat file."
        reason = f"{path}: not a division of CUHK03 ({error}). {remedy}"
        return Survey(folder, TITLE, troubles=(Trouble("list", reason),))
    rows, problems = divided_rows(division, present, images.name)
    troubles = []
    if problems:
        remedy = f"Restore the images in {images}, or have both written again."
        troubles.append(Trouble("list", "\n".join(few(path, problems, remedy))))
    for split in [] if problems else sorted(set(SPLITS) - {row.split for row in rows}):
        message = f"{path}: no {split} image. Have it written again."
        troubles.append(Trouble("empty split", message))
    return Survey(folder, TITLE, rows=tuple(rows), troubles=tuple(troubles))


def _division(given: object) -> dict[str, list[str]]:
    """Names of the images by split. ValueError where the JSON is something else."""
    first = given[0] if isinstance(given, list) and given else given
    if not isinstance(first, dict):
        raise ValueError("no list of divisions")
    found = {}
    for split in SPLITS:
        entries = first.get(split)
        if not isinstance(entries, list):
            raise ValueError(f"no list {split!r}")
        if not all(isinstance(entry, list) and entry and isinstance(entry[0], str) for entry in entries):
            raise ValueError(f"{split}: an entry is not [path, identity, camera]")
        # The paths are those of the machine that wrote them, Windows among them.
        found[split] = [entry[0].replace("\\", "/").rpartition("/")[2] for entry in entries]
    return found


def divided_rows(
    division: dict[str, list[str]], present: dict[str, str], folder: str
) -> tuple[list[Row], list[str]]:
    """Rows of the listed images, and what is wrong with the list. `present`: file names by stem."""
    rows: list[Row] = []
    problems: list[str] = []
    taken: dict[str, str] = {}
    for split, names in division.items():
        for name in names:
            stem = stem_of(name)
            match = NAME.fullmatch(stem)
            if match is None:
                problems.append(f"{split}: {name} is not a name like 1_001_2_06.png")
            elif stem not in present:
                problems.append(f"{split}: {name} is not in {folder}")
            elif stem in taken:
                problems.append(f"{split}: {name} is in {taken[stem]} already")
            else:
                taken[stem] = split
                identity = int(match[1]) * PEOPLE_OF_A_PAIR + int(match[2])
                rows.append(Row(f"{folder}/{present[stem]}", identity, int(match[3]), split))
    return rows, problems


def stem_of(name: str) -> str:
    """A file name without the ending of an image.

    >>> stem_of("1_001_2_06.png")
    '1_001_2_06'
    """
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in SUFFIXES else name


def read(root: Path, *, variant: str = "labeled", cache: Path | None = None) -> ImageIndex:
    """Index a variant of CUHK03 at or below `root`; InputError with every mistake at once."""
    return index_of(survey(root, variant=variant, cache=cache))
