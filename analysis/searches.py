"""The section of a report that says what the searches cost and found, random ones among them."""

from __future__ import annotations

import json

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


def _choices(text: str) -> str:
    chosen = json.loads(text).items()
    return " · ".join(f"{place} {option}" for place, option in chosen if option != "none")


def searches(records: Records) -> Section | None:
    """What the searches cost and found, and which architectures were drawn."""
    drawn = bool((records.trials["found_by"] == "random-sampling").any())
    if not (drawn or any(records.arms_with(kind) for kind in KINDS)):
        return None
    genotypes = records.genotypes[records.genotypes["found_by"] != "given"]
    if genotypes.empty:
        return Section("Search", "No search is finished yet.")
    keys = ["arm", "found_by", "space", "genotype", "choices"]
    rows = []
    for key, repeats in records.by_arm(genotypes).groupby(keys, sort=False)["repeat"]:
        arm, how, space, genotype, choices = map(str, key)
        rows.append((arm, words.numbers(repeats), how, genotype, space, _choices(choices)))
    headings = ("arm", "repeats", "found by", "genotype", "space", "choices")
    found = Grid("Genotypes found", headings, "lrlllw", tuple(rows))
    searched = genotypes[genotypes["found_by"] != "random-sampling"]
    grids = (_search_grid(records, searched), found)
    return Section("Search", grids=grids if any(records.arms_with(kind) for kind in KINDS) else grids[1:])
