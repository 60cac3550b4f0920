"""Why arms cannot be compared: figures that were not taken in the same way have no difference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import words
from analysis.differences import fields
from analysis.pages import Records
from analysis.selections import all_best_alone
from analysis.sweeps import swept

# What has to be one and the same on both sides: of the trainings that are done, and of their scores.
OF_TRAININGS = {"data_fingerprint": "data fingerprints", "engine_revision": "engine revisions"}
OF_SCORES = {"protocol": "evaluation protocols", "queries": "numbers of queries"}
MOST_FIELDS = 4


@dataclass(frozen=True, slots=True)
class Grounds:
    """What decides whether arms can be compared, gathered once for all of them.

    By arm: `mixed` says in what its repeats differ, `trainings` are its jobs, `best_of` is the number of
    searches where the best alone was trained; `single` holds the arms of one given network. `held` has the
    values of what should be the same, by label and arm.
    """

    mixed: Mapping[str, tuple[str, ...]]
    held: Mapping[str, Mapping[str, tuple[str, ...]]]
    best_of: Mapping[str, int]
    single: frozenset[str]
    trainings: Mapping[str, frozenset[str]]

    def obstacles(self, arms: Sequence[str]) -> tuple[str, ...]:
        """Why the trainings of these arms cannot stand in one comparison; nothing where they can.

        Repeats of one recipe within each arm, one data set, one engine revision, one protocol and set of
        queries over all, no best of several beside a mean over searches, or the best of more or fewer, and no
        training that two of them share.
        """
        found = [text for arm in arms for text in self.mixed.get(arm, ())]
        for label, by_arm in self.held.items():
            having = {arm: by_arm[arm] for arm in dict.fromkeys(arms) if arm in by_arm}
            if len({value for values in having.values() for value in values}) > 1:
                sides = (f"{arm} {' and '.join(map(_short, values))}" for arm, values in having.items())
                found.append(f"{label} differ: {'; '.join(sides)}")
        return (*found, *self._best(arms), *self._shared(arms))

    def _best(self, arms: Sequence[str]) -> Iterator[str]:
        best = [arm for arm in arms if arm in self.best_of]
        rest = [arm for arm in arms if arm not in self.best_of and arm not in self.single]
        counts = {self.best_of[arm] for arm in best}
        if best and rest:
            head = f"{'; '.join(best)} is the best of {self.best_of[best[0]]} searches"
            yield f"{head}, {'; '.join(rest)} a mean: compare the best of as many"
        elif len(counts) > 1:
            named = ", ".join(f"{arm} of {self.best_of[arm]}" for arm in best)
            yield f"they are the best of different numbers of searches ({named}): compare the best of as many"

    def _shared(self, arms: Sequence[str]) -> Iterator[str]:
        several = len(set(arms)) > 1
        shared = frozenset.intersection(*(self.trainings.get(arm, frozenset()) for arm in arms))
        if several and shared:
            yield f"they share {words.counted(len(shared), 'training')}"


def _short(value: str) -> str:
    return words.shortened(value, 60)


def grounds(records: Records) -> Grounds:
    """What decides about the comparisons of a campaign's arms."""
    trainings = records.trials.loc[records.trials["kind"] == "train", ["arm", "job", "status", "found_by"]]
    done = records.trials.loc[
        (records.trials["status"] == "done") & (records.trials["kind"] == "train"), ["arm", *OF_TRAININGS]
    ]
    held = {label: _held(done, column) for column, label in OF_TRAININGS.items()}
    held |= {label: _held(records.retrains, column) for column, label in OF_SCORES.items()}
    given = trainings["found_by"].eq("given").groupby(trainings["arm"]).all()
    return Grounds(
        mixed=_mixed(records),
        held=held,
        best_of={arm: records.planned(arm, "search") for arm in all_best_alone(records.trials)},
        single=frozenset(given.index[given.to_numpy(dtype=bool)]),
        trainings={str(arm): frozenset(jobs) for arm, jobs in trainings.groupby("arm")["job"]},
    )


def obstacles(records: Records, arms: Sequence[str]) -> tuple[str, ...]:
    """Why the trainings of these arms cannot stand in one comparison: `Grounds.obstacles` for one time."""
    return grounds(records).obstacles(arms)


def _held(frame: pd.DataFrame, column: str) -> dict[str, tuple[str, ...]]:
    """The values of a column by arm."""
    rows = frame[["arm", column]].dropna().drop_duplicates()
    return {str(arm): tuple(map(str, values)) for arm, values in rows.groupby("arm", sort=False)[column]}


def _mixed(records: Records) -> dict[str, tuple[str, ...]]:
    """By arm the fields in which its repeats differ, where they do: their mean is the mean of nothing."""
    found: dict[str, tuple[str, ...]] = {}
    of_points = swept(records)  # their searches are the points of a sweep
    trials = records.trials[["arm", "kind", "recipe", "recipe_json"]]
    for kind in ("train", "search", "random-search"):
        rows = trials[trials["kind"] == kind]
        counts = rows.groupby("arm", sort=False)["recipe"].nunique()
        for arm in counts.index[counts > 1]:
            if kind == "train" or arm not in of_points:
                texts = rows.loc[rows["arm"] == arm, "recipe_json"]
                said = f"the {kind} jobs of {arm} differ in {_fields(texts)}"
                found[str(arm)] = (*found.get(str(arm), ()), said)
    return found


def _fields(texts: pd.Series) -> str:
    recipes = [dict(fields(json.loads(text))) for text in texts.dropna().unique()]
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    held = {name: dict.fromkeys(recipe.get(name, words.NOTHING) for recipe in recipes) for name in names}
    differing = [f"{name} ({' or '.join(values)})" for name, values in held.items() if len(values) > 1]
    more = f" and {len(differing) - MOST_FIELDS} more fields" if len(differing) > MOST_FIELDS else ""
    return ", ".join(differing[:MOST_FIELDS]) + more if differing else "recipes that were not recorded"
