"""The data sets of a campaign: what each arm was trained on, and the arm that stands beside it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis import words
from analysis.jobs import part
from analysis.pages import Grid, Records
from analysis.statistics import summarise
from analysis.words import NOTHING

SCORES = {
    "mAP": "mAP",
    "rank_1": "rank-1",
    "reranked_mAP": "re-ranked mAP",
    "reranked_rank_1": "re-ranked rank-1",
}


def several(records: Records) -> bool:
    """Whether the campaign has data sets besides its default one."""
    return len(part(records.facts, "data_sets")) > 1


def trained_on(records: Records, arm: str) -> str | None:
    """The data set on which an arm's networks are trained; None where it trains none."""
    rows = records.trials[(records.trials["arm"] == arm) & (records.trials["kind"] == "train")]
    names = rows["data_set"].dropna()
    return None if names.empty else str(names.iloc[0])


def stem(records: Records, arm: str) -> str:
    """The name of an arm without its data set, where one name stands for several arms."""
    name = trained_on(records, arm)
    return arm.removesuffix(f", {name}") if name in part(records.facts, "data_sets") else arm


def stems(records: Records) -> dict[str, str]:
    """The names of all arms without their data sets."""
    return {arm: stem(records, arm) if several(records) else arm for arm in records.arms}


def source(records: Records, name: str | None) -> Mapping[str, Any]:
    """Where a data set comes from, by its name: its kind, and the fields that it was read with."""
    named = part(records.facts, "data_sets")
    return part(named, name) if name is not None and name in named else part(records.facts, "data")


def baseline_of(records: Records, arm: str) -> str | None:
    """The arm that an arm's differences are taken to: the baseline on the same data, where there is one."""
    own = part(records.facts, "baselines").get(trained_on(records, arm) or "")
    return str(own) if own in records.arms_with("train") else records.baseline


def beside(records: Records) -> dict[str, str]:
    """The arms that train, each with its baseline; without the baselines themselves."""
    arms = records.arms_with("train")
    found = {arm: baseline for arm in arms if (baseline := baseline_of(records, arm)) in arms}
    return {arm: str(found[arm]) for arm in found if arm not in found.values()}


def with_baseline(records: Records, name: str) -> Mapping[str, Any] | None:
    """What the manifest would say with another baseline: an arm, or the name that arms on several sets share.

    None where there is no such arm.
    """
    arms = records.arms_with("train")
    if name in arms:
        return {**records.facts, "baseline": name, "baselines": {}}
    on = {str(trained_on(records, arm)): arm for arm in arms if stem(records, arm) == name}
    return {**records.facts, "baseline": name, "baselines": on} if on else None


def by_data_set(records: Records) -> Grid | None:
    """The scores by arm and data set, where there are several sets."""
    if not several(records) or records.retrains.empty:
        return None
    default = part(records.facts, "data").get("set")
    sets = sorted(part(records.facts, "data_sets"), key=lambda name: str(name) != default)
    lines: dict[tuple[str, str, str], list[str]] = {}
    for arm in records.arms_with("train"):
        mine = records.retrains[records.retrains["arm"] == arm]
        found_on = " and ".join(sorted(mine["search_data_set"].dropna().unique())) or NOTHING
        for column, label in SCORES.items():
            given = mine[column].dropna()
            line = lines.setdefault((stem(records, arm), found_on, label), [NOTHING] * len(sets))
            name = trained_on(records, arm)
            if len(given) and name in sets:
                line[sets.index(name)] = words.spread(summarise([float(value) for value in given]))
    rows = tuple((*key, *line) for key, line in lines.items() if set(line) != {NOTHING})
    headings = ("arm", "found on", "score", *sets)
    note = "Columns are what networks were trained and ranked on; found on: where the search was made."
    return Grid("Arms by data set, mean ± sd, %", headings, "lll" + "r" * len(sets), rows, note, latex=True)
