"""What a reader should know before believing a figure."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from analysis import words
from analysis.classifications import classifiers
from analysis.collapse import collapses
from analysis.data_sets import source
from analysis.pages import OTHER_IMAGES, Records, Section, values
from analysis.random_arms import sampling_arms, unmatched
from analysis.selections import best_alone
from analysis.sweeps import swept

# Columns that should hold one value over all finished jobs of a comparison, in words.
SHARED = {
    "engine_revision": "engine revisions",
    "code_version": "versions of autoreid",
    "torch_version": "versions of torch",
    "device": "devices",
    "threads": "thread counts",
    "forms": "forms of the computation",
}

SAMPLED = "a repeat is a training of an architecture of its own, drawn at random; its spread covers both."
RANDOM_SEARCH = (
    "a repeat is a random search and a training of what it found; its spread covers search and training."
)

SEEN = (
    "the teacher was trained on the whole training set, and has seen the images that searches and selections "
    "held out. Their accuracies and validation scores are not comparable with those without a teacher."
)

PAIRED = (
    "Repeat r takes the same seeds in every arm: the repeats are paired, while Welch's interval of a "
    "difference treats them as independent."
)

SEARCH_AND_TRAINING = (
    "a repeat is a search and a training of what it found; its spread covers search and training."
)
ONE_SEARCH = "a repeat is a training of what one search found; its spread covers training only."
GIVEN = "a repeat is a training of a given network; its spread covers training only."
ONE_PRETRAINING = "all trainings begin with one pretraining; its spread does not cover the pretraining."
ONE_TEACHER = "one teacher, trained once, guides all repeats; their spread does not cover the teacher."
DIFFERENT_SPREADS = "The two spreads are not the same quantity."

SELECTED = (
    "The selected repeat is the best of several by validation, and its test score that of one training: it "
    "stands beside the mean of all repeats, and is not to be compared with a mean. Differences between arms "
    "are differences of means over all repeats."
)
BEST = (
    "Such a figure lies above what one search gives: compare it with the best of as many, never with a mean "
    "over searches."
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


def _of_each_set(frame: pd.DataFrame, columns: dict[str, str]) -> list[str]:
    """What differs between the jobs on one data set: another set has other images, and may have a protocol of
    its own."""
    sets = frame["data_set"].fillna("")
    return [text for name in dict.fromkeys(sets) for text in _mixed(frame[sets == name], columns)]


def mixtures(records: Records) -> list[str]:
    """A sentence for everything that differs between finished jobs and should not."""
    done = records.done
    found = _of_each_set(done[~done["kind"].isin(OTHER_IMAGES)], {"data_fingerprint": "data fingerprints"})
    found += _mixed(done[done["kind"] != "latency"], SHARED)
    scores = {"protocol": "evaluation protocols", "queries": "numbers of queries"}
    found += _of_each_set(records.retrains, scores)
    counts: dict[Any, int] = records.trials.groupby(["arm", "kind"], sort=False)["recipe"].nunique().to_dict()
    found += [
        f"The {kind} jobs of arm {arm} have {count} different recipes."
        for (arm, kind), count in counts.items()
        if count > 1 and not (arm in swept(records) and kind in ("search", "select"))
    ]
    return found


def _repeats(records: Records) -> list[str]:
    trained, classified = records.arms_with("train"), classifiers(records)
    counts = {arm: len(values(records.retrains, arm, "mAP")) for arm in trained}
    counts |= {arm: len(values(records.pretrains, arm, "top_1")) for arm in classified}
    planned = {arm: records.planned(arm, "pretrain" if arm in classified else "train") for arm in counts}
    named = "; ".join(f"{arm}: {n} of {planned[arm]}" for arm, n in counts.items())
    complete = counts == planned
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
    arms: dict[str, list[str]] = {}
    for arm in [*records.arms_with("train"), *classifiers(records)]:
        arms.setdefault(_repeat_words(records, arm), []).append(arm)
    points = [f"{'; '.join(named)}: {what}" for what, named in arms.items()]
    counts = records.trials[records.trials["kind"] == "pretrain"].groupby("arm")["job"].nunique()
    once = [arm for arm in records.arms_with("train") if counts.get(arm) == 1]
    if once:
        points.append(f"{'; '.join(once)}: {ONE_PRETRAINING}")
    teachers = records.trials.dropna(subset="teacher").groupby("arm")["teacher"].nunique()
    guided = [arm for arm in records.arms_with("train") if teachers.get(arm) == 1]
    if guided:
        points.append(f"{'; '.join(guided)}: {ONE_TEACHER}")
    if SEARCH_AND_TRAINING in arms and len(arms) > 1:
        points.append("These spreads are not the same quantity." if len(arms) > 2 else DIFFERENT_SPREADS)
    return [" ".join(points)] if points else []


def _repeat_words(records: Records, arm: str) -> str:
    searches = records.planned(arm, "search")
    if records.planned(arm, "random-search"):
        return RANDOM_SEARCH
    if arm in sampling_arms(records):
        return SAMPLED
    if not searches:
        return GIVEN
    if best_alone(records.trials, arm):
        return (
            f"a repeat is a training of the one genotype that was selected among {searches} searches; its "
            "spread covers training only."
        )
    return SEARCH_AND_TRAINING if searches >= records.planned(arm, "train") else ONE_SEARCH


def selected(records: Records) -> list[str]:
    """The best of several is not to be compared with a mean over several."""
    arms = [arm for arm in records.arms_with("select") if arm not in swept(records)]
    best = [arm for arm in arms if best_alone(records.trials, arm)]
    found = []
    if [arm for arm in arms if arm not in best]:
        found.append(SELECTED)
    if best:
        counts = " or ".join(str(count) for count in sorted({records.planned(arm, "search") for arm in best}))
        text = f"{'; '.join(best)}: the best of {counts} searches alone was trained. {BEST}"
        others = [arm for arm in records.arms_with("train") if arm not in best]
        if others:
            text += f" In {'; '.join(others)} nothing was selected: a difference to them holds the selection."
        found.append(text)
    return found


def taught(records: Records) -> list[str]:
    """That a teacher knows the images by which alphas, samples and selections are judged."""
    judging = records.trials[records.trials["kind"].isin(("search", "random-search", "select"))]
    given = zip(judging["arm"], judging["inputs"].fillna("{}").map(json.loads), strict=True)
    under = dict.fromkeys(arm for arm, inputs in given if "teacher" in inputs)
    return [f"{'; '.join(under)}: {SEEN}"] if under else []


def paired_seeds(records: Records) -> bool:
    """Whether several arms train, and a repeat takes the same seeds in all of them."""
    trainings = records.trials[records.trials["kind"] == "train"]
    seeds = records.trials.groupby(["kind", "repeat"])[["seed_split", "seed_search", "seed_train"]].nunique()
    return trainings["arm"].nunique() > 1 and bool((seeds <= 1).all(axis=None))


def tuned(records: Records) -> list[str]:
    """A sentence where arms whose settings were chosen stand beside others."""
    arms = swept(records)
    beside = [arm for arm in records.arms_with("train") if arm not in arms]
    if not arms or not beside:
        return []
    verb = "were" if len(arms) > 1 else "was"
    return [
        f"{', '.join(arms)} {verb} tuned, by {words.counted(len(records.points), 'point')}, and "
        f"{', '.join(beside)} not: a difference is owed to the tuning too, whose cost the cost table counts."
    ]


def cautions(records: Records) -> Section:
    """What limits the conclusions, most serious first."""
    points = [f"What rests on a table is missing here: {problem}" for problem in records.unread]
    points += mixtures(records) + _repeats(records) + spreads(records)
    points += collapses(records) + selected(records)
    if paired_seeds(records):
        points.append(PAIRED)
    points += taught(records) + tuned(records)
    points += unmatched(records)
    trials = records.trials[~records.trials["kind"].isin(OTHER_IMAGES)]
    if {source(records, name).get("set") for name in trials["data_set"].dropna()} == {"rendered"}:
        points.append("The pedestrians are rendered: these scores say nothing about photographs.")
    return Section("Read with care", points=tuple(points))
