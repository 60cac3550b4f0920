"""The report of a storage's campaigns: one HTML file, one Markdown file, figures as SVG and PNG, tables as
CSV and LaTeX."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources

import jinja2
from markupsafe import Markup

from analysis import tables
from analysis.across import with_baseline
from analysis.assembly import page
from analysis.behind import Behind
from analysis.checklist import VERDICTS
from analysis.downloads import csv_text
from analysis.latex import latex_table
from analysis.layout import Chapter, chapter, slugs
from analysis.overview import NAME, overview
from analysis.pages import Records
from analysis.paper_tables import PaperTable
from analysis.report_folder import replace_files
from analysis.results import STATUSES
from autoreid.storage import Storage
from autoreid.version import __version__

ALIGNMENTS = {"l": "---", "w": "---", "r": "--:"}
# Words that a page colours, by the heading of their column.
MARKS = {"status": dict(zip(STATUSES, STATUSES, strict=True)), "verdict": VERDICTS}


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


def render(chapters: list[Chapter], template: str) -> str:
    """The pages as text by one of the templates, `report.html.j2` or `report.md.j2`.

    The one script of the HTML is allowed by its digest alone: a browser runs no other.
    """
    script = resources.files("analysis").joinpath("templates/report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(
            chapters=chapters,
            marks=MARKS,
            alignments=ALIGNMENTS,
            version=__version__,
            script=Markup(script),
            script_digest=digest,
        )
    )


def _chapters(
    records: list[Records], papers: Sequence[PaperTable], baseline: str | None, evaluations: list[Behind]
) -> list[Chapter]:
    """Every campaign's page; of several, a page that compares them comes first.

    `evaluations` has an entry for each campaign.
    """
    names = [found.name for found in records]
    several = len(records) > 1
    first, *prefixes = slugs([NAME, *names]) if several else ["", *slugs(names)]
    pages = [
        chapter(page(found, prefix, papers, behind), prefix, f"tables/*/{found.name}.parquet")
        for found, prefix, behind in zip(records, prefixes, evaluations, strict=True)
    ]
    if not several:
        return pages
    return [chapter(overview(records, first, baseline), first, "tables/*/*.parquet"), *pages]


def _files(chapters: list[Chapter]) -> dict[str, str | bytes]:
    """Every file of the report by its name below the folder, report.html and report.md first."""
    files: dict[str, str | bytes] = {
        name: render(chapters, f"{name}.j2") for name in ("report.html", "report.md")
    }
    for found in chapters:
        for part in found.parts:
            pictures = (figure.picture for figure in part.figures)
            files |= {f"figures/{picture.name}.svg": picture.svg for picture in pictures}
            files |= {f"figures/{photo.name}.png": photo.png for photo in part.section.photos}
        for sheet in found.sheets:
            files[f"tables/{sheet.name}.csv"] = csv_text(sheet.grid)
            if sheet.grid.latex:
                files[f"tables/{sheet.name}.tex"] = latex_table(sheet.grid, sheet.name, found.page.name)
    return files


def report(
    where: tables.Where,
    output: tables.Where | None = None,
    campaigns: list[str] | None = None,
    papers: Sequence[PaperTable] = (),
    baseline: str | None = None,
    storage: Storage | None = None,
    with_images: bool = False,
) -> list[str]:
    """Write report.html, report.md, figures/*, tables/*.csv and tables/*.tex; their paths or addresses,
    report.html first, then report.md.

    `where` holds the collected tables. What lies behind the figures of evaluations is read from `storage`,
    and left out without one; pictures of people are put in `with_images` alone. `output` is `<where>/report`
    unless given.
    All collected campaigns are in the report, unless some are named, each beside the tables of `papers`.
    `baseline` is the arm that others are compared with: of one campaign its name, of several
    `campaign: arm`, which is then the baseline between campaigns.
    InputError as for `analysis.tables.read`, and for a file where the folder should be. Equal tables give
    equal files; files of a former report that this one does not have are removed.
    """
    source = tables.folder_of(where)
    folder = tables.output_folder(source.child("report") if output is None else output)
    names = tables.known_campaigns(source) if campaigns is None else campaigns
    records = [Records.read(source, name) for name in names]
    if baseline is not None and len(records) == 1:
        records, baseline = [with_baseline(records[0], baseline)], None
    evaluations = [
        Behind.read(storage, found, with_images, len(records)) if storage else Behind(()) for found in records
    ]
    files = _files(_chapters(records, papers, baseline, evaluations))
    replace_files(folder, files)
    return [f"{folder}/{name}" for name in files]
