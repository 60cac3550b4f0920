"""What tables and report say of selections: all repeats, the selected one beside their mean."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fake_storage import FakeCampaign, genotype
from report_pages import grid, made, section

from analysis.cautions import BEST, DIFFERENT_SPREADS, GIVEN, SELECTED
from analysis.collect import collect
from analysis.pages import Page
from analysis.report import report
from analysis.summary import summary_table
from analysis.tables import read
from autoreid.published import SELECT_RECIPES

SUPERNET, RETRAIN = SELECT_RECIPES["supernet"], SELECT_RECIPES["retrain"]
# The test scores of the fake trainings of this arm: 36, 39, 37, 40.
ARM = "top-2"


def selecting(root: Path, *scores: float, trainings: int = 0, **changes: object) -> FakeCampaign:
    """One arm whose searches score so on validation; everything is done."""
    campaign = FakeCampaign(root, "selecting", {ARM: 2}, 4, SUPERNET, trainings)
    for repeat in range(4):
        campaign.finish(ARM, repeat, "search")
    campaign.select(ARM, *scores)
    for number in range(trainings or 4):
        campaign.finish(ARM, number, "train")
    campaign.write_manifest(**changes)
    return campaign


@pytest.fixture(scope="module")
def each(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("each")
    selecting(root, 51, 63, 62, 40)
    return root


@pytest.fixture(scope="module")
def each_page(each: Path) -> Page:
    return made(each)


def test_the_tables_hold_every_score_and_mark_the_selected_search(each: Path) -> None:
    assert collect(each).warnings == ()
    genotypes, retrains, trials = (read(each, table) for table in ("genotypes", "retrains", "trials"))
    assert genotypes["validation_mAP"].tolist() == [0.51, 0.63, 0.62, 0.40]
    assert genotypes["selected"].tolist() == [False, True, False, False]
    assert retrains["selected"].tolist() == [False, True, False, False]
    row = trials[trials["kind"] == "select"].iloc[0]
    assert (row["status"], row["repeat"], row["epochs"], row["wall_seconds"]) == ("done", 0, 4, 12.0)
    assert row["inputs"].startswith('{"jobs":["')
    assert set(read(each, "epochs")["kind"]) == {"search", "train"}


def test_the_summary_names_the_selected_repeat_below_all(each: Path, tmp_path: Path) -> None:
    collect(each)
    lines = summary_table(each, "selecting").splitlines()
    assert "36.0  39.0  37.0  40.0" in lines[3]
    assert lines[-1] == f"{ARM}: selected on validation: repeat 2, mAP 39.0"
    selecting(tmp_path, 51, 63, 62, 40, trainings=3)
    collect(tmp_path)
    last = summary_table(tmp_path, "selecting").splitlines()[-1]
    assert last == f"{ARM}: trainings of the best of 4 searches, selected on validation"


def test_without_a_selection_nothing_is_said_to_be_selected(example: Path, example_page: Page) -> None:
    genotypes, retrains = read(example, "genotypes"), read(example, "retrains")
    assert genotypes["validation_mAP"].isna().all()
    assert genotypes["selected"].isna().all()
    assert retrains["selected"].isna().all()
    assert "Selection" not in [part.title for part in example_page.sections]
    assert not [point for point in section(example_page, "Read with care").points if "selected" in point]
    assert "selected" not in grid(example_page, "Results", "mAP").headings
    assert "select job" not in grid(example_page, "How to reproduce", "Seeds").headings


def test_the_selected_score_stands_beside_the_mean_and_never_instead(each_page: Page) -> None:
    """Mean and interval are those of all four; the selected repeat is the second."""
    found = grid(each_page, "Results", "mAP")
    row = dict(zip(found.headings, found.rows[0], strict=True))
    assert (row["mean ± sd"], row["95% interval"]) == ("38.0 ± 1.8", "35.1 to 40.9")
    assert (row["each repeat"], row["selected"]) == ("36.0 · 39.0 · 37.0 · 40.0", "39.0")
    assert "one of those that make up the mean" in found.note
    rank = grid(each_page, "Results", "rank-1")
    assert dict(zip(rank.headings, rank.rows[0], strict=True))["selected"] == "59.0"


def test_all_repeats_are_listed_and_the_selected_one_is_marked(each_page: Page) -> None:
    part = section(each_page, "Selection")
    assert part.intro == (
        "The best search of an arm is selected by the mAP of each genotype in its own supernet, on the "
        "images that its search held out. The test set has no part in it."
    )
    assert part.points == (
        f"{ARM}: selected on validation: repeat 2 of 4 (mAP 63.0 %); on the test set mAP 39.0 % and rank-1 "
        "59.0 %. Mean of all (4 repeats): mAP 38.0 ± 1.8 % and rank-1 58.0 ± 1.8 %.",
    )
    assert grid(each_page, "Selection", "All searches").rows == (
        (ARM, "1", genotype(0).digest, "51.0", "36.0", "56.0", ""),
        (ARM, "2", genotype(1).digest, "63.0", "39.0", "59.0", "selected"),
        (ARM, "3", genotype(2).digest, "62.0", "37.0", "57.0", ""),
        (ARM, "4", genotype(3).digest, "40.0", "40.0", "60.0", ""),
    )
    assert SELECTED in section(each_page, "Read with care").points
    assert grid(each_page, "Status", "Jobs by status").rows[1] == ("selections", "1", "0", "0", "0", "0")
    assert [row[0] for row in grid(each_page, "Cost", "Wall time").rows] == [
        *("searches", "selections", "trainings", "all"),
    ]
    seeds = grid(each_page, "How to reproduce", "Seeds")
    assert seeds.headings[5:] == ("search job", "select job", "train job")
    assert [row[6] == "-" for row in seeds.rows] == [False, True, True, True]


def test_where_the_best_alone_is_trained_all_trainings_are_its(tmp_path: Path) -> None:
    campaign = selecting(tmp_path, 51, 63, 62, 40, trainings=3)
    found = made(tmp_path)
    retrains = read(tmp_path, "retrains")
    assert retrains["selected"].tolist() == [True] * 3
    assert set(retrains["search_job"]) == {campaign.jobs[ARM, 1, "search"].id}
    assert retrains["seed_search"].tolist() == [11] * 3
    assert retrains["seed_train"].tolist() == [20, 21, 22]
    assert "selected" not in grid(found, "Results", "mAP").headings
    assert grid(found, "Results", "mAP").rows[0][:2] == (ARM, "3 of 3")
    assert dict(found.facts)["Mean mAP"] == f"{ARM}: 37.3 ± 1.5 % (3 trainings of the best of 4)"
    assert section(found, "Selection").points == (
        f"{ARM}: selected on validation: repeat 2 of 4 (mAP 63.0 %); on the test set mAP 37.3 ± 1.5 % and "
        "rank-1 57.3 ± 1.5 % (3 trainings). The others were not trained.",
    )
    assert [row[4] for row in grid(found, "Selection", "All searches").rows] == [
        *("-", "36.0 · 39.0 · 37.0", "-", "-"),
    ]
    points = section(found, "Read with care").points
    assert f"{ARM}: the best of 4 searches alone was trained. {BEST}" in points
    assert SELECTED not in points
    assert (
        f"{ARM}: a repeat is a training of the one genotype that was selected among 4 searches; its spread "
        "covers training only."
    ) in points


def test_the_best_of_several_beside_a_given_network_is_told(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "mixed", {ARM: 2, "given": 3}, 4, SUPERNET, trainings=2)
    for repeat in range(4):
        campaign.finish(ARM, repeat, "search")
    campaign.select(ARM, 1, 2, 3, 4)
    for arm in (ARM, "given"):
        for number in range(2):
            campaign.finish(arm, number, "train")
    manifest = campaign.manifest()
    manifest["entries"] = [
        entry for entry in manifest["entries"] if entry["arm"] == ARM or entry["kind"] == "train"
    ]
    for entry in manifest["entries"]:
        if entry["arm"] == "given":
            manifest["jobs"][entry["job"]]["inputs"] = {"genotype": genotype(0).plain()}
    campaign.storage.write_manifest("mixed", manifest)
    points = section(made(tmp_path), "Read with care").points
    (told,) = [point for point in points if "alone was trained" in point]
    assert told.endswith("In given nothing was selected: a difference to them holds the selection.")
    (spread,) = [point for point in points if GIVEN in point]
    assert f"given: {GIVEN}" in spread and DIFFERENT_SPREADS not in spread


def test_a_selection_that_waits_or_failed_is_told(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "early", {ARM: 2}, 2, RETRAIN, trainings=1)
    campaign.finish(ARM, 0, "search")
    campaign.write_manifest()
    early = made(tmp_path)
    assert section(early, "Selection").points == (f"{ARM}: the selection is not done yet.",)
    assert "by the mAP of a short training of each genotype" in section(early, "Selection").intro
    assert grid(early, "Selection", "All searches").rows[0][3:] == ("-", "-", "-", "")
    report(tmp_path)

    campaign.fail(ARM, 1, "search", "the loss is nan")
    waiting = grid(made(tmp_path), "Status", "Jobs that are not done").rows
    assert [(row[2], row[3]) for row in waiting] == [
        *(("select", "skipped"), ("train", "skipped"), ("search", "failed")),
    ]
    assert all("the loss is nan" in row[4] for row in waiting)


def test_a_selection_whose_trainings_are_to_come_names_the_selected(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "between", {ARM: 2}, 2, SUPERNET, trainings=1)
    for repeat in range(2):
        campaign.finish(ARM, repeat, "search")
    campaign.select(ARM, 20, 10)
    campaign.write_manifest()
    assert section(made(tmp_path), "Selection").points == (
        f"{ARM}: selected on validation: repeat 1 of 2 (mAP 20.0 %); it is not trained yet.",
    )


@pytest.mark.parametrize("scores", [None, 5, [5], [{"search": 3}], [{"mAP": "x"}]])
def test_a_damaged_result_of_a_selection_costs_only_its_scores(scores: object, tmp_path: Path) -> None:
    campaign = selecting(tmp_path, 51, 63, 62, 40)
    folder = campaign.storage.job(campaign.jobs[ARM, 0, "select"].id)
    attempt, outcome = folder.finished() or pytest.fail("not done")
    attempt.files = {name: dict(vouched) for name, vouched in outcome.files.items()}
    attempt.finish(dataclasses.replace(outcome, result={"search": 7, "scores": scores}))
    collect(tmp_path)
    assert len(read(tmp_path, "genotypes")) == 4
    assert read(tmp_path, "genotypes")["selected"].isna().all()
    assert len(read(tmp_path, "retrains")) == 4


def test_repeats_of_one_search_are_said_to_vary_in_training_only(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one-search", {ARM: 2}, 2)
    manifest = campaign.manifest()
    manifest["entries"] = [
        entry for entry in manifest["entries"] if (entry["kind"], entry["repeat"]) != ("search", 1)
    ]
    campaign.storage.write_manifest("one-search", manifest)
    points = section(made(tmp_path), "Read with care").points
    assert (
        f"{ARM}: a repeat is a training of what one search found; its spread covers training only." in points
    )
