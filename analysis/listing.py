"""A table as text for a terminal, and as JSON values for programs."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from analysis import words
from autoreid.errors import Problems, unknown

ID_COLUMNS = ("job", "search_job", "data_fingerprint")
TEXT_LIMIT = 60


def chosen(frame: pd.DataFrame, columns: str | None) -> pd.DataFrame:
    """The columns that a comma-separated list names; all unknown names are one InputError."""
    if columns is None:
        return frame
    names = [name.strip() for name in columns.split(",") if name.strip()]
    problems = Problems()
    for name in names:
        if name not in frame.columns:
            problems.add("--columns", unknown("column", name, frame.columns))
    if not names:
        problems.add("--columns", "no column is named. Give names with commas between them.")
    problems.raise_if_any()
    return frame[names]


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON values; what is empty is null."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows


def _cell(column: str, value: Any) -> str:
    if pd.isna(value):
        return words.NOTHING
    if isinstance(value, float):
        return words.significant(value, 4)
    text = str(value)
    return text[: words.SHORT] if column in ID_COLUMNS else words.shortened(text, TEXT_LIMIT)


def as_text(frame: pd.DataFrame) -> str:
    """The rows as an aligned table. What all rows share stands above it, once."""
    if frame.empty:
        return "no rows"
    single = [name for name in frame.columns if frame[name].nunique(dropna=False) == 1]
    if len(frame) == 1 or len(single) == len(frame.columns):
        single = []
    shown = [name for name in frame.columns if name not in single]
    common = [name for name in single if not pd.isna(frame[name].iloc[0])]
    lines = [f"{name}: {_cell(name, frame[name].iloc[0])}" for name in common]
    align = "".join("r" if pd.api.types.is_numeric_dtype(frame[name]) else "l" for name in shown)
    rows = [[_cell(name, row[name]) for name in shown] for row in frame.to_dict("records")]
    table = words.aligned(shown, rows, align)
    return "\n".join([*lines, "", table]) if lines else table
