"""How the records show whether a best practice is met: one judgement for each point of the checklist."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from analysis import words
from analysis.costing import total_seconds
from analysis.data_sets import several
from analysis.differences import differing
from analysis.pages import OTHER_IMAGES, Records, values
from analysis.random_arms import NO_SAMPLING, NO_SEARCH, OTHER_BUDGET, lacking
from analysis.results import status_words
from analysis.selections import RULES
from analysis.sweeps import swept

MET, MISSED, UNKNOWN, ABSENT = "met", "not met", "cannot be told", "does not apply"
SEARCHES = ("search", "random-search")
NO_SEARCHES = "no arm searches"
NO_TRAININGS = "no arm trains a network"
# A mean of fewer repeats says next to nothing: Student's interval of two reaches 12.7 standard errors.
SEVERAL = 3
CONFOUNDERS = {
    "engine_revision": "engine revisions",
    "code_version": "versions of autoreid",
    "torch_version": "versions of torch",
    "python_version": "versions of Python",
    "device": "devices",
    "threads": "thread counts",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the records say of one point, and why."""

    verdict: str
    why: str


def _jobs(records: Records, kinds: Iterable[str]) -> pd.DataFrame:
    return records.jobs[records.jobs["kind"].isin(list(kinds))]


def _filled(rows: pd.DataFrame, columns: Iterable[str], what: str, none: str) -> Finding:
    """Met where no row lacks any of the columns; `none` is said where there are no rows."""
    if rows.empty:
        return Finding(ABSENT, none)
    empty = rows[[*columns]].isna().any(axis=1).sum()
    if empty:
        return Finding(MISSED, f"{empty} of {words.counted(len(rows), 'job')} lack {what}")
    return Finding(MET, f"all {words.counted(len(rows), 'job')} have {what}")


def _one_value(given: pd.Series, what: str, several: str) -> Finding:
    """Met where there is one value, not met where there are several, else it cannot be told."""
    found = sorted({str(value) for value in given.dropna()})
    if not found:
        return Finding(UNKNOWN, f"no finished job recorded the {what}")
    if len(found) > 1:
        return Finding(MISSED, f"{len(found)} {several}: {'; '.join(words.shortened(v, 40) for v in found)}")
    return Finding(MET, f"one {what}")


def training_recipes(records: Records) -> Finding:
    return _filled(_jobs(records, ["train"]), ["recipe_json"], "every field of their recipe", NO_TRAININGS)


def search_recipes(records: Records) -> Finding:
    return _filled(_jobs(records, SEARCHES), ["recipe_json"], "every field of their recipe", NO_SEARCHES)


def search_spaces(records: Records) -> Finding:
    jobs = _jobs(records, SEARCHES)
    if jobs.empty:
        return Finding(ABSENT, NO_SEARCHES)
    recipes = [json.loads(text) for text in jobs["recipe_json"].dropna().unique()]
    spaces = sorted({str(recipe["space"]) for recipe in recipes if recipe.get("space")})
    if not spaces or jobs["recipe_json"].isna().any():
        return Finding(MISSED, "the space of a search was not recorded")
    return Finding(MET, ", ".join(spaces))


def seeds(records: Records) -> Finding:
    """Searches need the seeds of split and search, trainings theirs."""
    searches, trainings = _jobs(records, ["search"]), _jobs(records, ["train"])
    lacking_seeds = int(searches[["seed_split", "seed_search"]].isna().any(axis=1).sum())
    lacking_seeds += int(trainings["seed_train"].isna().sum())
    count = len(searches) + len(trainings)
    if not count:
        return Finding(ABSENT, "no job takes a seed")
    if lacking_seeds:
        return Finding(MISSED, f"{lacking_seeds} of {words.counted(count, 'job')} lack a seed")
    return Finding(MET, f"all {words.counted(count, 'job')} have theirs, under How to reproduce")


