"""The scores of a campaign in a few lines: what a run prints at its end."""

from __future__ import annotations

from typing import Any

from analysis import tables, words
from analysis.pages import values
from analysis.selections import best_alone
from analysis.statistics import Summary, summarise
from analysis.words import NOTHING

SCORES = ("rank_1", "mAP", "untrained_mAP")


def _plain(summary: Summary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    interval = None if summary.interval is None else list(summary.interval)
    return {
        "mean": summary.mean,
        "deviation": summary.deviation,
        "interval": interval,
        "repeats": list(summary.values),
    }


def summary(where: tables.Where, campaign: str) -> list[tuple[str, int, dict[str, Summary | None]]]:
    """Every arm that trains: its name, its planned repeats, and a summary of each score, None before the
    first repeat is done. InputError as for `analysis.tables.read`."""
    trials = tables.read(where, "trials", campaign)
    retrains = tables.read(where, "retrains", campaign)
    planned = trials[trials["kind"] == "train"]["arm"].value_counts(sort=False)
    rows = []
    for arm, count in planned.items():
        found = {score: values(retrains, str(arm), score) for score in SCORES}
        scores = {score: summarise(given) if given else None for score, given in found.items()}
        rows.append((str(arm), int(count), scores))
    return rows


def summary_plain(where: tables.Where, campaign: str) -> list[dict[str, Any]]:
    """The summary as JSON values; scores are fractions."""
    return [
        {"campaign": campaign, "arm": arm, "planned": planned}
        | {score: _plain(found) for score, found in scores.items()}
        for arm, planned, scores in summary(where, campaign)
    ]


def _notes(where: tables.Where, campaign: str) -> list[str]:
    """What of the repeats was selected on validation, a line for each arm."""
    trials = tables.read(where, "trials", campaign)
    retrains = tables.read(where, "retrains", campaign)
    chosen = retrains[retrains["selected"].fillna(False)]
    lines = []
    for arm, found in chosen.groupby("arm", sort=False):
        if best_alone(trials, str(arm)):
            searches = int(((trials["arm"] == arm) & (trials["kind"] == "search")).sum())
            lines.append(f"{arm}: trainings of the best of {searches} searches, selected on validation")
        else:
            scores = words.each(values(found, str(arm), "mAP"))
            lines.append(
                f"{arm}: selected on validation: repeat {words.numbers(found['repeat'])}, mAP {scores}"
            )
    return ["", *lines] if lines else []


def summary_table(where: tables.Where, campaign: str) -> str:
    """The summary as a text table for a terminal: every arm, its means and every repeat."""
    rows = []
    for arm, planned, scores in summary(where, campaign):
        precision, rank, before = (scores[score] for score in ("mAP", "rank_1", "untrained_mAP"))
        rows.append(
            (
                words.shortened(arm, 40),
                f"{precision.n if precision else 0} of {planned}",
                words.spread(rank) if rank else NOTHING,
                words.spread(precision) if precision else NOTHING,
                "  ".join(words.percent(value) for value in precision.values) if precision else NOTHING,
                words.percent(before.mean) if before else NOTHING,
            )
        )
    notes = _notes(where, campaign)
    headings = ("arm", "repeats", "rank-1 %", "mAP %", "mAP of each repeat", "untrained mAP")
    head = f"{campaign}: mean ± standard deviation over repeats"
    return "\n".join([head, "", words.aligned(headings, rows, "lrrrlr"), *notes])
