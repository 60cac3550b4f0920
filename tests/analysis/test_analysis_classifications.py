"""Classifiers in reports: errors by arm, and beside what papers print of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_storage import FakeCampaign, facts
from report_pages import grid, made, section, written

from analysis.cautions import GIVEN
from analysis.pages import Page, Records
from analysis.paper_report import paper
from analysis.paper_tables import table
from analysis.tables import read
from autoreid.attempts import Outcome
from autoreid.jobs import pretrain_job
from autoreid.pretrain_recipes import CIFAR100_PRETRAIN
from autoreid.values import override
from search_spaces.published import PUBLISHED

CLASSES = "cd" * 32
ARMS = {
    "CDNet": ("cdnet-top2", "fblneck", (0.820, 0.826, 0.822, 0.824)),
    "OSNet": ("osnet", "fc", (0.808, 0.806)),
    "GDAS cells": ("gdas-v1-net", "fblneck", ()),
}


def result(network: str, top_1: float) -> dict[str, Any]:
    genotype = PUBLISHED[network]
    return {
        "evaluation": {"top_1": top_1, "top_5": top_1 + 0.1, "images": 10_000},
        "classes": 100,
        "complexity": {
            "params": {"backbone": 1_739_768, "inference": 1_788_920, "training": 2_287_808},
            "multiply_adds": {"backbone": 437_664_768, "inference": 440_810_496},
            "feature_dim": 768,
        },
        "genotype": genotype.plain(),
        "genotype_digest": genotype.digest,
        "network": str(genotype),
        "train_seconds": 3600.0,
        "evaluation_seconds": 30.0,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four repeats of three arms, of which six jobs are done."""
    root = tmp_path_factory.mktemp("classified")
    campaign = FakeCampaign(root, "classes", {}, repeats=4)
    campaign.arms = dict.fromkeys(ARMS, 0)
    for arm, (network, neck, _) in ARMS.items():
        recipe = override(CIFAR100_PRETRAIN, {"neck.name": neck})
        for repeat in range(4):
            job = pretrain_job(recipe, CLASSES, PUBLISHED[network], train_seed=repeat)
            campaign.jobs[arm, repeat, "pretrain"] = job
    campaign.write_manifest(
        data=None,
        data_fingerprint=None,
        classes={"set": "cifar100", "root": "/data/cifar"},
        classes_fingerprint=CLASSES,
    )
    for arm, (network, _, scores) in ARMS.items():
        for repeat, score in enumerate(scores):
            attempt = campaign.attempt(arm, repeat, "pretrain", 3)
            attempt.finish(Outcome("done", result=result(network, score), facts=facts(3630.0, 3)))
    return root


@pytest.fixture(scope="module")
def page(finished: Path) -> Page:
    return made(finished)


def test_the_errors_of_every_arm_have_mean_and_spread(page: Page) -> None:
    found = grid(page, "Classification", "Classification error")
    rows = {row[0]: dict(zip(found.headings, row, strict=True)) for row in found.rows}
    cdnet = rows["CDNet"]
    # 18.0, 17.4, 17.8 and 17.6: mean 17.7, sd 0.258, half an interval 3.182 * 0.258 / 2.
    assert cdnet["top-1 error, mean ± sd"] == "17.70 ± 0.26"
    assert (cdnet["done"], cdnet["planned"], cdnet["parameters"]) == ("4", "4", "2.288 M")
    assert cdnet["top-5 error, mean ± sd"] == "7.70 ± 0.26"
    assert found.rows[0][4] == "17.29 to 18.11"
    assert rows["OSNet"]["top-1 error, mean ± sd"] == "19.30 ± 0.14"
    assert rows["GDAS cells"]["done"] == "0" and set(rows["GDAS cells"].values()) == {
        "GDAS cells",
        "0",
        "4",
        "-",
    }
    assert dict(page.facts)["Lowest mean top-1 error"] == "CDNet: 17.70 ± 0.26 % (4 repeats)"
    assert "Data" not in dict(page.facts)
    assert dict(page.facts)["Pretrained on"].startswith("cifar100, ")


def test_what_arms_differ_in_is_told(page: Page) -> None:
    rows = grid(page, "Arms", "Fields that differ").rows
    assert ("pretrain.neck.name", "fc", "OSNet") in rows
    assert ("pretrain.neck.name", "fblneck", "CDNet; GDAS cells") in rows
    assert section(page, "Results").intro == "This campaign trains no network for re-identification."


def test_what_limits_the_figures_is_told(page: Page) -> None:
    points = section(page, "Read with care").points
    missing = "(CDNet: 4 of 4; OSNet: 2 of 4; GDAS cells: 0 of 4)"
    assert points[0] == f"Repeats are missing {missing}: means may move when they arrive."
    assert any("95% t-intervals over 2 to 4 repeats" in point for point in points)
    assert f"CDNet; OSNet; GDAS cells: {GIVEN}" in points


def test_errors_stand_beside_the_printed_ones(finished: Path, page: Page) -> None:
    found = paper(Records.read(finished, "classes"), table("cdnet/table4"))
    (errors,) = (one for one in found.grids if one.title.startswith("error"))
    rows = [dict(zip(errors.headings, row, strict=True)) for row in errors.rows]
    osnet, cdnet = rows
    assert (cdnet["printed"], cdnet["ours, mean ± sd"], cdnet["difference"]) == (
        "17.83",
        "17.70 ± 0.26",
        "-0.13",
    )
    assert (osnet["printed"], osnet["difference"], cdnet["print lies"]) == ("19.21", "+0.09", "inside")
    assert "Arms without a printed row: GDAS cells." in found.points
    (parameters,) = (one for one in found.grids if one.title.startswith("parameters"))
    assert parameters.rows[1][2] == "2.3"


def test_a_whole_report_is_written_without_data_of_people(finished: Path, page: Page) -> None:
    names = {path.name for path in written(finished)}
    assert "report.html" in names and "report.md" in names
    assert read(finished, "retrains", "classes").empty
    assert section(page, "Pretraining").intro.startswith("Networks that learned to classify")
