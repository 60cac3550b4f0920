"""The checklist: each point is judged by the records, and turns with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from fake_storage import FINGERPRINT, FakeCampaign, genotype
from report_pages import made, section

from analysis.checklist import PRACTICES, VERDICTS, checklist, judged
from analysis.collect import collect
from analysis.pages import Records
from analysis.practices import ABSENT, MET, MISSED, UNKNOWN
from autoreid.jobs import random_search_job, train_job
from autoreid.recipes import Budget, RandomSearchRecipe, SelectRecipe

REPEATS = 3


def verdicts(records: Records) -> dict[str, str]:
    return {practice.judge.__name__: finding.verdict for practice, finding in judged(records)}


def why(records: Records, point: str) -> str:
    (found,) = [f.why for practice, f in judged(records) if practice.judge.__name__ == point]
    return found


def read(root: Path, name: str = "two") -> Records:
    collect(root)
    return Records.read(root, name)


def campaign_of(root: Path, repeats: int = REPEATS, **changes: Any) -> FakeCampaign:
    campaign = FakeCampaign(root, "two", {"a": 2, "b": 3}, repeats)
    for arm, repeat, kind in campaign.jobs:
        campaign.finish(arm, repeat, kind, **(changes if (arm, repeat, kind) == ("a", 0, "train") else {}))
    campaign.write_manifest()
    return campaign


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Two arms that differ in k, three repeats each, all done."""
    root = tmp_path_factory.mktemp("whole")
    campaign_of(root)
    return read(root)


def changed(records: Records, table: str, rows: dict[str, str], **values: Any) -> Records:
    """The records with other values in the rows of a table that hold `rows`."""
    frame = getattr(records, table).copy()
    mask = (frame[[*rows]] == list(rows.values())).all(axis=1)
    for column, value in values.items():
        frame[column] = frame[column].mask(mask, value)
    return dataclasses.replace(records, **{table: frame})


def test_a_finished_campaign_without_random_arms(whole: Records) -> None:
    found = verdicts(whole)
    missed = {point for point, verdict in found.items() if verdict == MISSED}
    assert missed == {"random_sampling", "random_search"}
    assert {point for point, verdict in found.items() if verdict != MET} == missed | {"tuning"}
    assert why(whole, "ablation") == "beside a: b (search.k)"
    assert why(whole, "same_protocol") == "one protocol, 120 queries"
    assert why(whole, "random_sampling") == (
        "of cds-v1 no arm trains architectures that are drawn from it (a; b)"
    )


@pytest.mark.parametrize(
    ("point", "table", "rows", "values", "verdict"),
    [
        ("training_recipes", "trials", {"kind": "train"}, {"recipe_json": None}, MISSED),
        ("search_recipes", "trials", {"kind": "search"}, {"recipe_json": None}, MISSED),
        ("search_spaces", "trials", {"kind": "search"}, {"recipe_json": "{}"}, MISSED),
        ("seeds", "trials", {"kind": "search", "arm": "a"}, {"seed_split": None}, MISSED),
        ("seeds", "trials", {"kind": "train", "arm": "a"}, {"seed_train": None}, MISSED),
        ("code_version", "trials", {"arm": "a"}, {"code_version": None}, MISSED),
        ("same_data", "trials", {"arm": "a"}, {"data_fingerprint": "cd" * 32}, MISSED),
        ("same_training", "trials", {"arm": "a", "kind": "train"}, {"recipe_json": '{"x": 1}'}, MISSED),
        ("same_training", "trials", {"arm": "a", "kind": "train"}, {"recipe_json": None}, UNKNOWN),
        ("same_protocol", "retrains", {"arm": "a"}, {"queries": 7}, MISSED),
        ("confounders", "trials", {"arm": "a"}, {"torch_version": "2.12.0"}, MISSED),
        ("confounders", "trials", {}, {"device": None}, UNKNOWN),
        ("repeats", "retrains", {"arm": "a"}, {"arm": "b"}, MISSED),
        ("repeats", "retrains", {}, {"seed_train": 1, "seed_search": 1, "search_job": "x"}, MISSED),
        ("ablation", "trials", {"arm": "b"}, {"arm": "a"}, MISSED),
        ("ablation", "trials", {}, {"recipe_json": None}, UNKNOWN),
        ("ablation", "trials", {"kind": "search"}, {"recipe_json": '{"k": 2}'}, UNKNOWN),
        ("over_time", "epochs", {}, {"validation_accuracy": None, "validation_loss": None}, MISSED),
        ("over_time", "epochs", {}, {"kind": "train"}, UNKNOWN),
        ("whole_cost", "trials", {"arm": "a"}, {"wall_seconds": None}, MISSED),
        ("hardware", "trials", {"arm": "a"}, {"device": None}, MISSED),
        ("complete", "trials", {"arm": "b"}, {"status": "failed"}, MISSED),
    ],
)
def test_every_point_turns_with_the_records(
    whole: Records, point: str, table: str, rows: dict[str, str], values: dict[str, Any], verdict: str
) -> None:
    assert verdicts(whole)[point] == MET
    found = changed(whole, table, rows, **values)
    assert verdicts(found)[point] == verdict and why(found, point)


