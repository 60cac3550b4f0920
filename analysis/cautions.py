"""What a reader should know before believing a figure."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import words
from analysis.pages import Records, Section, values

# Columns that should hold one value over all finished jobs of a comparison, in words.
SHARED = {
    "data_fingerprint": "data fingerprints",
    "engine_revision": "engine revisions",
    "code_version": "versions of autoreid",
    "torch_version": "versions of torch",
    "device": "devices",
    "threads": "thread counts",
}

NO_RANDOM_ARM = (
    "This campaign has no random arm. How much of a result is owed to the search, and how much to the space "
    "and the training alone, cannot be told from it."
)

PAIRED = (
    "Repeat r takes the same seeds in every arm: the repeats are paired, while Welch's interval of a "
    "difference treats them as independent."
)


def _mixed(frame: pd.DataFrame, columns: dict[str, str]) -> list[str]:
    found = []
    for column, label in columns.items():
        counts = frame[column].dropna().value_counts(sort=False)
        if len(counts) > 1:
            parts = (
                f"{words.shortened(str(value), 40)} ({words.counted(count, 'job')})"
                for value, count in sorted(counts.items(), key=lambda item: str(item[0]))
            )
            found.append(f"The finished jobs mix {label}: {', '.join(parts)}.")
    return found


def mixtures(records: Records) -> list[str]:
    """A sentence for everything that differs between finished jobs and should not."""
    found = _mixed(records.done, SHARED)
    found += _mixed(records.retrains, {"protocol": "evaluation protocols", "queries": "numbers of queries"})
    counts: dict[Any, int] = records.trials.groupby(["arm", "kind"], sort=False)["recipe"].nunique().to_dict()
    found += [
        f"The {kind} jobs of arm {arm} have {count} different recipes."
        for (arm, kind), count in counts.items()
        if count > 1
    ]
    return found


def _repeats(records: Records) -> list[str]:
    arms = records.arms_with("train")
    counts = {arm: len(values(records.retrains, arm, "mAP")) for arm in arms}
    named = "; ".join(f"{arm}: {n} of {records.planned(arm, 'train')}" for arm, n in counts.items())
    complete = all(n == records.planned(arm, "train") for arm, n in counts.items())
    points = [] if complete else [f"Repeats are missing ({named}): means may move when they arrive."]
    if any(n == 1 for n in counts.values()):
        points.append("An arm with one repeat has no interval: its spread is unknown.")
    finished = [n for n in counts.values() if n > 1]
    if finished:
        lowest, highest = min(finished), max(finished)
        span = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
        points.append(
            f"Intervals are 95% t-intervals over {span} repeats: with so few they are wide, and two arms "
            "whose intervals overlap may still differ."
        )
    if 2 in finished:
        points.append(
            "With two repeats the interval reaches 12.7 standard errors to either side (Student's t; with "
            "four repeats 3.2): it says little more than that two are too few."
        )
    if len([n for n in counts.values() if n]) > 2:
        points.append("Several arms are compared, and the intervals are not corrected for that.")
    return points


def spreads(records: Records) -> list[str]:
    """What the spread of each arm covers: an arm that trains a given network has no search in it."""
    training = records.arms_with("train")
    searched = [arm for arm in training if records.planned(arm, "search")]
    given = [arm for arm in training if arm not in searched]
    points = []
    if searched:
        points.append(
            f"{'; '.join(searched)}: a repeat is a search and a training of what it found; its spread covers "
            "search and training."
        )
    if given:
        points.append(
            f"{'; '.join(given)}: a repeat is a training of a given network; its spread covers training only."
        )
    if searched and given:
        points.append("The two spreads are not the same quantity.")
    return [" ".join(points)] if points else []


def _paired(records: Records) -> bool:
    """Whether several arms train, and a repeat takes the same seeds in all of them."""
    trainings = records.trials[records.trials["kind"] == "train"]
    seeds = records.trials.groupby(["kind", "repeat"])[["seed_split", "seed_search", "seed_train"]].nunique()
    return trainings["arm"].nunique() > 1 and bool((seeds <= 1).all(axis=None))


def cautions(records: Records) -> Section:
    """What limits the conclusions, most serious first."""
    points = mixtures(records) + _repeats(records) + spreads(records)
    if _paired(records):
        points.append(PAIRED)
    if records.arms_with("search"):
        points.append(NO_RANDOM_ARM)
    if set(records.trials["data_set"].dropna()) == {"rendered"}:
        points.append("The pedestrians are rendered: these scores say nothing about photographs.")
    return Section("Read with care", points=tuple(points))
