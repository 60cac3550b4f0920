"""MSMT17, V1 and V2. Free of torch.

Official: train/ and test/ (V2: mask_train_v2/ and mask_test_v2/), a folder an identity or all images in one,
with list_train.txt, list_val.txt, list_query.txt and list_gallery.txt, whose lines are "0000/NAME.jpg 0".
Also the three folders of Market-1501. Both number train and test identities from 0, as if they were the same
people: here training identities start at 1 and test identities at TEST_SHIFT.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoreid.data.index import ImageIndex, few
from autoreid.data.market_folders import (
    FOLDERS,
    MSMT17,
    SUFFIXES,
    has_splits,
    naming_of,
    survey_folders,
)
from autoreid.data.surveys import Published, Row, SplitCounts, Survey, Trouble, folders_below, index_of

TITLE = "MSMT17"
SUBFOLDERS = ("msmt17", "msmt17v1", "msmt17v2")
FORMS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
LISTS = {"train": "list_train.txt", "query": "list_query.txt", "gallery": "list_gallery.txt"}
VALIDATION_LIST = "list_val.txt"
IDENTITY = re.compile(r"[0-9]{1,9}")
TRAIN_SHIFT, TEST_SHIFT = 1, 10_001
SHIFTS = {"train": TRAIN_SHIFT, "query": TEST_SHIFT, "gallery": TEST_SHIFT}

# Wei et al., Person Transfer GAN to Bridge Domain Gap, CVPR 2018: 1,041 and 3,060 identities, 15 cameras.
# Its validation list has 2,373 images of the training identities.
TEST_COUNTS = {"query": SplitCounts(11659, 11659, 3060), "gallery": SplitCounts(82161, 82161, 3060)}
PUBLISHED = {
    "training": Published({"train": SplitCounts(32621, 32621, 1041), **TEST_COUNTS}, cameras=15),
    "left-out": Published({"train": SplitCounts(30248, 30248, 1041), **TEST_COUNTS}, cameras=15),
}
FACTS = {"training": "in training", "left-out": "left out"}


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with MSMT17 in it: form V1 or V2 with the names of its folders, or "folders"."""

    folder: Path
    form: str
    parts: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return f"{TITLE} {self.form}" if self.parts else f"{TITLE} in Market-1501 folders"


def places(root: Path) -> list[Place]:
    """Where MSMT17 lies at or below `root`."""
    found = []
    for folder in folders_below(root, SUBFOLDERS):
        present = _folders(folder)
        listed = any((folder / file).is_file() for file in LISTS.values())
        for form, parts in FORMS.items():
            if all(part in present for part in parts) and listed:
                found.append(Place(folder, form, tuple(present[part] for part in parts)))
        if has_splits(folder) and naming_of(folder) is MSMT17:
            found.append(Place(folder, "folders"))
    return found


