"""Where everything of a report lies: anchors, names of files, and how much of a large table a page holds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from analysis.downloads import csv_text, data_uri
from analysis.pages import Grid, Page, Picture, Section

# Rows of a table that a page shows, and rows of a CSV that a page carries for its download.
SHOWN = 250
CARRIED = 4000
# Characters of a title that become part of a name.
LENGTH = 48
# Width of a drawing, and from which on a column of a page is too narrow for it; in the drawing's own units.
VIEW = re.compile(r'viewBox="0 0 ([\d.]+) ')
COLUMN = 520


@dataclass(frozen=True, slots=True)
class Sheet:
    """A grid in its place. `name` is its anchor, and that of its files without ending; `rest` says what the
    page leaves out, and where it is; `csv` is the download, empty where it is too large for a page."""

    name: str
    grid: Grid
    rest: str
    csv: str

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The rows that the page shows."""
        return self.grid.rows[:SHOWN]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture in its place, its data, and the download of the SVG. Its anchor is the picture's name."""

    picture: Picture
    sheet: Sheet | None
    svg: str

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page to be read."""
        found = VIEW.search(self.picture.svg)
        return found is not None and float(found.group(1)) > COLUMN


@dataclass(frozen=True, slots=True)
class Part:
    """A section in its place; `name` is its anchor."""

    name: str
    section: Section
    figures: tuple[Figure, ...]
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A page in its place; `name` is its anchor, and all names in it begin with that."""

    name: str
    page: Page
    parts: tuple[Part, ...]

    @property
    def sheets(self) -> tuple[Sheet, ...]:
        """All tables of the page, those of its figures too."""
        found: list[Sheet] = []
        for part in self.parts:
            found += [figure.sheet for figure in part.figures if figure.sheet]
            found += part.sheets
        return tuple(found)


def slug(name: str, otherwise: str) -> str:
    """A name for files and anchors.

    >>> slug("CDNet, table 1", "campaign-2"), slug("<>", "campaign-1")
    ('cdnet-table-1', 'campaign-1')
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or otherwise


def _free(name: str, taken: set[str]) -> str:
    """The name, or the name with the first number that is not taken; it is taken from now on."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found


def _short(title: str, otherwise: str) -> str:
    return slug(title, otherwise)[:LENGTH].rstrip("-")


def slugs(names: list[str]) -> list[str]:
    """One slug for each name; where it is taken, the first number that makes it another.

    >>> slugs(["a.b", "a-b", "a-b-2"])
    ['a-b', 'a-b-2', 'a-b-2-2']
    """
    taken: set[str] = set()
    return [_free(slug(name, f"campaign-{place}"), taken) for place, name in enumerate(names, 1)]


def _rest(grid: Grid, name: str, tables: str) -> str:
    """What a page leaves out of a table, and where it is."""
    if len(grid.rows) <= SHOWN:
        return ""
    return (
        f"The first {SHOWN} of {len(grid.rows):,} rows. All are in tables/{name}.csv beside the report, and "
        f"the records that they are made of in {tables}."
    )


def _sheet(grid: Grid, name: str, tables: str) -> Sheet:
    carried = len(grid.rows) <= CARRIED
    csv = data_uri("text/csv", csv_text(grid)) if carried else ""
    return Sheet(name, grid, _rest(grid, name, tables), csv)


def chapter(page: Page, prefix: str, tables: str) -> Chapter:
    """A page with a name for every part of it: equal titles give equal names.

    `tables` says in words where the page's records lie.
    """
    taken = {prefix}
    for section in page.sections:
        taken |= {picture.name for picture in section.pictures} | {photo.name for photo in section.photos}
    parts = []
    for section in page.sections:
        name = _free(f"{prefix}--{_short(section.title, 'section')}", taken)
        figures = []
        for picture in section.pictures:
            data = picture.data
            sheet = _sheet(data, _free(f"{picture.name}--data", taken), tables) if data else None
            figures.append(Figure(picture, sheet, data_uri("image/svg+xml", picture.svg)))
        sheets = []
        for grid in section.grids:
            called = _free(f"{name}--{_short(grid.title, 'table')}", taken)
            sheets.append(_sheet(grid, called, tables))
        parts.append(Part(name, section, tuple(figures), tuple(sheets)))
    return Chapter(prefix, page, tuple(parts))
