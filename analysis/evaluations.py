"""The report's section on evaluations that trained networks had beside the one at their training's end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records, Section
from analysis.results import summaries
from analysis.words import NOTHING

SCORES = {"mAP": "mAP", "rank_1": "rank-1", "rank_5": "rank-5", "rank_10": "rank-10"}


def evaluations(records: Records) -> Section | None:
    """A table for each protocol, re-ranked ones first; None where no network was evaluated once more.

    What protocols say of their data sets makes no tables: arms on several sets stand in one.
    """
    rows = records.evaluations[records.evaluations["stage"] == "evaluated"]
    if rows.empty:
        return None
    protocols: dict[tuple[str, str], list[str]] = {}
    for protocol in rows["protocol"].dropna().unique():
        protocols.setdefault(_words(json.loads(protocol)), []).append(protocol)
    grids = [_grid(records, rows[rows["protocol"].isin(same)], *said) for said, same in protocols.items()]
    grids.sort(key=lambda grid: not grid.title.startswith("Re-ranked"))
    intro = "Every trained network once more, on the same queries and gallery; no network was chosen by this."
    return Section("Other evaluations", intro, grids=tuple(grids))


def _grid(records: Records, rows: pd.DataFrame, title: str, note: str) -> Grid:
    found = {column: summaries(rows, records.arms, column) for column in SCORES}
    lines = tuple(
        (
            arm,
            f"{found['mAP'][arm].n} of {records.planned(arm, 'evaluate')}",
            *(words.spread(found[column][arm]) if arm in found[column] else NOTHING for column in SCORES),
        )
        for arm in records.arms_with("evaluate")
        if arm in found["mAP"]
    )
    headings = ("arm", "repeats", *SCORES.values())
    return Grid(f"{title}, mean ± sd, %", headings, "lrrrrr", lines, note, latex=True)


def _words(protocol: Mapping[str, Any]) -> tuple[str, str]:
    """A protocol as a title, and what else it says."""
    reranking = protocol.get("reranking")
    said = [] if protocol.get("normalised", True) else ["raw distances"]
    said += ["AP by trapezoids"] if protocol.get("average_precision") == "trapezoid" else []
    said += ["features of image and mirror image"] if protocol.get("flip") else []
    title = ", ".join(["Re-ranked" if reranking else "Not re-ranked", *said])
    if not reranking:
        return title, ""
    given = ", ".join(f"{name} {reranking[name]}" for name in ("k1", "k2", "lambda") if name in reranking)
    return title, f"k-reciprocal re-ranking: {given}, on squared Euclidean distances."
