"""The points of a sweep: under the arm that is swept, and as the section of a report."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records, Section
from analysis.words import NOTHING

# Figures of a point, with their headings, and by how much they are divided.
AIMS = {
    "mAP": ("validation mAP, %", 0.01),
    "rank_1": ("validation rank-1, %", 0.01),
    "multiply_adds": ("multiply-adds, M", 1e6),
    "parameters": ("parameters, M", 1e6),
}
SMALLER_IS_BETTER = ("multiply_adds", "parameters")
NOTE = "Means over the repeats of a point, on images that are no test images."


def swept(records: Records) -> list[str]:
    """The arms that are swept, and those of their points that are trained under names of their own."""
    names = {*records.points["arm"], *records.points["point"]}
    return [arm for arm in records.arms if arm in names]


def under_their_arms(records: Records) -> Records:
    """The records with the searches and selections of points under the arm that is swept.

    A point that is trained is an arm of its own, or is that arm.
    """
    trained = set(records.trials[records.trials["kind"] == "train"]["arm"])
    points = records.points[~records.points["point"].isin(trained)]
    if points.empty:
        return records
    names = dict(zip(points["point"], points["arm"], strict=True))

    def renamed(frame: pd.DataFrame, *more: str) -> pd.DataFrame:
        arms = frame["arm"].map(lambda arm: names.get(arm, arm))
        return frame.assign(arm=arms).drop_duplicates(["arm", "job", *more])

    return replace(
        records,
        trials=renamed(records.trials),
        epochs=renamed(records.epochs, "epoch"),
        genotypes=renamed(records.genotypes),
        alphas=renamed(records.alphas, "epoch", "place", "option"),
        evaluations=renamed(records.evaluations, "stage", "search_job", "genotype", "reranked"),
        costs=renamed(records.costs, "phase", "device_kind", "device", "devices"),
    )


def _grid(records: Records, study: str) -> Grid:
    points = records.points[records.points["study"] == study]
    aims = [aim for aim in AIMS if points[aim].notna().any()]
    values = [json.loads(text) for text in points["values"]]
    domains = list(dict.fromkeys(name for found in values for name in found))
    joint = points["arm"].nunique() > 1
    order = points.assign(place=range(len(points)))
    first = [aim in SMALLER_IS_BETTER for aim in aims[:1]]
    order = order.sort_values([*aims[:1], "number"], ascending=[*first, True])
    rows = []
    for point in order.to_dict("records"):
        chosen = values[point["place"]]
        figures = (_figure(point[aim], AIMS[aim][1]) for aim in aims)
        arm = (point["arm"],) if joint else ()
        chosen_words = (_word(chosen.get(name)) for name in domains)
        rows.append((str(point["number"] + 1), *arm, *chosen_words, *figures, _state(point)))
    headings = ("point", *(["arm"] if joint else []), *domains, *(AIMS[aim][0] for aim in aims), "")
    aligned = f"r{'l' * joint}{'l' * len(domains)}{'r' * len(aims)}w"
    return Grid(f"Points of {study}", headings, aligned, tuple(rows), NOTE)


def _figure(value: Any, unit: float) -> str:
    return NOTHING if pd.isna(value) else f"{value / unit:.1f}"


def _word(value: Any) -> str:
    return NOTHING if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _state(point: Mapping[Hashable, Any]) -> str:
    if point["best"]:
        return "best"
    reason = point["reason"]
    return reason if isinstance(reason, str) else "" if point["state"] == "done" else str(point["state"])


def sweeps(records: Records) -> Section | None:
    """What was swept, and every point, the best first."""
    if records.points.empty:
        return None
    studies = list(dict.fromkeys(records.points["study"]))
    said = []
    for study in studies:
        points = records.points[records.points["study"] == study]
        counts = points["state"].value_counts()
        states = ", ".join(f"{count} {state}" for state, count in counts.items())
        best = ", ".join(str(number + 1) for number in points[points["best"]]["number"]) or "none yet"
        said.append(f"{study}: {words.counted(len(points), 'point')} ({states}); best: {best}.")
    intro = (
        "Points are chosen and judged by validation data; the test set has no part in it. Their searches "
        "count as those of the arm that is swept, in its cost too."
    )
    return Section("Sweep", intro, tuple(said), grids=tuple(_grid(records, study) for study in studies))