def code_version(records: Records) -> Finding:
    found = _filled(records.done, ["code_version", "engine_revision"], "version and engine revision", "")
    return found if found.verdict != ABSENT else Finding(UNKNOWN, "no job is done yet")


def same_data(records: Records) -> Finding:
    trials = records.trials[~records.trials["kind"].isin(OTHER_IMAGES)]
    names = list(dict.fromkeys(trials["data_set"].dropna())) if several(records) else []
    if len(names) < 2:
        return _one_value(trials["data_fingerprint"], "data fingerprint", "data fingerprints")
    each = {name: trials.loc[trials["data_set"] == name, "data_fingerprint"] for name in names}
    found = {name: _one_value(given, "data fingerprint", "data fingerprints") for name, given in each.items()}
    wrong = [f"{name}: {one.why}" for name, one in found.items() if one.verdict != MET]
    if wrong:
        return Finding(MISSED, "; ".join(wrong))
    return Finding(MET, f"one data fingerprint on each of {', '.join(names)}; arms are compared on the same")


def same_training(records: Records) -> Finding:
    arms = records.arms_with("train")
    if not arms:
        return Finding(ABSENT, NO_TRAININGS)
    if len(arms) == 1:
        return Finding(ABSENT, "one arm trains")
    if _jobs(records, ["train"])["recipe_json"].isna().any():
        return Finding(UNKNOWN, "a recipe was not recorded")
    found = dict.fromkeys(path.removeprefix("train.") for path, _, _ in differing(records, "train"))
    if found:
        return Finding(MISSED, f"trainings differ in {', '.join(found)}: see Arms")
    return Finding(MET, f"{len(arms)} arms, one recipe")


def same_protocol(records: Records) -> Finding:
    if records.retrains.empty:
        return Finding(UNKNOWN, "no training is done yet")
    joined = records.retrains["protocol"].astype(str) + records.retrains["queries"].astype(str)
    count = joined.nunique()
    if count > 1:
        return Finding(MISSED, f"{count} protocols or sets of queries")
    return Finding(MET, f"one protocol, {records.retrains['queries'].iloc[0]:,} queries")


def confounders(records: Records) -> Finding:
    """One value of everything that is recorded; what no job recorded cannot be told."""
    if records.done.empty:
        return Finding(UNKNOWN, "no job is done yet")
    counts = {label: records.done[column].nunique() for column, label in CONFOUNDERS.items()}
    mixed = [f"{count} {label}" for label, count in counts.items() if count > 1]
    if mixed:
        return Finding(MISSED, f"finished jobs mix {', '.join(mixed)}")
    absent = [label for label, count in counts.items() if not count]
    if absent:
        return Finding(UNKNOWN, f"not recorded: {', '.join(absent)}")
    return Finding(MET, "the finished jobs share versions, device and thread count")


def _lacks(records: Records, *what: str) -> Finding:
    if not records.arms_with("search"):
        return Finding(ABSENT, NO_SEARCHES)
    found = [
        f"of {space} {missing} ({'; '.join(arms)})"
        for (space, missing), arms in lacking(records).items()
        if missing in what
    ]
    return Finding(MISSED, "; ".join(found)) if found else Finding(MET, "for every space that is searched")


def random_sampling(records: Records) -> Finding:
    return _lacks(records, NO_SAMPLING)


def random_search(records: Records) -> Finding:
    return _lacks(records, NO_SEARCH, OTHER_BUDGET)


def repeats(records: Records) -> Finding:
    """Finished trainings of every arm, with as many different seeds."""
    arms = records.arms_with("train")
    if not arms:
        return Finding(ABSENT, NO_TRAININGS)
    few, equal = [], []
    for arm in arms:
        found = records.retrains[records.retrains["arm"] == arm]
        count = len(values(records.retrains, arm, "mAP"))
        if count < SEVERAL:
            few.append(f"{arm}: {count}")
        elif found[["seed_train", "seed_search", "search_job"]].drop_duplicates().shape[0] < count:
            equal.append(arm)
    if few:
        return Finding(MISSED, f"fewer than {SEVERAL} finished repeats ({'; '.join(few)})")
    if equal:
        return Finding(MISSED, f"repeats share their seeds ({'; '.join(equal)})")
    return Finding(MET, f"{SEVERAL} or more in each of {words.counted(len(arms), 'arm')}")


