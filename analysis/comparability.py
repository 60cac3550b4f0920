"""Why arms cannot be compared: figures that were not taken in the same way have no difference."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from analysis import words
from analysis.differences import fields
from analysis.pages import Records
from analysis.selections import best_alone
from analysis.sweeps import swept

# What has to be one and the same on both sides: of the trainings that are done, and of their scores.
OF_TRAININGS = {"data_fingerprint": "data fingerprints", "engine_revision": "engine revisions"}
OF_SCORES = {"protocol": "evaluation protocols", "queries": "numbers of queries"}
MOST_FIELDS = 4


def mixed_recipes(records: Records, arm: str) -> list[str]:
    """The fields in which the repeats of one arm differ: their mean is the mean of nothing."""
    found = []
    for kind in ("train", "search", "random-search"):
        if kind != "train" and arm in swept(records):
            continue  # its searches are the points of a sweep
        rows = records.trials[(records.trials["arm"] == arm) & (records.trials["kind"] == kind)]
        if rows["recipe"].nunique() > 1:
            found.append(f"the {kind} jobs of {arm} differ in {_fields(rows['recipe_json'])}")
    return found


def _fields(texts: pd.Series) -> str:
    recipes = [dict(fields(json.loads(text))) for text in texts.dropna().unique()]
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    held = {name: dict.fromkeys(recipe.get(name, words.NOTHING) for recipe in recipes) for name in names}
    differing = [f"{name} ({' or '.join(values)})" for name, values in held.items() if len(values) > 1]
    more = f" and {len(differing) - MOST_FIELDS} more fields" if len(differing) > MOST_FIELDS else ""
    return ", ".join(differing[:MOST_FIELDS]) + more if differing else "recipes that were not recorded"


def obstacles(records: Records, arms: Sequence[str]) -> tuple[str, ...]:
    """Why the trainings of these arms cannot stand in one comparison; nothing where they can.

    Repeats of one recipe within each arm, one data set, one engine revision, one protocol and set of queries
    over all, and no best of several beside a mean.
    """
    found = [text for arm in arms for text in mixed_recipes(records, arm)]
    done = records.trials[(records.trials["status"] == "done") & (records.trials["kind"] == "train")]
    for frame, columns in ((done, OF_TRAININGS), (records.retrains, OF_SCORES)):
        for column, label in columns.items():
            found += _mixed(frame, arms, column, label)
    best = [arm for arm in arms if best_alone(records.trials, arm)]
    if best and len(best) < len(arms):
        rest = "; ".join(arm for arm in arms if arm not in best)
        count = records.planned(best[0], "search")
        found.append(
            f"{'; '.join(best)} is the best of {count} searches, {rest} a mean: compare the best of as many"
        )
    return tuple(found)


def _mixed(frame: pd.DataFrame, arms: Sequence[str], column: str, label: str) -> list[str]:
    rows = frame[frame["arm"].isin(arms)][["arm", column]].dropna().drop_duplicates()
    if rows[column].nunique() < 2:
        return []
    held = (
        f"{arm} {' and '.join(words.shortened(str(value), 60)[:60] for value in found[column])}"
        for arm, found in rows.groupby("arm", sort=False)
    )
    return [f"{label} differ: {'; '.join(held)}"]
