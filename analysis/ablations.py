"""Whether a campaign holds an ablation: an arm that differs from another in one thing alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from analysis.data_sets import trained_on
from analysis.differences import fields
from analysis.pages import Records
from analysis.practices import MET, MISSED, SEARCHES, UNKNOWN, Finding

# What an arm is made of besides its recipes.
BESIDES = {"found_by": "how its networks are found", "teacher": "its teacher"}


def _set_up(records: Records, arm: str) -> Mapping[str, str]:
    """Every field of an arm's recipes, how its networks are found, and who teaches them."""
    rows = records.trials[(records.trials["arm"] == arm) & records.trials["kind"].isin([*SEARCHES, "train"])]
    found: dict[str, set[str]] = {}
    for kind, text in rows[["kind", "recipe_json"]].dropna().drop_duplicates().itertuples(index=False):
        recipe: dict[str, Any] = json.loads(text)
        for path, value in fields(recipe):
            found.setdefault(f"{kind}.{path}", set()).add(value)
    for column, what in BESIDES.items():
        found[what] = {str(value) for value in rows[column].dropna().unique()}
    return {path: " or ".join(sorted(given)) for path, given in found.items()}


def _things(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The fields in which two arms differ; a step that one of them has not counts as one thing."""
    steps = [{path.split(".")[0] for path in one if "." in path} for one in (ours, theirs)]
    shared = steps[0] & steps[1]
    paths = [path for path in {**ours, **theirs} if "." not in path or path.split(".")[0] in shared]
    found = [path for path in paths if ours.get(path) != theirs.get(path)]
    return found or sorted(steps[0] ^ steps[1])


def _shares_data(records: Records, arm: str, other: str) -> bool:
    """Whether two arms may be held against each other: not where they are trained on different data."""
    on = {trained_on(records, one) for one in (arm, other)}
    return len(on - {None}) < 2


def ablation(records: Records) -> Finding:
    """Some arm differs from the baseline, or without one from the first arm, in one field."""
    if len(records.arms) < 2:
        return Finding(MISSED, "the campaign has one arm")
    if records.trials["recipe_json"].isna().all():
        return Finding(UNKNOWN, "the recipes were not recorded")
    to = records.baseline or records.arms[0]
    base = _set_up(records, to)
    others = [arm for arm in records.arms if arm != to and _shares_data(records, arm, to)]
    counts = {arm: _things(_set_up(records, arm), base) for arm in others}
    single = [f"{arm} ({found[0]})" for arm, found in counts.items() if len(found) == 1]
    if single:
        return Finding(MET, f"beside {to}: {'; '.join(single)}")
    if any(not found for found in counts.values()):
        return Finding(UNKNOWN, f"arms with the recipes of {to}: they differ in what they start from")
    named = "; ".join(f"{arm}: {len(found)} fields" for arm, found in counts.items())
    return Finding(MISSED, f"every arm differs from {to} in several fields at once ({named})")