def over_time(records: Records) -> Finding:
    if not records.arms_with("search"):
        return Finding(ABSENT, NO_SEARCHES)
    rows = records.epochs[records.epochs["kind"] == "search"]
    if rows.empty:
        return Finding(UNKNOWN, "no search has reported an epoch yet")
    measures = [c for c in ("validation_accuracy", "validation_loss") if rows[c].notna().any()]
    if not measures:
        return Finding(MISSED, "no epoch of a search recorded accuracy or loss on held-out images")
    return Finding(MET, "accuracy or loss on held-out images for every epoch, under Learning curves")


def selection(records: Records) -> Finding:
    """By the evaluations of candidates and the recipes of selections; without one, every repeat counts."""
    given = records.trials[records.trials["found_by"] == "given"]
    selects = _jobs(records, ["select"])
    texts = selects["recipe_json"].dropna().unique()
    rules = {str(json.loads(text).get("rule")) for text in texts}
    candidates = records.evaluations[records.evaluations["stage"] == "selection"]
    elsewhere = int((candidates["split"] != "validation").sum())
    if elsewhere:
        return Finding(
            MISSED, f"{elsewhere} of {len(candidates)} evaluations of candidates were on test images"
        )
    if not selects.empty and (selects["recipe_json"].isna().any() or not rules <= RULES.keys()):
        return Finding(UNKNOWN, "a selection's rule is not one that this release knows")
    if rules:
        return Finding(MET, f"{words.counted(len(selects), 'selection')} on images that are no test images")
    if not records.points.empty:
        return Finding(MET, "points of sweeps are judged on images that are no test images")
    if not records.arms_with("search") and not given.empty:
        arms = "; ".join(dict.fromkeys(given["arm"]))
        return Finding(UNKNOWN, f"the networks were given ({arms}): how they were chosen is not recorded")
    if records.retrains.empty:
        return Finding(UNKNOWN, "no training is done yet")
    return Finding(MET, "nothing is selected: every repeat counts")


def tuning(records: Records) -> Finding:
    if records.points.empty:
        return Finding(UNKNOWN, "no sweep is recorded: tuning elsewhere leaves no trace here")
    arms = ", ".join(swept(records))
    return Finding(MET, f"{words.counted(len(records.points), 'point')} ({arms}), counted under Cost")


def whole_cost(records: Records) -> Finding:
    tried = records.jobs[records.jobs["attempts"] > 0]
    ended = tried[tried["status"].isin(["done", "failed"])]
    if ended.empty:
        return Finding(UNKNOWN, "no attempt has ended yet")
    done = ended[ended["status"] == "done"]
    lost = int(done["wall_seconds"].isna().sum() + ended["failed_seconds"].isna().sum())
    if lost:
        return Finding(
            MISSED, f"{words.counted(lost, 'time')} of {words.counted(len(ended), 'job')} not recorded"
        )
    failed = words.duration(float(records.jobs["failed_seconds"].sum()))
    return Finding(MET, f"{words.duration(total_seconds(records))}, {failed} of them in failed attempts")


def hardware(records: Records) -> Finding:
    found = _filled(records.done, ["device"], "a device", "")
    if found.verdict == ABSENT:
        return Finding(UNKNOWN, "no job is done yet")
    if found.verdict == MISSED:
        return found
    named = sorted({str(value) for value in records.done["device"]})
    return Finding(MET, "; ".join(words.shortened(value, 40) for value in named))


def complete(records: Records) -> Finding:
    done = len(records.done) == len(records.jobs)
    return Finding(MET if done else MISSED, status_words(records).rstrip("."))
