"""The sections of a report that say what came out: status, scores, networks, pretrainings, cost."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import pandas as pd

from analysis import figures, words
from analysis.data_sets import by_data_set
from analysis.figure_data import repeat_data
from analysis.pages import Grid, Picture, Records, Section, values
from analysis.selections import of_selected
from analysis.single_networks import single_networks
from analysis.statistics import Summary, summarise
from analysis.words import NOTHING
from search_spaces.published import PUBLISHED

STATUSES = ("done", "failed", "skipped", "started", "waiting")
MEASURES = {"mAP": "mAP", "rank_1": "rank-1"}
FURTHER = {"rank_5": "rank-5", "rank_10": "rank-10", "mINP": "mINP"}
KINDS = {
    "search": ("search", "searches"),
    "random-search": ("random search", "random searches"),
    "select": ("selection", "selections"),
    "pretrain": ("pretraining", "pretrainings"),
    "train": ("training", "trainings"),
    "evaluate": ("evaluation", "evaluations"),
    "latency": ("timing", "timings"),
}
ERROR_LIMIT = 400
CUT_NOTE = (
    "No score lies below 0 or above 100: of an interval that reaches further, the part within is shown."
)
SELECTED_NOTE = "Selected is the repeat that was chosen on validation, one of those that make up the mean."


def summaries(frame: pd.DataFrame, arms: Iterable[str], column: str) -> dict[str, Summary]:
    """A summary for every arm that has a value."""
    found = {arm: values(frame, arm, column) for arm in arms}
    return {arm: summarise(given) for arm, given in found.items() if given}


def status_words(records: Records) -> str:
    """`14 of 16 jobs are done; 1 failed, 1 skipped`."""
    counts = records.jobs["status"].value_counts()
    total = len(records.jobs)
    if counts.get("done", 0) == total:
        return f"All {words.counted(total, 'job')} are done." if total > 1 else "The one job is done."
    rest = [f"{counts[status]} {status}" for status in STATUSES[1:] if status in counts]
    return f"{counts.get('done', 0)} of {words.counted(total, 'job')} are done; {', '.join(rest)}."


def status(records: Records) -> Section:
    """How many jobs are in which state, and every job that is not done, with its error."""
    counted = records.jobs.groupby(["kind", "status"]).size()
    kinds = [kind for kind in KINDS if kind in set(records.jobs["kind"])]
    counts = tuple(
        (KINDS[kind][1], *(str(counted.get((kind, state), 0)) for state in STATUSES)) for kind in kinds
    )
    grids = [Grid("Jobs by status", ("kind", *STATUSES), "l" + "r" * len(STATUSES), counts)]
    missing = records.by_arm(records.trials[records.trials["status"] != "done"])
    rows = tuple(
        (
            row["arm"],
            words.numbers([row["repeat"]]),
            row["kind"],
            row["status"],
            words.shortened(row["error"], ERROR_LIMIT) if isinstance(row["error"], str) else "",
            str(row["attempts"]),
            row["job"][: words.SHORT],
        )
        for row in missing.to_dict("records")
    )
    if rows:
        headings = ("arm", "repeat", "kind", "status", "error", "attempts", "job")
        grids.append(Grid("Jobs that are not done", headings, "lrllwrl", rows))
    return Section("Status", status_words(records), grids=tuple(grids))


def _score_grid(records: Records, column: str, label: str) -> Grid:
    rows = []
    found = summaries(records.retrains, records.arms, column)
    untrained = summaries(records.retrains, records.arms, f"untrained_{column}")
    chosen = {arm: of_selected(records, arm, column) for arm in records.arms_with("train")}
    selects = ("selected",) if any(chosen.values()) else ()
    for arm in chosen:
        summary, before = found.get(arm), untrained.get(arm)
        count = f"{summary.n if summary else 0} of {records.planned(arm, 'train')}"
        cells = (
            (words.spread(summary), words.between(summary), words.each(summary.values))
            if summary
            else (NOTHING,) * 3
        )
        beside = (words.each(chosen[arm]) or NOTHING,) if selects else ()
        rows.append((arm, count, *cells, *beside, words.percent(before.mean) if before else NOTHING))
    headings = ("arm", "repeats", "mean ± sd", "95% interval", "each repeat", *selects, "untrained")
    intervals = [summary.interval for summary in found.values() if summary.interval]
    cut = any(words.within(interval, 0, 1) != interval for interval in intervals)
    note = " ".join([CUT_NOTE] * cut + [SELECTED_NOTE] * len(selects))
    aligned = f"lrrrl{'r' * len(selects)}r"
    return Grid(f"{label}, %", headings, aligned, tuple(rows), note, latex=True)


def _further_grid(records: Records) -> Grid:
    found = {column: summaries(records.retrains, records.arms, column) for column in FURTHER}
    rows = tuple(
        (arm, *(words.spread(found[c][arm]) if arm in found[c] else NOTHING for c in FURTHER))
        for arm in records.arms_with("train")
    )
    headings = ("arm", *FURTHER.values())
    return Grid("Further scores, mean ± sd, %", headings, "lrrr", rows, latex=True)


def _score_picture(records: Records, column: str, label: str, prefix: str) -> Picture:
    found = summaries(records.retrains, records.arms, column)
    untrained = summaries(records.retrains, records.arms, f"untrained_{column}")
    before = {arm: summary.mean for arm, summary in untrained.items()}
    colours = {arm: look[0] for arm, look in figures.arm_colours(records.arms).items()}
    name = f"{prefix}--{column.lower().replace('_', '-')}"
    caption = f"{label}: dots are the repeats, the diamond is their mean, the bar its 95% interval" + (
        "; the cross is the untrained network." if before else "."
    )
    draw = partial(figures.repeats, found, before, f"{label}, %", colours, name)
    return Picture(name, caption, draw, repeat_data(records, column, label, found, before))


def scores(records: Records, prefix: str) -> Section:
    """The scores of the trained networks on query and gallery, by arm."""
    if not records.arms_with("train"):
        purpose = " for re-identification" if records.arms_with("pretrain") else ""
        return Section("Results", f"This campaign trains no network{purpose}.")
    if records.retrains.empty:
        return Section("Results", "No training is finished yet, so there are no scores.")
    grids = [_score_grid(records, column, label) for column, label in MEASURES.items()]
    grids += [
        grid for grid in (by_data_set(records), _further_grid(records), single_networks(records)) if grid
    ]
    pictures = tuple(_score_picture(records, column, label, prefix) for column, label in MEASURES.items())
    queries = ", ".join(f"{count:,}" for count in sorted(set(records.retrains["queries"])))
    intro = f"Trained networks on query and gallery ({queries} queries with a match)."
    return Section("Results", intro, grids=tuple(grids), pictures=pictures)


SIZES = ("params_backbone", "params_inference", "params_training")
WORK = ("multiply_adds_backbone", "multiply_adds_inference")
PUBLISHED_NAMES = {genotype.digest: name for name, genotype in PUBLISHED.items()}


def _network(name: str, genotype: object) -> str:
    """A network by its name; one that only a genotype describes, by the name under which a paper printed it,
    else by the genotype's digest."""
    if "=" not in name or not isinstance(genotype, str):
        return words.shortened(name, 40)
    return PUBLISHED_NAMES.get(genotype, f"genotype {genotype}")


