"""The section of a report that says what the searches cost, random ones among them."""

from __future__ import annotations

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records, Section, values
from analysis.statistics import summarise
from analysis.words import NOTHING

KINDS = ("search", "random-search")


def _mean(frame: pd.DataFrame, arm: str, column: str) -> str:
    given = values(frame, arm, column)
    return words.significant_spread(summarise(given)) if given else NOTHING


def _images(frame: pd.DataFrame, arm: str) -> str:
    """Images seen by a search; of a random one, beside the budget that it had."""
    seen, budget = (values(frame, arm, column) for column in ("images_seen", "budget_images"))
    if not seen:
        return NOTHING
    text = f"{summarise(seen).mean:,.0f}"
    return f"{text} of {summarise(budget).mean:,.0f}" if budget else text


def _search_grid(records: Records, genotypes: pd.DataFrame) -> Grid:
    rows = []
    for arm in records.arms:
        planned = sum(records.planned(arm, kind) for kind in KINDS)
        if not planned:
            continue
        found = genotypes[genotypes["arm"] == arm]
        seconds = values(genotypes, arm, "search_seconds")
        rows.append(
            (
                arm,
                f"{len(found)} of {planned}",
                _images(genotypes, arm),
                _mean(genotypes, arm, "milliseconds_per_image"),
                words.duration(summarise(seconds).mean) if seconds else NOTHING,
                _mean(genotypes, arm, "alpha_entropy"),
                str(found["genotype"].nunique()),
            )
        )
    headings = (
        "arm",
        "searches",
        "images seen",
        "ms per image",
        "time of a search",
        "alpha entropy, nats",
        "genotypes",
    )
    note = "Means over the searches, with the standard deviation; genotypes counts the different ones."
    if genotypes["budget_images"].notna().any():
        note += " A random search divides the images of a search among its samples."
    return Grid("Searches", headings, "lrrrrrr", tuple(rows), note)


def searches(records: Records) -> Section | None:
    """What the searches cost, and how many architectures they found; None in a campaign without any."""
    if not any(records.arms_with(kind) for kind in KINDS):
        return None
    genotypes = records.genotypes[records.genotypes["kind"].isin(KINDS)]
    if genotypes.empty:
        return Section("Search", "No search is finished yet.")
    return Section("Search", grids=(_search_grid(records, genotypes),))
