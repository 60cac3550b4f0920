"""Which images a command was given, what they are called, and whom they show as far as that is said. Free of
torch.

A folder of a known data set, or an index file, gives identity, camera and split; elsewhere the file names
give identity and camera where most of a folder's are those of a known naming.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autoreid.data import index_file
from autoreid.data.index import few
from autoreid.data.market_folders import CUHK03, DUKE, MARKET, SUFFIXES
from autoreid.data.sets import DATASETS, sets_in
from autoreid.data.surveys import Row
from autoreid.errors import InputError, Problems
from autoreid.folders import expanded

ENDINGS = (*SUFFIXES, ".webp", ".tif", ".tiff")
# The names of MSMT17 are left out: they are little more than three numbers, which mean anything elsewhere.
NAMINGS = (MARKET, DUKE, CUHK03)


class Said(NamedTuple):
    """What is said of an image: None where nothing is."""

    identity: int | None = None
    camera: int | None = None
    split: str | None = None


NOTHING = Said()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image to embed. name: posix path that starts at `folder`, an absolute path."""

    name: str
    folder: str
    said: Said = NOTHING

    @property
    def path(self) -> Path:
        return Path(self.folder, self.name)


@dataclass(frozen=True, slots=True)
class _Given:
    """One argument: the folder that its names may start at, and its images with what is said of them."""

    base: str
    images: Mapping[str, Said]


def find_images(given: Sequence[str], root: str | None = None) -> list[ImageFile]:
    """The images of files, folders and index files, sorted by name, each once.

    Folders are searched to their ends; hidden files and folders and files that are no images by their ending
    are passed over. Names start at `root`, else at the one folder that is given or holds all that are given.
    InputError, all problems together, for what is not there, folders without images, names that are not
    UTF-8, and images that are not below `root`.
    """
    problems, parts = Problems(), []
    for text in given:
        try:
            parts.append(_given(text))
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    bases = {part.base for part in parts}
    start = os.path.commonpath(bases) if root is None else _absolute(root)
    images = {path: said for part in parts for path, said in part.images.items()}
    _check_names(images)
    prefix = f"{start.rstrip('/')}/"
    outside = sorted(path for path in images if not path.startswith(prefix))
    if outside:
        raise InputError(*few("--root", outside, f"Not below {start}: give a folder that holds all images."))
    found = (ImageFile(path.removeprefix(prefix), start, said) for path, said in images.items())
    return sorted(found, key=lambda image: image.name)


def _check_names(paths: Iterable[str]) -> None:
    """InputError for names that no table can hold: Linux has any bytes in them, texts are UTF-8."""
    shown = {path: os.fsencode(path).decode(errors="backslashreplace") for path in paths}
    wrong = sorted(words for path, words in shown.items() if not _is_text(path))
    if wrong:
        raise InputError(
            *few("IMAGES", [f"{words}: not a name in UTF-8" for words in wrong], "Rename these.")
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _absolute(text: str) -> str:
    return str(Path(os.path.normpath(expanded(text).absolute())))


def _given(text: str) -> _Given:
    path = _absolute(text)
    if Path(path).is_dir():
        images = sorted(_walk(path, frozenset()))
        if not images:
            raise InputError(f"{text}: no images below it. Give a folder with {', '.join(ENDINGS)} files.")
        return _Given(path, _labelled(path, images))
    if not Path(path).is_file():
        raise InputError(f"{text}: no such file or folder. Give images, folders of images or index files.")
    if Path(path).suffix.lower() in index_file.ENDINGS:
        return _indexed(Path(path))
    return _Given(str(Path(path).parent), _by_names([path]))


def _walk(folder: str, above: frozenset[str]) -> Iterator[str]:
    """The images below a folder. A link to a folder above it is not followed."""
    above |= {os.path.realpath(folder)}
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror or error}.") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if os.path.realpath(entry.path) not in above:
                yield from _walk(entry.path, above)
        elif entry.name.lower().endswith(ENDINGS):
            yield entry.path


def _indexed(path: Path) -> _Given:
    survey = index_file.survey(path)
    # An index file without queries is one for all that.
    refused = [trouble.message for trouble in survey.troubles if trouble.kind == "index file"]
    if refused or not survey.rows:
        raise InputError(*(refused or [f"{path}: no images. Give an index file that has some."]))
    return _Given(str(survey.root), dict(_of_rows(survey.root, survey.rows)))


def _of_rows(root: Path, rows: Iterable[Row]) -> Iterator[tuple[str, Said]]:
    start = str(root).rstrip("/")
    return ((f"{start}/{row.name}", Said(row.identity, row.camera, row.split)) for row in rows)


def _labelled(folder: str, images: Sequence[str]) -> dict[str, Said]:
    """What a folder's layout says of its images; without one, what their names say."""
    known = [name for name in sets_in(Path(folder)) if not DATASETS[name].cached]
    if len(known) == 1:
        survey = DATASETS[known[0]].survey(Path(folder))
        if not survey.troubles:
            rows = dict(_of_rows(survey.root, survey.rows))
            return {path: rows.get(path, NOTHING) for path in images}
    return _by_names(images)


def _by_names(images: Sequence[str]) -> dict[str, Said]:
    """Identity and camera of every image whose name is of the naming that at least half of them have. Junk,
    -1, shows nobody: it has no identity."""
    names = [path.rpartition("/")[2] for path in images]
    read = [[naming.read(name) for name in names] for naming in NAMINGS]
    best = max(read, key=lambda found: sum(labels is not None for labels in found))
    if 2 * sum(labels is not None for labels in best) < len(names):
        return dict.fromkeys(images, NOTHING)
    return {
        path: NOTHING if labels is None else Said(labels[0] if labels[0] >= 0 else None, labels[1])
        for path, labels in zip(images, best, strict=True)
    }
