"""The report of a storage's campaigns: one HTML file, one Markdown file, and the figures as SVG files."""

from __future__ import annotations

import re

import jinja2

from analysis import tables
from analysis.assembly import page, slugs
from analysis.pages import Page, Records
from analysis.results import STATUSES
from autoreid.version import __version__

ALIGNMENTS = {"l": "---", "w": "---", "r": "--:"}


def markdown(text: str) -> str:
    """Text with everything escaped that Markdown or HTML would take for markup, on one line.

    >>> markdown("<b> a|b *c* snake_case _d_")
    '&lt;b&gt; a\\\\|b \\\\*c\\\\* snake_case \\\\_d\\\\_'
    """
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~])", r"\\\1", text)
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def fence(text: str) -> str:
    """A fence of backticks that is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = markdown
    environment.filters["fence"] = fence
    return environment


def render(pages: list[Page], prefixes: list[str], template: str) -> str:
    """The pages as text by one of the templates, `report.html.j2` or `report.md.j2`."""
    return (
        _environment()
        .get_template(template)
        .render(
            pages=list(zip(pages, prefixes, strict=True)),
            statuses=STATUSES,
            alignments=ALIGNMENTS,
            version=__version__,
        )
    )


def report(
    where: tables.Where, output: tables.Where | None = None, campaigns: list[str] | None = None
) -> list[str]:
    """Write report.html, report.md and figures/*.svg; their paths or addresses, report.html first.

    `where` holds the collected tables, and nothing else is read. `output` is `<where>/report` unless given.
    All collected campaigns are in the report, unless some are named. InputError as for
    `analysis.tables.read`, and for a file where the folder should be. Equal tables give equal files.
    """
    source = tables.folder_of(where)
    folder = tables.output_folder(source.child("report") if output is None else output)
    names = tables.known_campaigns(source) if campaigns is None else campaigns
    records = [Records.read(source, name) for name in names]
    prefixes = slugs(names)
    pages = [page(found, prefix) for found, prefix in zip(records, prefixes, strict=True)]
    files = {
        "report.html": render(pages, prefixes, "report.html.j2"),
        "report.md": render(pages, prefixes, "report.md.j2"),
    }
    for found in pages:
        for section in found.sections:
            files |= {f"figures/{picture.name}.svg": picture.svg for picture in section.pictures}
    for name, text in files.items():
        folder.write(name, text.encode())
    return [f"{folder}/{name}" for name in files]
