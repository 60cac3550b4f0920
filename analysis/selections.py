"""Which search of every arm was selected, by what, and how it does on the test set beside all others."""

from __future__ import annotations

import json

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records, Section, values
from analysis.statistics import summarise
from analysis.sweeps import swept
from analysis.words import NOTHING

RULES = {
    "supernet": "the mAP of each genotype in its own supernet, on the images that its search held out",
    "retrain": "the mAP of a short training of each genotype without some of the training identities, on the "
    "images of these",
}
WITHIN = (
    "Validation scores rank the searches of one arm. They are taken on few images and by other weights than "
    "the trained network's: they are no test scores, and no arms are compared by them."
)


def all_best_alone(trials: pd.DataFrame) -> list[str]:
    """The arms that train the selected genotype, and no other."""
    selections = set(trials.loc[trials["kind"] == "select", "job"])
    if not selections:
        return []
    trainings = trials.loc[trials["kind"] == "train", ["arm", "inputs"]].dropna()
    pairs = trainings.itertuples(index=False)
    return list(dict.fromkeys(arm for arm, text in pairs if json.loads(text).get("job") in selections))


def best_alone(trials: pd.DataFrame, arm: str) -> bool:
    """Whether the arm trains the selected genotype, and no other."""
    return arm in all_best_alone(trials)


def of_selected(records: Records, arm: str, column: str) -> list[float]:
    """What the trainings of the selected genotype gave, where all searches are trained; else nothing."""
    chosen = records.retrains["selected"].fillna(False).to_numpy(dtype=bool)
    if not chosen.any() or best_alone(records.trials, arm):
        return []
    return values(records.retrains[chosen], arm, column)


def _scores(found: pd.DataFrame, arm: str) -> str:
    """mAP and rank-1 as a sentence holds them."""
    parts = []
    for column, label in (("mAP", "mAP"), ("rank_1", "rank-1")):
        summary = summarise(values(found, arm, column))
        parts.append(f"{label} {words.spread(summary)} %")
    return " and ".join(parts)


def _sentence(records: Records, arm: str) -> str:
    """What was selected in an arm, its test scores, and those of all repeats beside them."""
    searches = records.genotypes[records.genotypes["arm"] == arm]
    chosen = searches[searches["selected"].fillna(False)]
    if chosen.empty:
        return f"{arm}: the selection is not done yet."
    first, count = chosen.iloc[0], records.planned(arm, "search")
    head = (
        f"{arm}: selected on validation: repeat {first['repeat'] + 1} of {count} "
        f"(mAP {words.percent(first['validation_mAP'])} %)"
    )
    trained = records.retrains[records.retrains["arm"] == arm]
    mine = trained[trained["selected"].fillna(False)]
    if mine.empty:
        return f"{head}; it is not trained yet."
    times = words.counted(len(mine), "training")
    if best_alone(records.trials, arm):
        return f"{head}; on the test set {_scores(mine, arm)} ({times}). The others were not trained."
    rest = words.counted(len(trained), "repeat")
    return f"{head}; on the test set {_scores(mine, arm)}. Mean of all ({rest}): {_scores(trained, arm)}."


def _repeat_grid(records: Records, arms: list[str]) -> Grid:
    """Every search with its validation score and its trainings' test scores; the selected one marked."""
    rows = []
    searches = records.genotypes[records.genotypes["arm"].isin(arms)]
    for row in records.by_arm(searches).to_dict("records"):
        trained = records.retrains[records.retrains["search_job"] == row["job"]]
        scores = (words.each(values(trained, row["arm"], column)) for column in ("mAP", "rank_1"))
        rows.append(
            (
                row["arm"],
                words.numbers([row["repeat"]]),
                row["genotype"],
                words.percent(row["validation_mAP"]) if pd.notna(row["validation_mAP"]) else NOTHING,
                *(text or NOTHING for text in scores),
                "selected" if row["selected"] is True else "",
            )
        )
    headings = ("arm", "repeat", "genotype", "validation mAP", "test mAP", "test rank-1", "by validation")
    return Grid("All searches, %", headings, "lrlrrrl", tuple(rows), WITHIN)


def selections(records: Records) -> Section | None:
    """What was selected, and all that it was selected from."""
    told = swept(records)  # in the section of the sweep
    arms = [arm for arm in records.arms_with("select") if arm not in told]
    if not arms:
        return None
    selects = records.trials[(records.trials["kind"] == "select") & records.trials["arm"].isin(arms)]
    recipes = selects["recipe_json"].dropna().unique()
    rules = dict.fromkeys(str(json.loads(text).get("rule")) for text in recipes)
    how = "; or ".join(RULES.get(rule, rule) for rule in rules)
    intro = f"The best search of an arm is selected by {how}. The test set has no part in it."
    points = tuple(_sentence(records, arm) for arm in arms)
    grids = () if records.genotypes.empty else (_repeat_grid(records, arms),)
    return Section("Selection", intro, points=points, grids=grids)
