"""Random arms in tables and reports, and what is said where they are missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from fake_storage import FINGERPRINT, FakeCampaign, facts, genotype
from report_pages import grid, made, section

from analysis.collect import collect
from analysis.pages import Page
from analysis.random_arms import NO_RANDOM_ARM
from analysis.tables import read
from autoreid.attempts import Outcome
from autoreid.jobs import random_search_job, train_job
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import Budget, RandomSearchRecipe

SEARCH = dataclasses.replace(CDNET_SEARCH, k=2, epochs=6)
TRAIN = dataclasses.replace(CDNET_TRAIN, epochs=8, height=128, width=64)
REPEATS = 2


def planned(root: Path, *, budget: Budget | None = None, sampling: bool = True) -> FakeCampaign:
    """An arm that searches `cds-v1`, beside random arms and one of a given network."""
    campaign = FakeCampaign(root, "random", {"searched": 2}, repeats=REPEATS)
    recipe = RandomSearchRecipe("cds-v1", samples=3, budget=budget or Budget.of(SEARCH), train=TRAIN)
    for repeat in range(REPEATS):
        job = random_search_job(recipe, FINGERPRINT, split_seed=repeat, search_seed=10 + repeat)
        campaign.jobs["found", repeat, "random-search"] = job
        networks: dict[str, Any] = {"found": job.id, "given": genotype(9)}
        networks |= {"sampled": genotype(4 + repeat)} if sampling else {}
        for arm, network in networks.items():
            training = train_job(TRAIN, FINGERPRINT, network, train_seed=20 + repeat)
            campaign.jobs[arm, repeat, "train"] = training
    return campaign


def manifest_of(campaign: FakeCampaign) -> dict[str, Any]:
    manifest = campaign.manifest()
    for entry in manifest["entries"]:
        if entry["arm"] == "sampled":
            entry["sampled"] = 10 + entry["repeat"]
    return manifest


def written(campaign: FakeCampaign) -> None:
    campaign.storage.write_manifest("random", manifest_of(campaign))


def finish_all(campaign: FakeCampaign) -> None:
    for arm, repeat, kind in campaign.jobs:
        if kind == "random-search":
            result = {
                "genotype": genotype(7 + repeat).plain(),
                "genotype_digest": genotype(7 + repeat).digest,
                "validation_mAP": 0.2,
                "images_seen": 5000,
                "budget_images": 5120,
                "search_seconds": 20.0,
                "milliseconds_per_image": 4.0,
            }
            attempt = campaign.attempt(arm, repeat, kind, 4)
            attempt.finish(Outcome("done", result=result, facts=facts(30.0, 4)))
        elif arm in ("sampled", "given"):
            network = campaign.jobs[arm, repeat, kind].genotype
            assert network is not None
            assert not isinstance(network, str)
            campaign.finish(arm, repeat, kind, genotype=network.plain(), genotype_digest=network.digest)
        else:
            campaign.finish(arm, repeat, kind)


def points(page: Page) -> tuple[str, ...]:
    return section(page, "Read with care").points


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("random")
    campaign = planned(root)
    finish_all(campaign)
    written(campaign)
    return root


def test_the_tables_say_how_every_genotype_was_found(finished: Path) -> None:
    assert collect(finished).warnings == ()
    genotypes = read(finished, "genotypes")
    rows = {(row["arm"], row["repeat"]): row for row in genotypes.to_dict("records")}
    assert {arm: rows[arm, 0]["found_by"] for arm in ("searched", "sampled", "found", "given")} == {
        "searched": "search",
        "sampled": "random-sampling",
        "found": "random-search",
        "given": "given",
    }
    assert len(rows) == 4 * REPEATS
    assert rows["sampled", 1]["genotype"] == genotype(5).digest
    assert [rows[arm, 1]["seed_search"] for arm in ("searched", "sampled", "found")] == [11, 11, 11]
    assert (rows["found", 0]["images_seen"], rows["found", 0]["budget_images"]) == (5000, 5120)
    assert rows["found", 0]["validation_mAP"] == 0.2
    trials = read(finished, "trials")
    trainings = trials[(trials["kind"] == "train") & (trials["repeat"] == 0)]
    assert dict(zip(trainings["arm"], trainings["found_by"], strict=True)) == {
        arm: rows[arm, 0]["found_by"] for arm in ("searched", "sampled", "found", "given")
    }
    retrains = read(finished, "retrains")
    found = retrains[retrains["arm"] == "found"].iloc[0]
    assert found["search_job"] == rows["found", 0]["job"]
    assert set(read(finished, "epochs")["kind"]) == {"search", "train"}


def test_the_report_shows_them_and_misses_none(finished: Path) -> None:
    page = made(finished)
    said = points(page)
    assert NO_RANDOM_ARM not in said
    assert not any("of cds-v1" in point for point in said)
    assert any("sampled: a repeat is a training of an architecture of its own" in point for point in said)
    assert any("found: a repeat is a random search and a training" in point for point in said)
    rows = grid(page, "Search", "Searches").rows
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("searched", "2 of 2", "15,360"),
        ("found", "2 of 2", "5,000 of 5,120"),
    ]
    how = {row[0]: row[2] for row in grid(page, "Genotypes", "Genotypes found").rows}
    assert how == {"searched": "search", "sampled": "random-sampling", "found": "random-search"}
    assert ("random searches", "2", "0", "0", "0", "0") in grid(page, "Status", "Jobs by status").rows


def test_a_space_without_one_of_its_random_arms_is_named(tmp_path: Path) -> None:
    written(planned(tmp_path, sampling=False))
    (found,) = [point for point in points(made(tmp_path)) if "cds-v1" in point]
    assert found.startswith("Of cds-v1 no arm trains architectures that are drawn from it: how much of the ")
    assert "results of searched is owed" in found


def test_a_random_search_of_another_budget_is_named(tmp_path: Path) -> None:
    written(planned(tmp_path, budget=dataclasses.replace(Budget.of(SEARCH), epochs=3)))
    (found,) = [point for point in points(made(tmp_path)) if "cds-v1" in point]
    assert found.startswith("Of cds-v1 its random search has another budget than the search: ")


def test_random_arms_of_another_space_do_not_count(tmp_path: Path) -> None:
    campaign = planned(tmp_path)
    manifest = manifest_of(campaign)
    for repeat in range(REPEATS):
        manifest["jobs"][campaign.jobs["searched", repeat, "search"].id]["recipe"]["space"] = "cs-v1"
    campaign.storage.write_manifest("random", manifest)
    found = [point for point in points(made(tmp_path)) if point.startswith("Of ")]
    assert [point.split(":")[0] for point in found] == [
        "Of cs-v1 no arm trains architectures that are drawn from it",
        "Of cs-v1 no random search has its budget",
    ]