def networks(records: Records) -> Section | None:
    """Parameters and multiply-adds of the trained networks."""
    if records.retrains.empty:
        return None
    built = ["height", "width", "width_multiplier", "channels", "layers"]
    keys = ["arm", "network", "genotype", *built, *SIZES, *WORK, "feature_dim"]
    rows = []
    for key, found in records.by_arm(records.retrains).groupby(keys, sort=False, dropna=False)["repeat"]:
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        size = "" if pd.isna(row["height"]) else f"{row['height']}x{row['width']}"
        if pd.notna(row["channels"]):
            width = f", C={row['channels']}, l={row['layers']}"
        else:
            width = "" if pd.isna(row["width_multiplier"]) else f", x{row['width_multiplier']:g}"
        rows.append(
            (
                row["arm"],
                words.numbers(found),
                _network(row["network"], row["genotype"]),
                f"{size}{width}" or NOTHING,
                *(words.millions(row[name], 3) for name in SIZES),
                *(words.millions(row[name], 2) for name in WORK),
                str(row["feature_dim"]),
            )
        )
    sizes = ("parameters, backbone", "at inference", "in training", "multiply-adds, backbone", "at inference")
    headings = ("arm", "repeats", "network", "images, size", *sizes, "feature")
    note = (
        "Height x width of the images, and the width multiplier, or the channels C and cells l of a network "
        "of cells; multiply-adds for one image."
    )
    return Section("Networks", grids=(Grid("Size", headings, "lrllrrrrrr", tuple(rows), note),))


def pretrainings(records: Records) -> Section | None:
    """How well the pretrained networks classify."""
    if records.pretrains.empty:
        return None
    rows = tuple(
        (
            row["arm"],
            words.numbers([row["repeat"]]),
            _network(row["network"], row["genotype"]),
            words.percent(row["top_1"]),
            words.percent(row["top_5"]),
            f"{row['images']:,}",
            f"{row['classes']:,}",
            words.millions(row["params_backbone"], 3),
        )
        for row in records.by_arm(records.pretrains).to_dict("records")
    )
    headings = ("arm", "repeat", "network", "top-1", "top-5", "images", "classes", "parameters, backbone")
    intro = (
        "Networks that learned to classify, most of them before they were trained for re-ID, on validation "
        "images. One pretraining serves all repeats of its network, unless the campaign varies its seed."
    )
    return Section("Pretraining", intro, grids=(Grid("Accuracy, %", headings, "lrlrrrrr", rows),))
