"""Pages of a report, taken apart."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from analysis.assembly import page
from analysis.collect import collect
from analysis.pages import Grid, Page, Records, Section
from analysis.report import report

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Checker(HTMLParser):
    """Balanced tags, ids, references, and the text of every table."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "srcset", "data", "action"):
                self.references.append(value or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts[-1] += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


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
