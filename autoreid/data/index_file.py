"""Data of one's own, from an index file: CSV or parquet with the columns path, identity, camera and split.

Paths are relative to the file, or absolute. Identities are whole numbers, or texts, which are numbered from 1
in sorted order; 0 is a distractor and -1 junk in either case. Free of torch.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autoreid.data.index import SPLITS, ImageIndex, few
from autoreid.data.surveys import DISTRACTOR, JUNK, Row, Survey, Trouble, index_of
from autoreid.errors import InputError, unknown
from autoreid.words import counted

TITLE = "own data"
COLUMNS = ("path", "identity", "camera", "split")
ENDINGS = (".csv", ".parquet")
WHOLE = re.compile(r"-?[0-9]{1,18}")  # as many digits as surely fit 64 bits
DECIMAL = re.compile(r"(-?[0-9]+)\.0*")
REMEDY = "Correct these lines."


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the file as texts, and where it stands: "line" in a text, "row" in a table."""

    number: int
    unit: str
    path: str
    identity: str
    camera: str
    split: str

    @property
    def place(self) -> str:
        return f"{self.unit} {self.number}"


def layouts(root: Path) -> list[str]:
    """An index file is known by its ending alone."""
    return [f"index file {root}"] if root.suffix.lower() in ENDINGS and root.is_file() else []


def survey(root: Path) -> Survey:
    """Look into the index file `root`, without raising, and at all the images that it names."""
    file = root.absolute()
    layout = f"index file ({file.suffix.lstrip('.').lower()})"
    try:
        lines = list(_lines(root))
    except InputError as error:
        refused = tuple(Trouble("index file", text) for text in error.problems)
        return Survey(file.parent, TITLE, layout, troubles=refused)
    given, problems = _checked(lines, file.parent)
    missing = _missing(path for path, _ in given)
    problems += [(line, _absence(line.path)) for path, line in given if path in missing]
    problems.sort(key=lambda found: found[0].number)
    said = [f"{line.place}: {text}" for line, text in problems]
    troubles = [Trouble("index file", "\n".join(few(root, said, REMEDY)))] if said else []
    present = [(path, line) for path, line in given if path not in missing]
    kept = [(path, line) for path, line in present if _whole_number(line.identity) != JUNK]
    folder = _root_of([path for path, _ in kept], file.parent)
    numbers = _numbers(line.identity for _, line in kept)
    rows = tuple(
        Row(path.removeprefix(f"{folder.rstrip('/')}/"), numbers[line.identity], int(line.camera), line.split)
        for path, line in kept
    )
    dropped = [line.split for _, line in given if _whole_number(line.identity) == JUNK]
    junk = {split: dropped.count(split) for split in SPLITS}
    if not problems:
        troubles.extend(_whole(root, rows))
    return Survey(Path(folder), TITLE, layout, rows=rows, troubles=tuple(troubles), junk=junk)


def _whole(root: Path, rows: tuple[Row, ...]) -> Iterator[Trouble]:
    """Troubles of the file as a whole: empty splits, and distractors where there are none."""
    for split in SPLITS:
        found = [row for row in rows if row.split == split]
        if not found:
            remedy = "Add rows, or correct their split."
            yield Trouble("empty split", f"{root}: no row with split {split}. {remedy}")
        reserved = sum(row.identity == DISTRACTOR for row in found)
        if reserved and split != "gallery":
            remedy = "Give people other identities, or distractors the split gallery."
            message = f"{root}: {counted(reserved, 'row')} of {split} with identity 0. {remedy}"
            yield Trouble("reserved identity", message)


def _lines(root: Path) -> Iterator[Line]:
    ending = root.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(f"{root}: not an index file. Give a file that ends with {' or '.join(ENDINGS)}.")
    try:
        yield from _csv_lines(root) if ending == ".csv" else _parquet_lines(root)
    except UnicodeDecodeError as error:
        raise InputError(f"{root}: not UTF-8 ({error.reason}). Save it as UTF-8.") from error
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{root}: cannot be read ({reason}). Give a readable index file.") from error


