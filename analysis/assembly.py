"""A campaign's page: all sections in the order in which they are read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from analysis import words
from analysis.behind import Behind, behind
from analysis.cautions import cautions
from analysis.checklist import checklist
from analysis.classifications import classifications, lowest
from analysis.comparing import comparison_section, verdicts
from analysis.costing import cost, total_seconds
from analysis.data_sets import several
from analysis.differences import differences
from analysis.evaluations import evaluations
from analysis.figure_data import curve_data
from analysis.figures import Look, arm_colours, learning_curves
from analysis.genotypes import genotypes
from analysis.health import health
from analysis.jobs import part
from analysis.latencies import latencies
from analysis.pages import OTHER_IMAGES, Code, Grid, Page, Picture, Records, Section
from analysis.paper_report import paper
from analysis.paper_tables import PaperTable
from analysis.results import (
    KINDS,
    networks,
    pretrainings,
    scores,
    status,
    status_words,
    summaries,
)
from analysis.searches import searches
from analysis.selections import best_alone, selections
from analysis.sweeps import sweeps, under_their_arms
from analysis.tradeoffs import tradeoffs
from analysis.words import NOTHING

# How a line of a claim begins that starts a paragraph: a command, or `Cost:`.
OPENING = re.compile(r"autoreid |\w+:(\s|$)")

# Lines of a figure: of more, none can be followed.
LINES = 120

CURVES = {
    "search": {
        "loss": "training loss",
        "accuracy": "training accuracy",
        "validation_accuracy": "validation accuracy",
        "alpha_entropy": "alpha entropy, nats",
    },
    "pretrain": {"loss": "training loss", "accuracy": "training accuracy"},
    "train": {"loss": "training loss", "accuracy": "training accuracy"},
}

VERSIONS = {
    "engine_revision": "engine revision",
    "code_version": "autoreid",
    "torch_version": "torch",
    "python_version": "Python",
    "device": "device",
    "threads": "CPU threads",
}


def _drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """The epochs of as many jobs as a figure can show: the first repeats of every arm come first."""
    jobs = rows[["arm", "repeat", "job"]].drop_duplicates(["arm", "job"])
    if len(jobs) <= LINES:
        return rows
    first = jobs.sort_values("repeat", kind="stable").head(LINES)
    return rows.merge(first[["arm", "job"]], on=["arm", "job"])


def _pictures(records: Records, kind: str, prefix: str, looks: dict[str, Look]) -> list[Picture]:
    rows = records.epochs[records.epochs["kind"] == kind]
    if kind == "search" and several(records):  # of those that train on several sets the first has the line
        rows = rows.drop_duplicates(["job", "epoch"])
    drawn = _drawn(rows)
    count, all_jobs = (found.groupby(["arm", "job"]).ngroups for found in (drawn, rows))
    lines = words.counted(count, "job") + (f" of {all_jobs:,}" if count < all_jobs else "")
    pictures = []
    for column, label in CURVES[kind].items():
        if rows[column].notna().any():
            name = f"{prefix}--{kind}-{column.replace('_', '-')}"
            title = f"{kind.capitalize()}: {label}"
            caption = f"{title}; {lines}, {words.counted(rows['epoch'].max(), 'epoch')}."
            draw = partial(learning_curves, drawn, column, title, looks, name)
            pictures.append(Picture(name, caption, draw, curve_data(rows, column)))
    return pictures


def curves(records: Records, prefix: str) -> Section | None:
    """Learning curves of the searches, pretrainings and trainings."""
    looks = arm_colours(records.arms)
    pictures = [picture for kind in CURVES for picture in _pictures(records, kind, prefix, looks)]
    if not pictures:
        return None
    intro = "A line is one repeat, its colour the arm. Unfinished jobs show the epochs that they reached."
    return Section("Learning curves", intro, pictures=tuple(pictures))


def _held(values: Iterable[Any]) -> str:
    """The different values in words, without the empty ones."""
    return ", ".join(sorted({str(value) for value in values if not pd.isna(value)})) or NOTHING


def _data(data: object) -> str:
    """A data set in words: `rendered (40 identities, 4 cameras)`; its folder is the reader's own affair."""
    if not isinstance(data, Mapping):
        return NOTHING
    counts = (f"{data[name]} {name}" for name in ("identities", "cameras") if name in data)
    text = ", ".join(counts)
    return f"{data.get('set', NOTHING)} ({text})" if text else str(data.get("set", NOTHING))


def _seed_grid(records: Records) -> Grid:
    rows = []
    pretrains = ("pretrain",) if records.arms_with("pretrain") else ()
    kinds = [kind for kind in KINDS if kind in ("search", "train") or records.arms_with(kind)]
    jobs_of: dict[tuple[str, int], list[dict[Hashable, Any]]] = {}
    for job in records.by_arm(records.trials).to_dict("records"):
        jobs_of.setdefault((job["arm"], job["repeat"]), []).append(job)
    for (arm, repeat), found in jobs_of.items():
        trained = [job for job in found if job["kind"] != "pretrain"]
        others = (job["seed_train"] for job in found if job["kind"] == "pretrain")
        seeds = [_held(job[name] for job in trained) for name in ("seed_split", "seed_search", "seed_train")]
        seeds += [_held(others)] * len(pretrains)
        by_kind = ([job["job"] for job in found if job["kind"] == kind] for kind in kinds)
        ids = (", ".join(name[: words.SHORT] for name in names) or NOTHING for names in by_kind)
        rows.append((arm, words.numbers([repeat]), *seeds, *ids))
    jobs = (f"{kind} job" for kind in kinds)
    headings = ("arm", "repeat", "split", "search", "train", *pretrains, *jobs)
    aligned = f"lrrrr{'r' * len(pretrains)}{'l' * len(kinds)}"
    return Grid("Seeds and jobs", headings, aligned, tuple(rows), folded=True)


