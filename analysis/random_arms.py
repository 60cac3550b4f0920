"""Whether the searches of a campaign stand beside random arms of their spaces, at their budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from analysis.jobs import part
from analysis.pages import Records

NO_RANDOM_ARM = (
    "This campaign has no random arm. How much of a result is owed to the search, and how much to the space "
    "and the training alone, cannot be told from it."
)
# What of a search's recipe is its budget.
BUDGET = ("epochs", "batch", "split")


def sampling_arms(records: Records) -> list[str]:
    """Arms whose architectures are drawn at random and trained."""
    drawn = records.trials[records.trials["found_by"] == "random-sampling"]
    return list(dict.fromkeys(drawn["arm"]))


def _plain(records: Records, kind: str, column: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The arms of a kind of jobs with a column of these, which is JSON."""
    rows = records.trials[records.trials["kind"] == kind][["arm", column]].dropna().drop_duplicates()
    return [(str(arm), json.loads(text)) for arm, text in rows.itertuples(index=False)]


def random_arms(records: Records) -> list[tuple[str, str]]:
    """Every searched arm with each arm that draws from its space: sampled and trained, or random search."""
    drawn = sampling_arms(records)
    spaces = [
        (arm, part(inputs, "genotype").get("space"))
        for arm, inputs in _plain(records, "train", "inputs")
        if arm in drawn
    ]
    spaces += [(arm, recipe.get("space")) for arm, recipe in _plain(records, "random-search", "recipe_json")]
    searched = dict(_plain(records, "search", "recipe_json"))
    pairs = [
        (arm, random) for arm in searched for random, space in spaces if space == searched[arm].get("space")
    ]
    return list(dict.fromkeys(pairs))


def unmatched(records: Records) -> list[str]:
    """A sentence for every space that is searched, and that lacks a random arm at the search's budget."""
    if not records.arms_with("search"):
        return []
    drawn = sampling_arms(records)
    sampled = {
        part(inputs, "genotype").get("space")
        for arm, inputs in _plain(records, "train", "inputs")
        if arm in drawn
    }
    random = [recipe for _, recipe in _plain(records, "random-search", "recipe_json")]
    if not (sampled or random):
        return [NO_RANDOM_ARM]
    points: dict[str, list[str]] = {}
    for arm, recipe in _plain(records, "search", "recipe_json"):
        space = recipe.get("space")
        same = [part(other, "budget") for other in random if other.get("space") == space]
        budget = {name: recipe.get(name) for name in BUDGET}
        for missing, words in (
            (space not in sampled, "no arm trains architectures that are drawn from it"),
            (not same, "no random search has its budget"),
            (same and budget not in same, "its random search has another budget than the search"),
        ):
            if missing:
                arms = points.setdefault(f"Of {space} {words}", [])
                arms += [] if arm in arms else [arm]
    return [
        f"{words}: how much of the results of {'; '.join(arms)} is owed to the search cannot be told in full."
        for words, arms in points.items()
    ]