def _check_columns(root: Path, found: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        has = f"The file has {', '.join(found) or 'none'}; it needs {', '.join(COLUMNS)}."
        if len(found) == 1 and any(mark in found[0] for mark in ";\t"):
            has += " Separate them by commas."
        raise InputError(f"{root}: no column {', '.join(missing)}. {has}")
    twice = [name for name in COLUMNS if found.count(name) > 1]
    if twice:
        raise InputError(f"{root}: column {', '.join(twice)} is there twice. Remove or rename one.")


def _csv_lines(root: Path) -> Iterator[Line]:
    with root.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        _check_columns(root, header)
        places = [header.index(name) for name in COLUMNS]
        for cells in reader:
            if any(cell.strip() for cell in cells):
                texts = (cells[place].strip() if place < len(cells) else "" for place in places)
                yield Line(reader.line_num, "line", *texts)


def _parquet_lines(root: Path) -> Iterator[Line]:
    try:
        import pyarrow.parquet as parquet  # deferred: only this kind of file needs it
        from pyarrow.lib import ArrowException
    except ImportError as error:
        raise InputError(f"{root}: pyarrow is not installed. Install pyarrow, or write a CSV.") from error
    try:
        with parquet.ParquetFile(root) as file:
            _check_columns(root, list(file.schema_arrow.names))
            columns = [column.to_pylist() for column in file.read(columns=list(COLUMNS)).select(COLUMNS)]
    except ArrowException as error:
        raise InputError(f"{root}: not a parquet file ({error}). Write it again.") from error
    for number, cells in enumerate(zip(*columns, strict=True), start=1):
        yield Line(number, "row", *("" if cell is None else str(cell).strip() for cell in cells))


def _checked(lines: list[Line], folder: Path) -> tuple[list[tuple[str, Line]], list[tuple[Line, str]]]:
    """Lines that can be used with their absolute paths, and the problems of the others."""
    good: list[tuple[str, Line]] = []
    problems: list[tuple[Line, str]] = []
    first: dict[str, str] = {}
    for line in lines:
        found = list(_line_problems(line))
        path = os.path.normpath(line.path if line.path[:1] == "/" else f"{folder}/{line.path}")
        if line.path and path in first:
            found.append(f"{line.path} is on {first[path]} already")
        first.setdefault(path, line.place)
        if found:
            problems.extend((line, problem) for problem in found)
        else:
            good.append((path, line))
    return good, problems


def _line_problems(line: Line) -> Iterator[str]:
    for name in ("path", "identity"):
        if not getattr(line, name):
            yield f"no {name}"
    identity = _whole_number(line.identity)
    if identity is not None and identity < JUNK:
        yield f"identity {line.identity} is below -1 (junk)"
    if decimal := DECIMAL.fullmatch(line.identity):  # as text, 0.0 and -1.0 would be people
        yield f"identity {line.identity} is a decimal number: write {decimal[1]}"
    camera = _whole_number(line.camera)
    if camera is None or camera < 0:
        yield f"camera {line.camera!r} is not a whole number from 0"
    if line.split not in SPLITS:
        yield unknown("split", line.split, SPLITS)


def _whole_number(text: str) -> int | None:
    """The number that a text is in plain digits; `int` would take 1_11 and 11_1 for one."""
    return int(text) if WHOLE.fullmatch(text) else None


def _numbers(identities: Iterable[str]) -> dict[str, int]:
    """Identities as numbers. Texts are numbered from 1 in sorted order as soon as one is no whole number."""
    whole = {text: _whole_number(text) for text in set(identities)}
    if None not in whole.values():
        return {text: number for text, number in whole.items() if number is not None}
    people = sorted(text for text, number in whole.items() if number != DISTRACTOR)
    numbers = {text: number for number, text in enumerate(people, start=1)}
    return dict.fromkeys(whole, DISTRACTOR) | numbers


def _absence(path: str) -> str:
    return f"no such file: {path}" + " (folders are separated by /)" * ("\\" in path)


def _missing(paths: Iterable[str]) -> frozenset[str]:
    """Those of the paths where no file is. Each folder is listed once, instead of a look at every file."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(_folder_of(path), []).append(path)
    missing: set[str] = set()
    for folder, wanted in by_folder.items():
        try:
            with os.scandir(folder) as entries:
                present = {entry.path for entry in entries if entry.is_file()}
            missing.update(set(wanted) - present)
        except (OSError, ValueError):  # ValueError: a name that no file can have
            missing.update(wanted)
    return frozenset(missing)


def _root_of(paths: list[str], folder: Path) -> str:
    """The folder that names start at: the file's own where all images are below it, else the deepest that
    they share, so that a copy elsewhere has the same names."""
    home = str(folder)
    if all(path.startswith(f"{home.rstrip('/')}/") for path in paths):
        return home
    return os.path.commonpath({_folder_of(path) for path in paths})


def _folder_of(path: str) -> str:
    """The folder of a normal absolute path: of a hundred thousand, which is why it is no `Path`."""
    return path.rpartition("/")[0] or "/"


def read(root: Path) -> ImageIndex:
    """Index the images of an index file; InputError with every mistake at once, each with its line."""
    return index_of(survey(root))
