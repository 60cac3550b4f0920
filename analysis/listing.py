"""A table as text for a terminal, and as JSON values for programs: chosen, grouped and sorted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import words
from analysis.conditions import parse_all, rows_where
from analysis.tables import Where, columns_of, read
from autoreid.errors import Problems, unknown

ID_COLUMNS = ("job", "search_job", "data_fingerprint")
TEXT_LIMIT = 60


# What is shown of groups unless --columns names others: what each table is for.
SUMMARISED = {
    "trials": ("wall_seconds", "failed_seconds", "peak_memory_bytes"),
    "epochs": ("loss", "accuracy", "wall_seconds"),
    "genotypes": ("validation_mAP", "alpha_entropy", "search_seconds"),
    "retrains": ("mAP", "rank_1", "mINP"),
    "pretrains": ("top_1", "top_5"),
    "points": ("mAP",),
    "alphas": ("weight",),
    "evaluations": ("mAP", "rank_1"),
    "costs": ("seconds", "device_seconds"),
    "latencies": ("batch_milliseconds", "images_per_second", "pass_seconds"),
}
OF_GROUPS = ("rows", "column", "values", "mean", "sd", "min", "max")
DESCENDING = ":desc"


@dataclass(frozen=True, slots=True)
class Wish:
    """What to show of a table: lists of names with commas, as the command line takes them.

    `where` are conditions that all hold; `sort` may say `:desc` after a name; `limit` is the most rows.
    """

    where: Sequence[str] = ()
    group_by: str | None = None
    columns: str | None = None
    sort: str | None = None
    limit: int | None = None


def names_in(text: str | None, known: Sequence[str], option: str, problems: Problems) -> list[str]:
    """The names of a list with commas, as far as they are known; what is wrong goes to the problems."""
    if text is None:
        return []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        problems.add(option, "no column is named. Give names with commas between them.")
    for name in names:
        if name not in known:
            problems.add(option, unknown("column", name, known))
    return [name for name in names if name in known]


def listed(where: Where, table: str, campaign: str | None, wish: Wish) -> tuple[pd.DataFrame, int]:
    """The rows that are wished for, and how many there were before the limit.

    Everything that is wrong with the wish is one InputError, before anything is read.
    """
    declared, problems = columns_of(table), Problems()
    every = [column.name for column in declared]
    numbers = [column.name for column in declared if column.kind != "string"]
    conditions = parse_all(wish.where, declared, problems)
    keys = names_in(wish.group_by, every, "--group-by", problems)
    columns = names_in(wish.columns, every, "--columns", problems)
    for name in columns if wish.group_by is not None else ():
        if name not in numbers:
            problems.add(
                "--columns", f"{name} is text, of which groups have no mean. Name columns of numbers."
            )
    order = [name.strip() for name in (wish.sort or "").split(",")]
    plain = [name.removesuffix(DESCENDING) for name in order]
    shown = [*keys, *OF_GROUPS] if wish.group_by is not None else every
    names_in(None if wish.sort is None else ",".join(plain), shown, "--sort", problems)
    if wish.limit is not None and wish.limit < 1:
        problems.add("--limit", f"{wish.limit} rows. Give 1 or more.")
    problems.raise_if_any()
    frame = rows_where(read(where, table, campaign), conditions)
    if wish.group_by is not None:
        frame = grouped(frame, keys, columns or [name for name in SUMMARISED[table] if name not in keys])
    if wish.sort is not None:
        # The last name first: equal rows stay as they are.
        for name, given in reversed(list(zip(plain, order, strict=True))):
            frame = frame.sort_values(name, ascending=given == name, kind="stable", na_position="last")
    kept = frame if wish.limit is None else frame.head(wish.limit)
    return kept[columns] if columns and wish.group_by is None else kept, len(frame)


def grouped(frame: pd.DataFrame, keys: list[str], columns: list[str]) -> pd.DataFrame:
    """Of each group and column: rows, cells that are not empty, their mean, sample deviation, least, most.

    A group has a row for each column; groups stand in the order in which they first appear.
    """
    rows: list[dict[str, Any]] = []
    for values, group in frame.groupby(keys, sort=False, dropna=False):
        for name in columns:
            cells = group[name].dropna().astype(float)
            rows.append(
                {
                    **dict(zip(keys, values, strict=True)),
                    "rows": len(group),
                    "column": name,
                    "values": len(cells),
                    "mean": cells.mean() if len(cells) else None,
                    "sd": cells.std() if len(cells) > 1 else None,
                    "min": cells.min() if len(cells) else None,
                    "max": cells.max() if len(cells) else None,
                }
            )
    return pd.DataFrame(rows, columns=[*keys, *OF_GROUPS])


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
