"""The first page of a report of several campaigns: what each is, and whether they can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import pandas as pd

from analysis import words
from analysis.across import across
from analysis.costing import total_seconds
from analysis.differences import fields
from analysis.pages import Grid, Page, Records, Section
from analysis.results import status_words, summaries
from analysis.sweeps import under_their_arms
from analysis.words import NOTHING

NAME = "Campaigns"
APT = (
    "Nothing that is recorded speaks against a comparison: the campaigns share data, protocol, training "
    "recipes and versions. They were launched apart all the same, and their repeats are not paired."
)
NOT_APT = (
    "A difference between these campaigns is owed to the points below too. Compare arms within a campaign, "
    "or run them in one."
)


def _data(trials: pd.DataFrame) -> pd.Series:
    return trials.loc[trials["kind"] != "pretrain", "data_fingerprint"].dropna()


# What should be one value for all campaigns: how it is called, and where it is.
SHARED: dict[str, Callable[[Records], Iterable[object]]] = {
    "data": lambda records: _data(records.trials),
    "evaluation protocol": lambda records: records.retrains["protocol"].dropna(),
    "number of queries": lambda records: records.retrains["queries"].dropna(),
    "engine revision": lambda records: records.done["engine_revision"].dropna(),
    "version of autoreid": lambda records: records.done["code_version"].dropna(),
    "version of torch": lambda records: records.done["torch_version"].dropna(),
    "device": lambda records: records.done["device"].dropna(),
}


def _by_value(found: dict[str, tuple[str, ...]]) -> dict[tuple[str, ...], list[str]]:
    """Campaigns by what they have, without those that have nothing yet."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, values in found.items():
        if values:
            groups.setdefault(values, []).append(name)
    return groups


def _shown(values: tuple[str, ...]) -> str:
    return " and ".join(words.shortened(value, 40) for value in values)


def mixtures(records: list[Records]) -> list[str]:
    """A sentence for everything that campaigns should share and do not."""
    points = []
    for label, of in SHARED.items():
        found = {one.name: tuple(sorted({str(value) for value in of(one)})) for one in records}
        groups = _by_value(found)
        if len(groups) > 1:
            parts = (f"{_shown(values)} ({', '.join(names)})" for values, names in groups.items())
            points.append(f"The campaigns differ in {label}: {'; '.join(parts)}.")
    return points


def _fields(one: Records, kind: str) -> dict[str, tuple[str, ...]]:
    """For every field of a campaign's recipes of a kind, the values that it takes."""
    texts = one.trials.loc[one.trials["kind"] == kind, "recipe_json"].dropna().unique()
    found: dict[str, set[str]] = {}
    for text in texts:
        for path, value in fields(json.loads(text)):
            found.setdefault(path, set()).add(value)
    return {path: tuple(sorted(values)) for path, values in found.items()}


def recipe_grid(records: list[Records]) -> Grid | None:
    """The fields whose values differ between the campaigns that have jobs of that kind."""
    rows = []
    for kind in ("search", "train"):
        found = {one.name: held for one in records if (held := _fields(one, kind))}
        for path in dict.fromkeys(path for held in found.values() for path in held):
            groups = _by_value({name: held.get(path, (NOTHING,)) for name, held in found.items()})
            if len(groups) > 1:
                rows += [(f"{kind}.{path}", _shown(v), ", ".join(names)) for v, names in groups.items()]
    if not rows:
        return None
    note = "Where the arms of one campaign differ in a field, all of its values stand there."
    return Grid("Fields of recipes that differ", ("field", "value", "campaigns"), "lww", tuple(rows), note)


def _row(one: Records) -> tuple[str, ...]:
    done, total = len(one.done), len(one.jobs)
    found = summaries(one.retrains, one.arms, "mAP")
    best = max(found, key=lambda arm: found[arm].mean) if found else None
    prints = [value[: words.SHORT] for value in sorted(set(_data(one.trials)))]
    return (
        one.name,
        f"{done} of {total}",
        str(int((one.jobs["status"] == "failed").sum())),
        ", ".join(prints) or NOTHING,
        str(len(one.arms)),
        best or NOTHING,
        words.spread(found[best]) if best else NOTHING,
        str(found[best].n) if best else NOTHING,
        words.duration(total_seconds(one)),
    )


def campaigns(records: list[Records]) -> Section:
    """A row for each campaign."""
    headings = (
        *("campaign", "jobs done", "failed", "data fingerprint", "arms", "arm of the highest mean"),
        *("mAP, %", "repeats", "job time, summed"),
    )
    note = (
        "mAP with its standard deviation over the repeats of the arm whose mean is highest: the highest of "
        "several means lies above what a repetition would give."
    )
    rows = tuple(map(_row, records))
    return Section("All campaigns", grids=(Grid("Campaigns", headings, "lrrlrlrrr", rows, note, latex=True),))


def comparable(records: list[Records]) -> Section:
    """Whether figures of different campaigns may be set side by side, and what speaks against it."""
    points, grid = mixtures(records), recipe_grid(records)
    training = [row[0] for row in grid.rows if row[0].startswith("train.")] if grid else []
    if training:
        named = ", ".join(dict.fromkeys(path.removeprefix("train.") for path in training))
        points.append(f"The training recipes differ in {named}.")
    intro = NOT_APT if points else APT
    return Section("Can they be compared?", intro, tuple(points), grids=(grid,) if grid else ())


def overview(records: list[Records], prefix: str, baseline: str | None = None) -> Page:
    """The page that sets campaigns side by side, arms beside the baseline of one of them.

    Names of figures begin with `prefix`. InputError for a baseline that no campaign has.
    """
    arms = across([under_their_arms(one) for one in records], baseline)
    sections = (campaigns(records), comparable(records), arms)
    facts = tuple((one.name, status_words(one)) for one in records)
    return Page(NAME, (), facts, tuple(section for section in sections if section is not None))
