"""Tables as files that other programs read, and downloads that a page carries in itself."""

from __future__ import annotations

import base64
import csv
import io
import re

from analysis.pages import Grid

# What a spreadsheet would take for a formula. Numbers and intervals may begin with a sign, and a dash may
# stand alone.
FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.,]+%?( (to|±) [+-]?[\d.,]+)?$|$)")


def _plain(cell: str) -> str:
    """A cell that no spreadsheet computes.

    >>> _plain("-7.0 to +1.5"), _plain("-"), _plain("=1+1"), _plain("-1+x")
    ('-7.0 to +1.5', '-', "'=1+1", "'-1+x")
    """
    return f"'{cell}" if FORMULA.match(cell) else cell


def csv_text(grid: Grid) -> str:
    """The grid as CSV, all of its rows as they are shown; UTF-8, lines end with a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_plain, grid.headings))
    writer.writerows(map(_plain, row) for row in grid.rows)
    return text.getvalue()


def data_uri(kind: str, text: str) -> str:
    """The text as an address that holds it: a link to it needs no network."""
    content = base64.b64encode(text.encode(errors="replace")).decode()
    return f"data:{kind};charset=utf-8;base64,{content}"