def test_an_ablation_of_several_fields_at_once_is_none(whole: Records) -> None:
    found = changed(whole, "trials", {"arm": "b", "kind": "search"}, recipe_json='{"k": 3, "epochs": 1}')
    assert verdicts(found)["ablation"] == MISSED and "in several fields at once (b:" in why(found, "ablation")


def test_random_arms_at_the_budget_of_the_search_meet_their_points(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path)
    manifest = campaign.manifest()
    training = campaign.jobs["a", 0, "train"]
    budgets = [Budget.of(campaign.jobs[arm, 0, "search"].recipe) for arm in ("a", "b")]
    assert budgets[0] == budgets[1]
    recipe = RandomSearchRecipe("cds-v1", samples=3, budget=budgets[0], train=training.recipe)
    drawn = train_job(training.recipe, FINGERPRINT, genotype(1), train_seed=1)
    random = random_search_job(recipe, FINGERPRINT, split_seed=0, search_seed=1)
    for job, arm, kind in ((drawn, "drawn", "train"), (random, "random", "random-search")):
        manifest["jobs"][job.id] = job.plain()
        entry = {"job": job.id, "arm": arm, "repeat": 0, "kind": kind}
        manifest["entries"].append(entry | ({"sampled": 1} if arm == "drawn" else {}))
    campaign.storage.write_manifest("two", manifest)
    found = verdicts(read(tmp_path))
    assert found["random_sampling"] == found["random_search"] == MET


def test_selections_and_their_rules(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "two", {"a": 2}, REPEATS, select=SelectRecipe())
    for repeat in range(REPEATS):
        campaign.finish("a", repeat, "search")
        campaign.finish("a", repeat, "train")
    campaign.select("a", 40.0, 50.0, 45.0)
    campaign.write_manifest()
    records = read(tmp_path)
    assert why(records, "selection") == "1 selection on images that are no test images"
    by_test = changed(records, "trials", {"kind": "select"}, recipe_json=json.dumps({"rule": "by the test"}))
    assert verdicts(by_test)["selection"] == UNKNOWN
    assert set(records.evaluations.query("stage == 'selection'")["split"]) == {"validation"}
    peeked = changed(records, "evaluations", {"stage": "selection"}, split="test")
    assert verdicts(peeked)["selection"] == MISSED
    assert why(peeked, "selection") == "3 of 3 evaluations of candidates were on test images"


def test_a_campaign_that_has_not_begun(tmp_path: Path) -> None:
    FakeCampaign(tmp_path, "two", {"a": 2}, 1).write_manifest()
    records = read(tmp_path)
    found = verdicts(records)
    unknown = {point for point, verdict in found.items() if verdict == UNKNOWN}
    assert {"code_version", "same_protocol", "confounders", "over_time", "whole_cost", "hardware"} <= unknown
    assert (found["same_training"], found["repeats"], found["complete"]) == (ABSENT, MISSED, MISSED)


def test_given_networks_leave_open_how_they_were_chosen(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "two", {"a": 2}, 1)
    training = campaign.jobs["a", 0, "train"]
    given = train_job(training.recipe, FINGERPRINT, genotype(1), train_seed=1)
    manifest = campaign.manifest(
        jobs={given.id: given.plain()},
        entries=[{"job": given.id, "arm": "a", "repeat": 0, "kind": "train"}],
    )
    campaign.storage.write_manifest("two", manifest)
    records = read(tmp_path)
    found = verdicts(records)
    assert found["selection"] == UNKNOWN and "the networks were given (a)" in why(records, "selection")
    searching = ("search_recipes", "search_spaces", "random_sampling", "random_search", "over_time")
    assert {found[point] for point in searching} == {ABSENT}


def test_the_section_counts_and_names_its_source(tmp_path: Path) -> None:
    campaign_of(tmp_path)
    part = section(made(tmp_path), "Best practices of architecture search")
    (grid,) = part.grids
    assert "Lindauer" in part.intro and part.intro.endswith("16 met, 2 not met, 1 cannot be told.")
    assert len(grid.rows) == len(PRACTICES) and {row[1] for row in grid.rows} <= set(VERDICTS)
    assert checklist(Records.read(tmp_path, "two")) == part
