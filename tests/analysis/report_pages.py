"""Pages of a report, taken apart."""

from __future__ import annotations

from pathlib import Path

from analysis.assembly import page
from analysis.collect import collect
from analysis.pages import Grid, Page, Records, Section
from analysis.report import report


def made(root: Path) -> Page:
    collect(root)
    (name,) = {path.stem for path in (root / "tables" / "trials").iterdir()}
    return page(Records.read(root, name), "p")


def section(found: Page, title: str) -> Section:
    (result,) = [part for part in found.sections if part.title == title]
    return result


def grid(found: Page, title: str, part: str) -> Grid:
    (result,) = [g for g in section(found, title).grids if g.title.startswith(part)]
    return result


def written(root: Path, output: Path | None = None, campaigns: list[str] | None = None) -> list[Path]:
    """The files of the report of a folder."""
    return [Path(name) for name in report(root, output, campaigns)]


def figures(files: list[Path]) -> list[Path]:
    """The figures among the files of a report."""
    return [path for path in files if path.suffix == ".svg"]
