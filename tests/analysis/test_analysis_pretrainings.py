"""Pretrainings in tables and reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_storage import FINGERPRINT, FakeCampaign, facts, genotype
from report_pages import grid, made, section

from analysis.cautions import GIVEN, ONE_PRETRAINING
from analysis.tables import read
from autoreid.attempts import Outcome
from autoreid.jobs import pretrain_job, train_job
from autoreid.pretrain_recipes import CDNET_PRETRAIN
from autoreid.published import CDNET_TRAIN

CLASSES = "cd" * 32
NETWORK = genotype(3)
RESULT: dict[str, Any] = {
    "evaluation": {"top_1": 0.712, "top_5": 0.905, "images": 50_000},
    "classes": 1000,
    "complexity": {
        "params": {"backbone": 1_747_448, "inference": 1_747_448, "training": 2_524_000},
        "multiply_adds": {"backbone": 948_771_840, "inference": 948_771_840},
        "feature_dim": 512,
    },
    "genotype": NETWORK.plain(),
    "genotype_digest": NETWORK.digest,
    "network": str(NETWORK),
    "train_seconds": 3600.0,
    "evaluation_seconds": 30.0,
}


def planned(root: Path) -> FakeCampaign:
    """One pretraining and the two trainings that begin with it, beside an arm from scratch."""
    campaign = FakeCampaign(root, "pre", {}, repeats=2)
    campaign.arms = {"scratch": 0, "pretrained": 0}
    before = pretrain_job(CDNET_PRETRAIN, CLASSES, NETWORK, train_seed=7)
    campaign.jobs["pretrained", 0, "pretrain"] = before
    campaign.jobs["alone", 0, "pretrain"] = before
    for repeat in range(2):
        for arm, pretraining in (("scratch", None), ("pretrained", before.id)):
            campaign.jobs[arm, repeat, "train"] = train_job(
                CDNET_TRAIN, FINGERPRINT, NETWORK, train_seed=repeat, pretraining=pretraining
            )
    campaign.write_manifest(
        classes={"set": "imagefolder", "root": "/data/imagenet"}, classes_fingerprint=CLASSES
    )
    return campaign


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pretrained")
    campaign = planned(root)
    attempt = campaign.attempt("pretrained", 0, "pretrain", 5)
    attempt.finish(Outcome("done", result=RESULT, facts=facts(3630.0, 5)))
    for arm in campaign.arms:
        for repeat in range(2):
            campaign.finish(arm, repeat, "train")
    return root


def test_a_pretraining_has_a_row_of_its_own(finished: Path) -> None:
    page = made(finished)
    row, shared = read(finished, "pretrains", "pre").to_dict("records")
    assert (shared["arm"], shared["job"]) == ("alone", row["job"])
    assert (row["arm"], row["top_1"], row["top_5"], row["images"]) == ("pretrained", 0.712, 0.905, 50_000)
    assert (row["genotype"], row["classes"], row["params_training"]) == (NETWORK.digest, 1000, 2_524_000)
    trained = read(finished, "retrains", "pre").set_index(["arm", "repeat"])["pretraining"]
    assert trained["scratch"].isna().all() and set(trained["pretrained"]) == {row["job"]}
    trials = read(finished, "trials", "pre").set_index("kind")
    assert set(trials.loc["pretrain", "data_set"]) == {"imagefolder"}
    assert set(trials.loc["pretrain", "data_fingerprint"]) == {CLASSES}
    assert len(read(finished, "epochs", "pre").query("kind == 'pretrain' and arm == 'pretrained'")) == 5
    shown, _ = grid(page, "Pretraining", "Accuracy").rows
    assert shown[:2] == ("pretrained", "1") and shown[3:] == ("71.2", "90.5", "50,000", "1,000", "1.747 M")
    assert dict(page.facts)["Pretrained on"] == f"imagefolder, fingerprint {CLASSES[:12]}"
    assert dict(page.facts)["Data"].endswith(FINGERPRINT[:12])


def test_other_data_is_no_mixture_and_the_spread_is_told(finished: Path) -> None:
    points = section(made(finished), "Read with care").points
    assert not [point for point in points if "mix data fingerprints" in point]
    assert any(f" pretrained: {ONE_PRETRAINING}" in point for point in points)
    assert any(f"; alone: {GIVEN}" in point for point in points)
    assert any("these scores say nothing about photographs" in point for point in points)


def test_the_seed_of_a_pretraining_stands_apart(finished: Path) -> None:
    seeds = grid(made(finished), "How to reproduce", "Seeds")
    assert seeds.headings[4:6] == ("train", "pretrain")
    rows = {row[:2]: row[4:6] for row in seeds.rows}
    assert rows["pretrained", "1"] == ("0", "7") and rows["alone", "1"] == ("-", "7")
    assert rows["scratch", "2"] == ("1", "-")


def test_a_failed_pretraining_skips_its_trainings(tmp_path: Path) -> None:
    planned(tmp_path).fail("pretrained", 0, "pretrain", "top-1 is nan")
    made(tmp_path)
    trials = read(tmp_path, "trials", "pre").query("arm == 'pretrained' and kind == 'train'")
    assert set(trials["status"]) == {"skipped"} and trials["error"].str.contains("top-1 is nan").all()
    assert read(tmp_path, "pretrains", "pre").empty