def _folders(folder: Path) -> dict[str, str]:
    """Folders by their name in lower case: some releases say mask_test_V2."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name.lower(): entry.name for entry in entries if entry.is_dir()}
    except OSError:
        return {}


def layouts(root: Path) -> list[str]:
    """Where this data set lies at or below `root`, each place in words."""
    return [f"{place.words} in {place.folder}" for place in places(root)]


def survey(root: Path, *, validation: str = "training") -> Survey:
    """Look into lists and folders at or below `root`, without raising. `validation` says whether the images
    of the validation list are trained on ("training") or "left-out"."""
    found = places(root)
    if len(found) == 1:
        place = found[0]
        return _from_lists(place, validation) if place.parts else _from_folders(place.folder, validation)
    if found:
        remedy = "Give the folder of one, or move the other away."
        kind, text = "ambiguous layout", f"holds {' and '.join(layouts(root))}. {remedy}"
    else:
        expected = f"train/ and test/, or mask_train_v2/ and mask_test_v2/, with {', '.join(LISTS.values())}"
        remedy = f"Give the folder with {expected}; or with {', '.join(FOLDERS.values())}."
        missing = "no MSMT17 here" if root.is_dir() else "no such folder"
        kind, text = "missing folder", f"{missing}. {remedy}"
    return Survey(root, TITLE, troubles=(Trouble(kind, f"{root}: {text}"),), published=PUBLISHED[validation])


def _from_folders(root: Path, validation: str) -> Survey:
    layout = f"{TITLE} in Market-1501 folders"
    result = survey_folders(root, MSMT17, layout, PUBLISHED["training"], shifts=SHIFTS)
    troubles = list(result.troubles)
    if validation != "training":
        remedy = f"Leave validation at training, or use the release with {VALIDATION_LIST}."
        message = f"{root}: Market-1501 folders do not tell validation images. {remedy}"
        troubles.append(Trouble("no validation list", message))
    return dataclasses.replace(result, troubles=tuple(troubles), facts={"validation": FACTS["training"]})


def _from_lists(place: Place, validation: str) -> Survey:
    root, troubles, rows = place.folder, [], []
    images = {part: _Images.of(root, part) for part in place.parts}
    train, test = (images[part] for part in place.parts)
    files = [("train", LISTS["train"], train)]
    if validation == "training":
        files.append(("train", VALIDATION_LIST, train))
    files += [(split, LISTS[split], test) for split in ("query", "gallery")]
    taken: dict[str, str] = {}
    for split, file, where in files:
        found, problems = _read_list(root / file, where, split, taken)
        rows.extend(found)
        if problems:
            remedy = "Take the list from the data set's archive, with all its images"
            remedy += ", or choose validation=left-out." if file == VALIDATION_LIST else "."
            troubles.append(Trouble("list", "\n".join(few(root / file, problems, remedy))))
        elif not found:
            troubles.append(
                Trouble("empty split", f"{root / file}: no line. Take it from the archive again.")
            )
    nested = "nested" if any("/" in name for name in train.by_name) else "flat"
    return Survey(
        root=root,
        title=TITLE,
        layout=f"{place.words}, {nested}",
        rows=tuple(rows),
        troubles=tuple(troubles),
        facts={"validation": FACTS[validation]},
        published=PUBLISHED[validation],
    )


@dataclass(frozen=True, slots=True)
class _Images:
    """The images of train/ or test/, found in one scan: a list of 82,161 needs no look at each file.

    by_name: paths below the folder. by_file: the same by file name alone, for lists that name the identity's
    folder where the images lie flat, or the other way round; None where two have that name.
    """

    part: str
    by_name: frozenset[str]
    by_file: dict[str, str | None]

    @classmethod
    def of(cls, root: Path, part: str) -> _Images:
        names = sorted(_below(root / part, ""))
        files: dict[str, str | None] = {}
        for name in names:
            file = name.rpartition("/")[2]
            files[file] = None if file in files else name
        return cls(part, frozenset(names), files)

    def find(self, name: str) -> str | None:
        return name if name in self.by_name else self.by_file.get(name.rpartition("/")[2])


def _below(folder: Path, before: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                if entry.name.lower().endswith(SUFFIXES):
                    yield before + entry.name
                elif not before and entry.is_dir():
                    yield from _below(Path(entry.path), f"{entry.name}/")
    except OSError:
        return  # the lists name what is missing


def _read_list(path: Path, images: _Images, split: str, taken: dict[str, str]) -> tuple[list[Row], list[str]]:
    """The rows of a list, and what is wrong with it by line. `taken`: images of the lists before, by name."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [], [getattr(error, "strerror", None) or "not a text"]
    rows, problems = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        given, identity, *more = [*line.split(), ""][:3]
        read = MSMT17.read(given.rpartition("/")[2])
        if read is None or not IDENTITY.fullmatch(identity) or any(more):
            problems.append(f"line {number}: {line.strip()!r} is not an image and its identity")
            continue
        name = images.find(given)
        place = f"{images.part}/{name}"
        if name is None:
            problems.append(f"line {number}: {given} is not in {images.part}")
        elif place in taken:
            problems.append(f"line {number}: {given} was in {taken[place]} already")
        else:
            taken[place] = f"{path.name}, line {number},"
            rows.append(Row(place, int(identity) + SHIFTS[split], read[1], split))
    return rows, problems


def read(root: Path, *, validation: str = "training") -> ImageIndex:
    """Index MSMT17 at or below `root`; InputError with every mistake at once.

    Identities are those of the lists (or of the file names), plus 1 for training and plus 10,001 for query
    and gallery: the two groups are different people.
    """
    return index_of(survey(root, validation=validation))
