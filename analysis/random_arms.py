"""Whether the searches of a campaign stand beside random arms of their spaces, at their budget."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from analysis.data_sets import trained_on
from analysis.jobs import part
from analysis.pages import Records

NO_RANDOM_ARM = (
    "This campaign has no random arm. How much of a result is owed to the search, and how much to the space "
    "and the training alone, cannot be told from it."
)
# What of a search's recipe is its budget.
BUDGET = ("epochs", "batch", "split")
# What a searched space may lack.
NO_SAMPLING = "no arm trains architectures that are drawn from it"
NO_SEARCH = "no random search has its budget"
OTHER_BUDGET = "its random search has another budget than the search"


def sampling_arms(records: Records) -> list[str]:
    """Arms whose architectures are drawn at random and trained."""
    drawn = records.trials[records.trials["found_by"] == "random-sampling"]
    return list(dict.fromkeys(drawn["arm"]))


def _plain(records: Records, kind: str, column: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The arms of a kind of jobs with a column of these, which is JSON."""
    rows = records.trials[records.trials["kind"] == kind][["arm", column]].dropna().drop_duplicates()
    return [(str(arm), json.loads(text)) for arm, text in rows.itertuples(index=False)]


def random_arms(records: Records) -> list[tuple[str, str]]:
    """Every searched arm with each arm that draws from its space, sampled and trained, or random search, and
    whose networks are trained on the same data."""
    drawn = sampling_arms(records)
    spaces = [
        (arm, part(inputs, "genotype").get("space"))
        for arm, inputs in _plain(records, "train", "inputs")
        if arm in drawn
    ]
    spaces += [(arm, recipe.get("space")) for arm, recipe in _plain(records, "random-search", "recipe_json")]
    searched = dict(_plain(records, "search", "recipe_json"))
    pairs = dict.fromkeys(
        (arm, random) for arm in searched for random, space in spaces if space == searched[arm].get("space")
    )
    on = {arm: trained_on(records, arm) for pair in pairs for arm in pair}
    return [(arm, random) for arm, random in pairs if on[arm] == on[random]]


def lacking(records: Records) -> dict[tuple[str, str], list[str]]:
    """The searched arms by their space and what it lacks of random arms at the search's budget."""
    drawn = sampling_arms(records)
    sampled = {
        part(inputs, "genotype").get("space")
        for arm, inputs in _plain(records, "train", "inputs")
        if arm in drawn
    }
    random = [recipe for _, recipe in _plain(records, "random-search", "recipe_json")]
    found: dict[tuple[str, str], list[str]] = {}
    for arm, recipe in _plain(records, "search", "recipe_json"):
        space = recipe.get("space")
        same = [part(other, "budget") for other in random if other.get("space") == space]
        budget = {name: recipe.get(name) for name in BUDGET}
        for missing, what in (
            (space not in sampled, NO_SAMPLING),
            (not same, NO_SEARCH),
            (same and budget not in same, OTHER_BUDGET),
        ):
            if missing:
                arms = found.setdefault((str(space), what), [])
                arms += [] if arm in arms else [arm]
    return found


def unmatched(records: Records) -> list[str]:
    """A sentence for every space that is searched, and that lacks a random arm at the search's budget."""
    if not records.arms_with("search"):
        return []
    if not (sampling_arms(records) or records.arms_with("random-search")):
        return [NO_RANDOM_ARM]
    return [
        f"Of {space} {what}: how much of the results of {'; '.join(arms)} is owed to the search cannot be "
        "told in full."
        for (space, what), arms in lacking(records).items()
    ]
