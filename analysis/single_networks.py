"""Each network by itself: how far its scores would move with other people as queries."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records
from analysis.words import NOTHING

NOTE = (
    "95% intervals over draws of whole identities among the queries (percentile bootstrap): what other "
    "people as queries would change for this one network. Another training differs beyond that, which "
    "repeats tell."
)


def single_networks(records: Records) -> Grid | None:
    """mAP and rank-1 of every trained network with their intervals; nothing where none was recorded."""
    rows = records.by_arm(records.retrains)
    if rows["mAP_low"].isna().all():
        return None
    found = tuple(
        (row["arm"], words.numbers([row["repeat"]]), *_score(row, "mAP"), *_score(row, "rank_1"))
        for row in rows.to_dict("records")
    )
    headings = ("arm", "repeat", "mAP", "95% over queries", "rank-1", "95% over queries")
    return Grid("Each network over its queries, %", headings, "lrrrrr", found, NOTE, folded=True)


def _score(row: Any, column: str) -> tuple[str, str]:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    interval = NOTHING if pd.isna(low) else f"{words.percent(low)} to {words.percent(high)}"
    return words.percent(row[column]), interval
