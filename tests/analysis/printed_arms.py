"""Campaigns that repeat a paper's table, and the section that a report has of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fake_storage import FakeCampaign

from analysis.collect import collect
from analysis.pages import Grid, Records, Section
from analysis.paper_report import paper
from analysis.paper_tables import table
from search_spaces.published import PUBLISHED

MARKET = {"set": "market1501", "root": "/data"}
FOUND = (0.80, 0.83, 0.81, 0.84)


def put(recipe: dict[str, Any], path: str, text: str) -> None:
    """Write a setting of a table into a recipe, as the type that is there."""
    *parents, name = path.split(".")
    for parent in parents:
        recipe = recipe[parent]
    before = recipe[name]
    if isinstance(before, (list, tuple)):
        recipe[name] = [int(part) for part in text.split(",")]
    else:
        recipe[name] = text if isinstance(before, str) or not text.replace(".", "").isdigit() else float(text)


def faithful(campaign: FakeCampaign, name: str, **changes: Any) -> dict[str, Any]:
    """The manifest with data and recipes as the table prints them, for arms that it has."""
    manifest = json.loads(json.dumps(campaign.manifest(data=MARKET, **changes)))
    rows = {arm: row for row in table(name).rows for arm in row.arms}
    for entry in manifest["entries"]:
        row = rows.get(entry["arm"])
        recipe = manifest["jobs"][entry["job"]]["recipe"]
        if row is None or entry["kind"] not in ("search", "train"):
            continue
        if entry["kind"] == "train":
            recipe |= {"height": row.height, "width": row.width}
        for path, text in row.settings.items():
            kind, _, inner = path.partition(".")
            if kind == entry["kind"]:
                put(recipe, inner, text)
    return manifest


def evaluation(mean_precision: float, queries: int = 3368) -> dict[str, Any]:
    scores = dict.fromkeys(("rank_1", "rank_5", "rank_10"), mean_precision + 0.1)
    protocol = {"average_precision": "mean-precision", "single_query": True}
    return {"mAP": mean_precision, **scores, "mINP": 0.1, "queries": queries, "protocol": protocol}


def finish(campaign: FakeCampaign, arm: str, scores: tuple[float, ...] = FOUND, **changes: Any) -> None:
    for repeat, score in enumerate(scores):
        campaign.finish(arm, repeat, "search")
        campaign.finish(arm, repeat, "train", evaluation=evaluation(score, **changes))


def section(root: Path, campaign: FakeCampaign, manifest: dict[str, Any], name: str) -> Section:
    campaign.storage.write_manifest(campaign.name, manifest)
    collect(root)
    return paper(Records.read(root, campaign.name), table(name))


def grid(found: Section, part: str) -> Grid:
    (result,) = [one for one in found.grids if one.title.startswith(part)]
    return result


def line(found: Section, part: str, place: int = 0) -> dict[str, str]:
    one = grid(found, part)
    return dict(zip(one.headings, one.rows[place], strict=True))


def given(campaign: FakeCampaign, arm: str, network: str, **results: Any) -> dict[str, Any]:
    """The manifest where an arm trains a published network as it is given; its trainings are done."""
    manifest = json.loads(json.dumps(campaign.manifest(data=MARKET)))
    genotype = PUBLISHED[network]
    manifest["entries"] = [
        entry for entry in manifest["entries"] if (entry["arm"], entry["kind"]) != (arm, "search")
    ]
    for repeat in range(campaign.repeats):
        job = manifest["jobs"][campaign.jobs[arm, repeat, "train"].id]
        job["inputs"] = {"genotype": genotype.plain()}
        job["recipe"] |= {"height": 256, "width": 128}
        found = {"genotype": genotype.plain(), "genotype_digest": genotype.digest, **results}
        campaign.finish(arm, repeat, "train", evaluation=evaluation(FOUND[repeat]), **found)
    return manifest
