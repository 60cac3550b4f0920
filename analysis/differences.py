"""What differs between the arms of a campaign: the fields of their recipes, and their teachers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.pages import Grid, Records, Section
from analysis.words import NOTHING


def fields(recipe: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every field of a recipe by its path, its value as text.

    >>> dict(fields({"k": 2, "batch": {"images": 4}, "milestones": [], "name": "sgd"}))
    {'k': '2', 'batch.images': '4', 'milestones': '[]', 'name': 'sgd'}
    """
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            yield from fields(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value if isinstance(value, str) else json.dumps(value)


def _by_arm(trials: pd.DataFrame) -> dict[str, dict[str, str]]:
    """For every arm, the values of its recipes' fields, and its teacher; several recipes in one arm give
    several values."""
    found: dict[str, dict[str, str]] = {}
    for key, rows in trials.groupby("arm", sort=False):
        several: dict[str, dict[str, None]] = {}
        for text in rows["recipe_json"].dropna().unique():
            for path, value in fields(json.loads(text)):
                several.setdefault(path, {})[value] = None
        several |= (
            {"teacher": dict.fromkeys(given)} if len(given := rows["teacher"].dropna().unique()) else {}
        )
        if several:
            found[str(key)] = {path: " or ".join(values) for path, values in several.items()}
    return found


def differing(records: Records, kind: str) -> list[tuple[str, str, str]]:
    """Rows of field, value and the arms that have it, for every field in which arms differ."""
    arms = _by_arm(records.trials[records.trials["kind"] == kind])
    paths = dict.fromkeys(path for values in arms.values() for path in values)
    rows = []
    for path in paths:
        having: dict[str, list[str]] = {}
        for arm, values in arms.items():
            having.setdefault(values.get(path, NOTHING), []).append(arm)
        if len(having) > 1:
            rows += [(f"{kind}.{path}", value, "; ".join(names)) for value, names in having.items()]
    return rows


def differences(records: Records) -> Section | None:
    """The fields in which the recipes of the arms differ; nothing for a campaign of one arm."""
    if len(records.arms) < 2 or records.trials["recipe_json"].isna().all():
        return None
    rows = [row for kind in ("search", "pretrain", "train") for row in differing(records, kind)]
    if not rows:
        return Section(
            "Arms",
            "The recipes of all arms are equal: they differ in data, in what they start from, or not at all.",
        )
    intro = "Every field of the recipes that is not listed here is the same in all arms with such work."
    grid = Grid("Fields that differ between arms", ("field", "value", "arms"), "llw", tuple(rows))
    return Section("Arms", intro, grids=(grid,))
