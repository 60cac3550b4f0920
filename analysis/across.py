"""Arms of several campaigns beside one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis import data_sets, words
from analysis.comparability import grounds
from analysis.comparisons import comparison, corrected, verdict
from analysis.differences import fields
from analysis.pages import Grid, Records, Section
from analysis.results import summaries
from analysis.spreads import spreads
from analysis.words import NOTHING
from autoreid.errors import InputError, unknown
from autoreid.records import TABLES

MAIN = "mAP"
MOST_FIELDS = 4


def labelled(campaign: str, arm: str) -> str:
    """An arm among those of several campaigns.

    >>> labelled("demo", "top-2")
    'demo: top-2'
    """
    return f"{campaign}: {arm}"


def merged(records: Sequence[Records], baseline: str | None) -> Records:
    """Several campaigns as one, whose arms carry the names of their campaigns."""

    def joined(table: str) -> pd.DataFrame:
        columns = ("arm", "point") if table == "points" else ("arm",)
        parts = [_labelled(getattr(one, table), one.name, columns) for one in records]
        return pd.concat(parts, ignore_index=True)

    frames: dict[str, Any] = {table: joined(table) for table in TABLES}
    return Records("all", {"baseline": baseline}, **frames)


def _labelled(frame: pd.DataFrame, campaign: str, columns: Sequence[str]) -> pd.DataFrame:
    return frame.assign(**{name: [labelled(campaign, arm) for arm in frame[name]] for name in columns})


def chosen_baseline(records: Sequence[Records], given: str | None) -> str | None:
    """The arm that others are compared with: the one given as `campaign: arm`, else the first campaign's.

    InputError for one that no campaign has.
    """
    known = [labelled(one.name, arm) for one in records for arm in one.arms_with("train")]
    if given is not None:
        plain = given if given in known else given.replace(":", ": ", 1)
        if plain not in known:
            raise InputError(f"--baseline: {unknown('arm', given, known)}")
        return plain
    return next((labelled(one.name, one.baseline) for one in records if one.baseline), None)


def with_baseline(records: Records, arm: str) -> Records:
    """The records of a campaign with another baseline than its file names; InputError for an unknown arm."""
    facts = data_sets.with_baseline(records, arm)
    if facts is None:
        raise InputError(f"--baseline: {unknown('arm', arm, records.arms_with('train'))}")
    return replace(records, facts=facts)


def across(records: Sequence[Records], given: str | None = None) -> Section | None:
    """Every arm of every campaign, and those of the other campaigns beside the baseline of one."""
    baseline = chosen_baseline(records, given)
    together = merged(records, baseline)
    arms = together.arms_with("train")
    if not arms:
        return None
    grids = [_scores(together, arms)]
    intro = "No campaign names a baseline: --baseline 'CAMPAIGN: ARM' compares with one."
    if baseline is not None:
        home = next(one for one in records if baseline in (labelled(one.name, arm) for arm in one.arms))
        others = [arm for arm in arms if not arm.startswith(labelled(home.name, ""))]
        known = grounds(together)
        refused = {
            arm: (*known.obstacles((arm, baseline)), *_apart(together, arm, baseline)) for arm in others
        }
        found = corrected([comparison(together, arm, baseline, MAIN, refused[arm]) for arm in others])
        intro = f"By {MAIN} beside {baseline}; the arms of its own campaign are compared on its page."
        grids.append(
            Grid("Verdicts", ("arm", "verdict"), "lw", tuple((one.arm, verdict(one)) for one in found))
        )
    apart = spreads(together)
    return Section("Arms side by side", intro, grids=(*grids, apart) if apart else tuple(grids))


def _scores(together: Records, arms: Sequence[str]) -> Grid:
    found = summaries(together.retrains, arms, MAIN)
    first = summaries(together.retrains, arms, "rank_1")
    rows = tuple(
        (
            arm,
            f"{found[arm].n if arm in found else 0} of {together.planned(arm, 'train')}",
            words.spread(found[arm]) if arm in found else NOTHING,
            words.between(found[arm]) if arm in found else NOTHING,
            words.spread(first[arm]) if arm in first else NOTHING,
        )
        for arm in arms
    )
    headings = ("arm", "repeats", "mAP, mean ± sd", "95% interval", "rank-1, mean ± sd")
    return Grid("Arms of all campaigns, %", headings, "lrrrr", rows, latex=True)


def _apart(together: Records, arm: str, baseline: str) -> list[str]:
    """Why two arms of different campaigns are not compared, besides what holds for any two: a difference of
    their recipes is nobody's claim."""
    recipes = [_recipe(together, one) for one in (arm, baseline)]
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    pairs = {name: [recipe.get(name, NOTHING) for recipe in recipes] for name in names}
    differing = [f"{name} {a} against {b}" for name, (a, b) in pairs.items() if a != b]
    if not differing:
        return []
    more = len(differing) - MOST_FIELDS
    rest = f" and {words.counted(more, 'more field')}" if more > 0 else ""
    return [f"the training recipes differ: {', '.join(differing[:MOST_FIELDS])}{rest}"]


def _recipe(together: Records, arm: str) -> dict[str, str]:
    """The fields of an arm's recipe, its pretraining and its teacher; repeats of several recipes are refused
    elsewhere."""
    trials = together.trials.loc[together.trials["arm"] == arm, ["kind", "recipe_json", "teacher"]]
    found: dict[str, str] = {}
    for kind, above in (("train", ""), ("pretrain", "pretraining.")):
        texts = trials.loc[trials["kind"] == kind, "recipe_json"].dropna()
        found |= fields(json.loads(texts.iloc[0]), above) if len(texts) else {}
    teachers = trials.loc[trials["kind"] == "train", "teacher"].dropna().unique()
    return found | ({"teacher": " or ".join(map(str, teachers))} if len(teachers) else {})
