"""The papers' tables for a terminal, and as JSON values for programs."""

from __future__ import annotations

from typing import Any

from analysis import words
from analysis.listing import plain_rows
from analysis.paper_tables import METRICS, PaperTable, frame, names, table

# Columns of a printed row that are shown where one of its rows has them, under their headings.
SHOWN = {"row": "row", "method": "method", "data_set": "data", "pretraining": "pretraining"}
SHOWN |= {"reranking": "re-ranking", "height": "height", "width": "width", "arms": "arms"}


def index_text() -> str:
    """All tables: name, place in the paper, lines, campaigns that repeat them, and what they show."""
    rows = []
    for found in map(table, names()):
        campaigns = ", ".join(found.campaigns) or words.NOTHING
        rows.append((found.name, found.title, str(len(found.rows)), campaigns, found.shows))
    return words.aligned(("table", "printed as", "lines", "campaigns", "shows"), rows, "llrll")


def index_plain() -> list[dict[str, Any]]:
    """The same as JSON values."""
    return [_facts(table(name)) | {"rows": len(table(name).rows)} for name in names()]


def _facts(found: PaperTable) -> dict[str, Any]:
    return {
        "table": found.name,
        "paper": found.paper,
        "printed": found.printed,
        "elsewhere": found.elsewhere,
        "shows": found.shows,
        "metrics": {name: METRICS[name].unit for name in found.metrics},
        "campaigns": list(found.campaigns),
    }


def table_text(name: str) -> str:
    """One table in lines, figures as printed; what no row has is left out. InputError for an unknown name."""
    found = table(name)
    shown = frame(name, printed=True).astype(object).where(lambda values: values.notna(), "")
    columns = [column for column in SHOWN if (shown[column] != "").any()]
    headings = [SHOWN[column] for column in columns]
    headings += [f"{METRICS[metric].label}, {METRICS[metric].unit}" for metric in found.metrics]
    rows = [[str(value) for value in line] for line in shown[[*columns, *found.metrics]].to_numpy().tolist()]
    numeric = "".join("r" if column in ("row", "height", "width") else "l" for column in columns)
    notes = [
        f"row {line['row'] or words.NOTHING}, {line['data_set']}: {line['note']}"
        for line in shown.to_dict("records")
        if line["note"]
    ]
    head = f"{found.title}: {found.shows}"
    head += f" ({found.elsewhere})" if found.elsewhere else ""
    text = words.aligned(headings, rows, numeric + "r" * len(found.metrics))
    return "\n".join([head, "", text, *([""] if notes else []), *notes])


def table_plain(name: str) -> list[dict[str, Any]]:
    """One table as JSON values: every printed row on every data set, figures as printed."""
    return [{"table": name, **row} for row in plain_rows(frame(name, printed=True))]
