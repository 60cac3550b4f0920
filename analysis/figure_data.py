"""The figures' data as tables: what a reader needs to draw them again."""

from __future__ import annotations

import pandas as pd

from analysis.pages import Grid, Records
from analysis.statistics import Summary
from analysis.words import SHORT
from autoreid.records import TABLES

UNITS = {column.name: column.unit for column in TABLES["epochs"]}


def exact(value: float) -> str:
    """A number with six significant digits, without an exponent where it is of common size.

    >>> exact(0.3812345678), exact(12), exact(3e-7)
    ('0.381235', '12', '3e-07')
    """
    return f"{value:.6g}"


def curve_data(rows: pd.DataFrame, column: str) -> Grid:
    """One column of the table `epochs`: a row for each epoch of each job, as recorded."""
    shown = rows[rows[column].notna()]
    columns = (shown[name] for name in ("arm", "repeat", "job", "epoch", column))
    cells = tuple(
        (str(arm), str(repeat + 1), job[:SHORT], str(epoch), exact(value))
        for arm, repeat, job, epoch, value in zip(*columns, strict=True)
    )
    heading = ", ".join(part for part in (column, UNITS[column]) if part)
    return Grid("Data of the figure", ("arm", "repeat", "job", "epoch", heading), "lrlrr", cells)


def repeat_data(
    records: Records, column: str, label: str, found: dict[str, Summary], before: dict[str, float]
) -> Grid:
    """Scores in percent: every repeat of every arm, its mean and interval, and the untrained network's."""
    rows = []
    trained = records.retrains[["arm", "repeat", column]].sort_values("repeat", kind="stable")
    repeats: dict[str, list[tuple[str, float]]] = {}
    for arm, repeat, value in trained.itertuples(index=False):
        repeats.setdefault(arm, []).append((f"repeat {repeat + 1}", value))
    for arm, summary in found.items():
        given = repeats[arm]
        given.append(("mean", summary.mean))
        if summary.interval:
            given += list(zip(("interval, low end", "interval, high end"), summary.interval, strict=True))
        if arm in before:
            given.append(("untrained", before[arm]))
        rows += [(arm, what, exact(100 * value)) for what, value in given]
    return Grid("Data of the figure", ("arm", "what", f"{label}, %"), "llr", tuple(rows))
