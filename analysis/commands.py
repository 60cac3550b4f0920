"""`autoreid tables` and `autoreid report`. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from autoreid.cli import DONE, Command, add_json_flag, answer, say
from autoreid.errors import InputError

if TYPE_CHECKING:
    from analysis.collect import Collected

# The files of a report beside its pages, by their endings.
WRITTEN = {"figures": ".svg", "pictures": ".png", "csv": ".csv", "latex": ".tex"}


def _configure_tables(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    collect = verbs.add_parser("collect", help="write the parquet tables of all campaigns of a storage")
    collect.add_argument("directory", metavar="DIR", help="the storage")
    collect.add_argument("--out", metavar="DIR", help="write to DIR/tables (default: the storage's)")
    collect.add_argument("--campaign", metavar="NAME", help="only this campaign")
    add_json_flag(collect)
    collect.set_defaults(run_verb=_collect)

    show = verbs.add_parser("show", help="print a table that was collected")
    show.add_argument("table", metavar="TABLE", help="such as trials or retrains; 'describe' lists all")
    show.add_argument("--storage", required=True, metavar="DIR", help="the storage, or collect's --out")
    show.add_argument("--campaign", metavar="NAME", help="only this campaign")
    show.add_argument("--columns", metavar="A,B", help="only these columns")
    show.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="EXPR",
        help="only rows for which it holds: arm=top-2, mAP>0.4, status!=done, error~memory (a part of the "
        "text), error= (empty); of several all hold",
    )
    show.add_argument("--group-by", metavar="A,B", help="mean, deviation, least and most of each group")
    show.add_argument("--sort", metavar="A,B", help="by these columns; A:desc begins with the largest")
    show.add_argument("--limit", type=int, metavar="N", help="only the first N rows")
    add_json_flag(show)
    show.set_defaults(run_verb=_show)

    describe = verbs.add_parser("describe", help="print what the columns mean, with types and units")
    describe.add_argument("table", metavar="TABLE", nargs="?", help="one table (default: all)")
    describe.add_argument("--markdown", action="store_true", help="print the whole page docs/tables.md")
    describe.set_defaults(run_verb=_describe)

    summary = verbs.add_parser("summary", help="print each arm's scores, from the collected tables")
    summary.add_argument("directory", metavar="DIR", help="the storage, or collect's --out")
    summary.add_argument("--campaign", metavar="NAME", help="only this campaign")
    add_json_flag(summary)
    summary.set_defaults(run_verb=_summary)

    papers = verbs.add_parser("papers", help="list the papers' tables, or print one of them")
    papers.add_argument("table", metavar="TABLE", nargs="?", help="such as cdnet/table1 (default: a list)")
    add_json_flag(papers)
    papers.set_defaults(run_verb=_papers)


def _run_tables(options: argparse.Namespace) -> int:
    code: int = options.run_verb(options)
    return code


def _collected(directory: str, output: str | None, named: list[str] | None) -> Collected:
    from analysis.collect import collect

    found = collect(directory, output, named)
    for warning in found.warnings:
        say(f"warning: {warning}")
    return found


def _collect(options: argparse.Namespace) -> int:
    named = None if options.campaign is None else [options.campaign]
    found = _collected(options.directory, options.out, named)
    files = list(found.files)
    answer({"files": files, "warnings": list(found.warnings)}, "\n".join(files), options.json)
    return DONE


def _show(options: argparse.Namespace) -> int:
    from analysis.listing import Wish, as_text, listed, plain_rows

    wish = Wish(options.where, options.group_by, options.columns, options.sort, options.limit)
    frame, count = listed(options.storage, options.table, options.campaign, wish)
    text = as_text(frame)
    if len(frame) < count:
        text += f"\n\n{len(frame)} of {count} rows"
    answer(plain_rows(frame) if options.json else [], text, options.json)
    return DONE


def _describe(options: argparse.Namespace) -> int:
    from analysis.tables import describe, describe_markdown
    from autoreid.records import TABLES

    if options.markdown:
        text = describe_markdown().rstrip("\n")
    else:
        text = "\n\n".join(describe(table) for table in ([options.table] if options.table else TABLES))
    answer([], text, as_json=False)
    return DONE


def _papers(options: argparse.Namespace) -> int:
    from analysis.paper_listing import index_plain, index_text, table_plain, table_text

    if options.table is None:
        answer(index_plain() if options.json else [], index_text(), options.json)
    else:
        rows = table_plain(options.table) if options.json else []
        answer(rows, table_text(options.table), options.json)
    return DONE


def _summary(options: argparse.Namespace) -> int:
    from analysis.summary import summary_plain, summary_table
    from analysis.tables import known_campaigns

    names = known_campaigns(options.directory, options.campaign)
    text = "\n\n".join(summary_table(options.directory, name) for name in names)
    rows = [row for name in names for row in summary_plain(options.directory, name)] if options.json else []
    answer(rows, text, options.json)
    return DONE


def _configure_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="the storage; or a folder with collected tables")
    parser.add_argument(
        "--sample",
        action="store_true",
        help="put the tables of the sample campaign that comes with autoreid into DIR first",
    )
    parser.add_argument(
        "--campaign",
        metavar="NAME",
        action="append",
        help="only this campaign, or several: once for each (default: all)",
    )
    parser.add_argument("--out", metavar="DIR", help="folder of the report (default: DIR/report)")
    parser.add_argument(
        "--baseline",
        metavar="ARM",
        help="compare with this arm (default: the campaign's baseline); between campaigns 'CAMPAIGN: ARM'",
    )
    parser.add_argument(
        "--paper",
        metavar="TABLE",
        action="append",
        default=[],
        help="set the arms beside a paper's table, such as auto-reid/table1; several with commas "
        "('autoreid tables papers' lists them)",
    )
    parser.add_argument(
        "--with-images",
        action="store_true",
        help="put in the pictures of people that evaluations left: ranked lists and activation maps",
    )
    add_json_flag(parser)


def _run_report(options: argparse.Namespace) -> int:
    """Collect the tables, unless the folder holds tables alone; then write the report of what was collected.

    A folder with jobs is a storage: tables that lie in it without a campaign are not taken for current.
    """
    from analysis.paper_tables import chosen
    from analysis.report import report
    from analysis.shipped import unpack
    from analysis.tables import campaigns, output_folder, sound_campaigns
    from autoreid.storage import Storage

    papers = chosen(options.paper)
    if options.sample:
        unpack(options.directory)
    if options.out is not None:
        output_folder(options.out)
    storage = Storage(options.directory)
    is_storage = bool(storage.campaigns()) or any(True for _ in storage.jobs())
    tables_alone = campaigns(options.directory) and not is_storage
    named = None if options.campaign is None else list(dict.fromkeys(options.campaign))
    if options.with_images and tables_alone:
        raise InputError(
            f"--with-images: {options.directory} has tables and no jobs, and pictures lie with the jobs. "
            "Give the storage, or leave --with-images out."
        )
    found = None if tables_alone else _collected(options.directory, None, named)
    names, warnings = (list(found.campaigns), list(found.warnings)) if found else (named, [])
    if names is None:
        names, warnings = sound_campaigns(options.directory)
        for warning in warnings:
            say(f"warning: {warning}")
    given = (names, papers, options.baseline, None if tables_alone else storage, options.with_images)
    paths = report(options.directory, options.out, *given)
    tables = list(found.files) if found else []
    result = {"report": paths[0], "markdown": paths[1], "tables": tables, "warnings": warnings}
    result |= {kind: [path for path in paths if path.endswith(ending)] for kind, ending in WRITTEN.items()}
    if options.with_images and not result["pictures"]:
        say("no pictures of people in this report: no evaluation of it left any that can be read.")
    answer(result, "\n".join([*tables, *paths[:2]]), options.json)
    return DONE


TABLES = Command(
    "tables", "collect, print and explain the parquet tables of a storage", _configure_tables, _run_tables
)
REPORT = Command(
    "report",
    "write a storage's report: report.html, report.md, figures, tables as CSV and LaTeX",
    _configure_report,
    _run_report,
)