def _file(records: Records) -> str:
    return shlex.quote(f"{records.name}.yaml")


def _seen(records: Records) -> pd.Series:
    """The fingerprints of the data of all jobs that read any."""
    return records.trials["data_fingerprint"][records.trials["kind"] != "latency"]


def _settings(records: Records) -> str:
    """What the command line laid over the file, as it was typed."""
    given = records.facts.get("settings")
    settings = given if isinstance(given, list) else []
    return "".join(f" --set {shlex.quote(str(setting))}" for setting in settings)


def reproduce(records: Records) -> Section:
    """Everything that is needed to get the same figures again."""
    recipes = records.trials.groupby(["arm", "kind"], sort=False)["recipe"]
    recipe_rows = tuple((*map(str, key), ", ".join(dict.fromkeys(found))) for key, found in recipes)
    versions = tuple((label, _held(records.done[column])) for column, label in VERSIONS.items())
    fingerprints = (("data fingerprint", _held(_seen(records))),)
    text = records.facts.get("file")
    run = f"autoreid campaign run {_file(records)} --storage DIR{_settings(records)}"
    codes = [Code("Commands", f"{run}\nautoreid report DIR")]
    if isinstance(text, str) and text.strip():
        codes.append(Code(_file(records), text.rstrip("\n"), folded=True))
    return Section(
        "How to reproduce",
        f"Save the campaign file as {_file(records)} and run it; a job that is done does not run again.",
        codes=tuple(codes),
        grids=(
            Grid("Versions and data", ("what", "value"), "lw", versions + fingerprints),
            Grid("Recipes", ("arm", "kind", "digest"), "llw", recipe_rows),
            _seed_grid(records),
        ),
    )


def _facts(records: Records) -> tuple[tuple[str, str], ...]:
    facts = [("Jobs", status_words(records))]
    found = summaries(records.retrains, records.arms, "mAP")
    if found and not several(records):  # scores on different data have no best
        best = max(found, key=lambda arm: found[arm].mean)
        label = "Highest mean mAP" if len(found) > 1 else "Mean mAP"
        times = words.counted(found[best].n, "repeat")
        if best_alone(records.trials, best):
            times = (
                f"{words.counted(found[best].n, 'training')} of the best of {records.planned(best, 'search')}"
            )
        spread = f"{words.spread(found[best])} % ({times})"
        facts.append((label, f"{best}: {spread}"))
    classified = lowest(records)
    facts += [classified] if classified else []
    facts += _data_facts(records)
    facts.append(("Job time, summed", words.duration(total_seconds(records))))
    return tuple(facts)


def _data_facts(records: Records) -> list[tuple[str, str]]:
    """The data sets with the beginnings of their fingerprints, each with its name where there are several."""
    named = part(records.facts, "data_sets") or {"": records.facts.get("data")}
    trials = records.trials[~records.trials["kind"].isin(OTHER_IMAGES)]
    given = [
        (
            f"Data: {name}" if len(named) > 1 else "Data",
            data,
            trials[trials["data_set"].eq(name) | (not name)],
        )
        for name, data in named.items()
    ]
    pretrains = records.trials[records.trials["kind"] == "pretrain"]
    given += [("Pretrained on", records.facts.get("classes"), pretrains)]
    return [
        (label, f"{_data(data)}, fingerprint {_held(rows['data_fingerprint'])[: words.SHORT]}")
        for label, data, rows in given
        if not rows.empty
    ]


def paragraphs(claim: object) -> tuple[str, ...]:
    """The paragraphs of a claim, whose lines were broken for the width of its file.

    A paragraph ends at an empty line, and before a line that is a command or begins with a word and a colon.

    >>> paragraphs("One claim,\\ntwo lines.\\n\\nautoreid demo\\nCost: nothing\\nat all.")
    ('One claim, two lines.', 'autoreid demo', 'Cost: nothing at all.')
    """
    found: list[list[str]] = [[]]
    for line in claim.splitlines() if isinstance(claim, str) else ():
        if not line.strip() or OPENING.match(line.strip()):
            found.append([])
        found[-1] += line.split()
    return tuple(" ".join(parts) for parts in found if parts)


def page(
    records: Records, prefix: str, papers: Sequence[PaperTable] = (), background: Behind | None = None
) -> Page:
    """The page of one campaign, beside tables of papers if asked. Names of figures begin with `prefix`.

    `background` is what lies behind the figures of the campaign's evaluations, where a storage is at hand.
    """
    records = under_their_arms(records)
    sections = (
        verdicts(records),
        scores(records, prefix),
        classifications(records),
        evaluations(records),
        comparison_section(records),
        selections(records),
        sweeps(records),
        *(paper(records, table) for table in papers),
        cautions(records),
        differences(records),
        status(records),
        searches(records),
        genotypes(records, prefix),
        health(records),
        networks(records),
        pretrainings(records),
        curves(records, prefix),
        *(behind(background, prefix) if background else ()),
        latencies(records),
        tradeoffs(records, prefix),
        cost(records),
        checklist(records),
        reproduce(records),
    )
    kept = tuple(section for section in sections if section is not None)
    return Page(records.name, paragraphs(records.facts.get("claim")), _facts(records), kept)
