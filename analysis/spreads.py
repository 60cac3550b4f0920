"""What the spread of searched arms is made of: the searches, and their trainings."""

from __future__ import annotations

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records
from analysis.selections import best_alone
from analysis.variances import Components, components
from analysis.words import NOTHING

MAIN = "mAP"
HEADINGS = (
    "arm",
    "searches",
    "trainings",
    "sd between searches",
    "sd between trainings",
    "95% interval",
    "share of the search",
    "F test, p",
)
NOTE = (
    "Points of mAP, by a one-way random-effects analysis of variance: trainings of one search differ by "
    "their seeds alone. Arms with the same recipes and data are one line. The share is that of the variance "
    "of one search and one training."
)
# What trainings of one line have in common.
QUESTION = ("recipe_search", "data_search", "recipe", "data_fingerprint", "protocol", "queries")


def spreads(records: Records) -> Grid | None:
    """Standard deviations between searches and between trainings, where several trainings share a search.

    A campaign trains what a search found once; another one, with `vary: [train]`, trains one of these
    searches again and again. Nothing where no such trainings are among the records.
    """
    rows = []
    for _, found in _trainings(records).groupby(list(QUESTION), sort=False):
        groups = found.drop_duplicates("job").groupby("search_job", sort=False)[MAIN]
        parts = components({str(job): list(values) for job, values in groups})
        if parts is not None:
            rows.append(("; ".join(dict.fromkeys(found["arm"])), *_row(parts)))
    return Grid("What the spread is made of: mAP", HEADINGS, "lrrrrrrr", tuple(rows), NOTE) if rows else None


def _trainings(records: Records) -> pd.DataFrame:
    """The trainings of what searches found, with the recipes of both. A search that was selected as the best
    is no sample of searches, and left out."""
    trials = records.trials[["job", "recipe", "data_fingerprint"]].drop_duplicates("job")
    arms = [arm for arm in records.arms_with("train") if not best_alone(records.trials, arm)]
    found = records.retrains[records.retrains["arm"].isin(arms)].dropna(subset="search_job")
    found = found.merge(trials, on="job")
    names = {"job": "search_job", "recipe": "recipe_search", "data_fingerprint": "data_search"}
    searches = trials.rename(columns=names)
    return found.merge(searches, on="search_job")


def _row(found: Components) -> tuple[str, ...]:
    interval, share = found.within_interval, found.share
    return (
        str(found.searches),
        str(found.trainings),
        words.percent(found.between),
        words.percent(found.within),
        f"{words.percent(interval[0])} to {words.percent(interval[1])}" if interval else NOTHING,
        NOTHING if share is None else f"{100 * share:.0f}%",
        NOTHING if found.p is None else words.probability(found.p),
    )
