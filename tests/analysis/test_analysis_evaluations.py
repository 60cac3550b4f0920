"""Evaluations of their own: in the tables, beside the trainings that they belong to, and in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from evaluated_jobs import EvaluatedCampaign
from fake_storage import FINGERPRINT, REPEATS, FakeCampaign, facts, genotype, train_result
from report_pages import grid, made, section

from analysis import tables
from analysis.collect import collect
from analysis.costing import arm_costs
from analysis.pages import Records
from autoreid.attempts import Outcome
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.folders import LocalFolder
from autoreid.jobs import evaluate_job

RERANKING = {"k1": 20, "k2": 6, "lambda": 0.3, "flavour": "squared-euclidean"}
FIRST, SECOND = "top-2", "softmax, k=all"


def evaluated(root: Path, done: dict[str, int], recipe: EvaluateRecipe) -> FakeCampaign:
    """Two arms that are trained; so many evaluations of each are done, the others wait."""
    campaign = FakeCampaign(root)
    for arm in (FIRST, SECOND):
        for repeat in range(REPEATS):
            campaign.finish(arm, repeat, "search")
            campaign.finish(arm, repeat, "train")
            training = campaign.jobs[arm, repeat, "train"]
            job = campaign.jobs[arm, repeat, "evaluate"] = evaluate_job(recipe, FINGERPRINT, training.id)
            if repeat < done[arm]:
                folder = campaign.storage.job(job.id)
                folder.describe(job.plain())
                attempt = folder.new_attempt()
                attempt.write_records([{"epoch": 1, "wall_seconds": 3.0}])
                attempt.finish(Outcome("done", result=result(repeat, recipe), facts=facts(5.0, 1)))
    campaign.write_manifest()
    return campaign


def result(repeat: int, recipe: EvaluateRecipe) -> dict[str, Any]:
    protocol = {"normalised": recipe.normalised, "average_precision": recipe.average_precision, "flip": False}
    plain = train_result(repeat, 0.4 + repeat / 100)["evaluation"] | {"protocol": protocol}
    better = plain | {
        "mAP": 0.6 + repeat / 100,
        "rank_1": 0.7,
        "protocol": protocol | {"reranking": RERANKING},
    }
    return {
        "evaluation": plain | ({"reranked": better} if recipe.rerank else {}),
        "genotype_digest": genotype(repeat).digest,
        "evaluation_seconds": 3.0,
    }


def test_reranked_figures_stand_beside_those_of_their_training(tmp_path: Path) -> None:
    evaluated(tmp_path, {FIRST: 3, SECOND: 0}, EvaluateRecipe(rerank=True))
    assert collect(tmp_path).warnings == ()
    rows = tables.read(tmp_path, "retrains").set_index(["arm", "repeat"])
    found = rows.loc[FIRST]
    assert found["reranked_mAP"].tolist()[:3] == pytest.approx([0.6, 0.61, 0.62])
    assert found["reranked_rank_1"].tolist()[:3] == pytest.approx([0.7] * 3)
    assert json.loads(found["reranked_protocol"].iloc[0])["reranking"] == RERANKING
    assert rows["reranked_mAP"].notna().sum() == 3
    # The training's own figures are as they were.
    assert found["mAP"].tolist() == pytest.approx([0.36, 0.39, 0.37, 0.40])


def test_every_evaluation_is_a_row_for_each_ranking(tmp_path: Path) -> None:
    campaign = evaluated(tmp_path, {FIRST: 2, SECOND: 1}, EvaluateRecipe(rerank=True))
    collect(tmp_path)
    rows = tables.read(tmp_path, "evaluations")
    found = rows[rows["stage"] == "evaluated"]
    assert found["reranked"].tolist() == [False, True] * 3
    assert found["split"].unique().tolist() == ["test"]
    search = campaign.jobs[FIRST, 1, "search"].id
    assert found[(found["arm"] == FIRST) & (found["repeat"] == 1)]["search_job"].tolist() == [search] * 2
    assert found["genotype"].iloc[0] == genotype(0).digest
    trials = tables.read(tmp_path, "trials")
    assert trials[trials["kind"] == "evaluate"]["status"].value_counts().to_dict() == {
        "done": 3,
        "waiting": 5,
    }


def test_the_files_of_an_evaluation_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = EvaluatedCampaign(tmp_path)
    campaign.evaluate("top-2", 1, {"pictures-ranked.png": b"people"})
    kinds = ("search", "train", "evaluate")  # a plan has them in this order, repeat by repeat
    order = sorted(campaign.jobs, key=lambda key: (key[1], key[0], kinds.index(key[2])))
    campaign.jobs = {key: campaign.jobs[key] for key in order}
    campaign.write_manifest()
    read: list[str] = []
    plain = LocalFolder.read
    monkeypatch.setattr(LocalFolder, "read", lambda self, name: read.append(name) or plain(self, name))
    collect(tmp_path)
    assert read.count("pictures-ranked.png") == 1
    assert tables.read(tmp_path, "evaluations")["stage"].tolist().count("evaluated") == 1


def test_its_time_is_that_of_an_evaluation(tmp_path: Path) -> None:
    evaluated(tmp_path, {FIRST: 1, SECOND: 0}, EvaluateRecipe())
    collect(tmp_path)
    costs = tables.read(tmp_path, "costs")
    found = costs[costs["kind"] == "evaluate"].set_index("phase")["seconds"].to_dict()
    assert found == {"evaluation": 3.0, "other": 2.0}


def test_all_of_it_is_charged_as_evaluation(tmp_path: Path) -> None:
    evaluated(tmp_path, {FIRST: 1, SECOND: 0}, EvaluateRecipe())
    collect(tmp_path)
    found = arm_costs(Records.read(tmp_path, "two-arms"))
    assert found[FIRST].seconds["evaluation"] - found[SECOND].seconds["evaluation"] == pytest.approx(5.0)
    assert found[FIRST].seconds["training"] == pytest.approx(found[SECOND].seconds["training"])


def test_the_report_has_a_table_for_each_protocol(tmp_path: Path) -> None:
    evaluated(tmp_path, {FIRST: 4, SECOND: 2}, EvaluateRecipe(rerank=True, average_precision="trapezoid"))
    page = made(tmp_path)
    titles = [found.title for found in section(page, "Other evaluations").grids]
    assert titles == [
        "Re-ranked, AP by trapezoids, mean ± sd, %",
        "Not re-ranked, AP by trapezoids, mean ± sd, %",
    ]
    found = grid(page, "Other evaluations", "Re-ranked")
    assert [row[:3] for row in found.rows] == [
        (FIRST, "4 of 4", "61.5 ± 1.3"),
        (SECOND, "2 of 4", "60.5 ± 0.7"),
    ]
    assert found.note == "k-reciprocal re-ranking: k1 20, k2 6, lambda 0.3, on squared Euclidean distances."


def test_without_evaluations_there_is_no_section(tmp_path: Path) -> None:
    evaluated(tmp_path, {FIRST: 0, SECOND: 0}, EvaluateRecipe(rerank=True))
    assert "Other evaluations" not in [found.title for found in made(tmp_path).sections]


def test_a_skipped_training_skips_its_evaluation(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, arms={"a": 2}, repeats=1)
    campaign.fail("a", 0, "search", "out of memory")
    training = campaign.jobs["a", 0, "train"]
    campaign.jobs["a", 0, "evaluate"] = evaluate_job(EvaluateRecipe(), FINGERPRINT, training.id)
    campaign.write_manifest()
    collect(tmp_path)
    trials = tables.read(tmp_path, "trials").set_index("kind")
    assert trials["status"].to_dict() == {"search": "failed", "train": "skipped", "evaluate": "skipped"}


def test_older_protocols_are_completed(tmp_path: Path) -> None:
    evaluated(tmp_path, {FIRST: 0, SECOND: 0}, EvaluateRecipe())
    collect(tmp_path)
    retrains: pd.DataFrame = tables.read(tmp_path, "retrains")
    assert all(json.loads(text)["flip"] is False for text in retrains["protocol"])
