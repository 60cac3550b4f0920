"""A campaign's arms beside the rows of a paper's table: what is compared, and what is not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_storage import FakeCampaign
from printed_arms import FOUND, evaluation, faithful, finish, grid, line, section
from scipy import stats

from analysis.paper_figures import further
from analysis.statistics import summarise
from autoreid.recipes import SelectRecipe


@pytest.fixture
def cdnet(tmp_path: Path) -> FakeCampaign:
    campaign = FakeCampaign(tmp_path, "cdnet", {"CDNet, k=2": 2, "CNet, k=1": 1, "other": 3})
    finish(campaign, "CDNet, k=2")
    finish(campaign, "other")
    return campaign


def test_an_arm_of_the_same_data_and_protocol_is_compared(tmp_path: Path, cdnet: FakeCampaign) -> None:
    found = section(tmp_path, cdnet, faithful(cdnet, "cdnet/table1"), "cdnet/table1")
    ours = line(found, "mAP", 1)
    mean, spread = 82.0, math.sqrt(sum((100 * v - 82.0) ** 2 for v in FOUND) / 3)
    low, high = stats.t.interval(0.95, 3, mean, spread * math.sqrt(1 + 1 / 4))
    assert ours == {
        **{"printed row": "CDNet, top-2", "arm": "CDNet, k=2", "printed": "83.7"},
        **{"ours, mean ± sd": f"82.0 ± {spread:.1f}", "repeats": "4", "difference": "-1.7"},
        **{"our 95% interval": f"{low:.1f} to {high:.1f}", "print lies": "inside"},
    }
    assert all(row[3] in ("agree", "cannot be told") for row in grid(found, "Data and protocol").rows)
    assert not any("comparable" in point for point in found.points)


@pytest.mark.parametrize(("shift", "lies"), [(-0.2, "above"), (0.1, "below"), (0.0, "inside")])
def test_where_the_print_lies(shift: float, lies: str, tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2})
    finish(campaign, "CDNet, k=2", tuple(score + shift for score in FOUND))
    found = section(tmp_path, campaign, faithful(campaign, "cdnet/table1"), "cdnet/table1")
    assert line(found, "mAP")["print lies"] == lies


def test_one_repeat_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2}, repeats=1)
    finish(campaign, "CDNet, k=2", (0.80,))
    ours = line(section(tmp_path, campaign, faithful(campaign, "cdnet/table1"), "cdnet/table1"), "mAP")
    assert (ours["difference"], ours["our 95% interval"], ours["print lies"]) == (
        "-3.7",
        "needs 2 repeats",
        "-",
    )


def test_an_arm_without_results_has_a_line_that_says_so(tmp_path: Path, cdnet: FakeCampaign) -> None:
    found = section(tmp_path, cdnet, faithful(cdnet, "cdnet/table1"), "cdnet/table1")
    assert line(found, "mAP", 0)["arm"] == "CNet, k=1"
    assert line(found, "mAP", 0)["difference"] == "nothing recorded"


def test_rendered_pedestrians_are_not_compared_with_photographs(tmp_path: Path, cdnet: FakeCampaign) -> None:
    manifest = faithful(cdnet, "cdnet/table1") | {"data": {"set": "rendered", "identities": 40}}
    found = section(tmp_path, cdnet, manifest, "cdnet/table1")
    assert found.points[0] == "None of the scores is comparable with the print, and no difference is taken."
    assert "Different: data: printed Market-1501, here rendered." in found.points
    for part in ("mAP", "rank-1", "parameters", "search time"):
        ours = line(found, part, 1)
        assert ours["difference"] in ("not comparable", "another machine"), part
        assert ours.get("print lies", "-") == ours.get("our 95% interval", "-") == "-"
    assert grid(found, "Data and protocol").rows[0][:4] == ("data", "Market-1501", "rendered", "differ")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("train.height", 128, "image size: printed 256x128, here 128x128"),
        ("train.weights", "imagenet", "pretraining: printed none, here imagenet"),
        ("train.neck.name", "bnneck", "train.neck.name: printed fblneck, here bnneck"),
        ("search.epochs", 3, "search.epochs: printed 240, here 3"),
    ],
)
def test_a_circumstance_that_differs_stops_the_comparison(
    path: str, value: Any, words: str, tmp_path: Path, cdnet: FakeCampaign
) -> None:
    manifest = faithful(cdnet, "cdnet/table1")
    kind, *parents, name = path.split(".")
    for entry in manifest["entries"]:
        if entry["kind"] == kind and entry["arm"] == "CDNet, k=2":
            recipe = manifest["jobs"][entry["job"]]["recipe"]
            for parent in parents:
                recipe = recipe[parent]
            recipe[name] = value
    found = section(tmp_path, cdnet, manifest, "cdnet/table1")
    assert line(found, "mAP", 1)["difference"] == "not comparable"
    assert any(point.startswith(f"Different: {words}") for point in found.points)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"queries": 100}, "queries with a match: printed 3,368, here 100"),
        (
            {"protocol": {"average_precision": "trapezoid"}},
            "average precision: printed mean-precision, here trapezoid",
        ),
        ({"protocol": {"reranking": "k-reciprocal"}}, "re-ranking: printed none, here k-reciprocal"),
    ],
)
def test_another_evaluation_stops_the_comparison(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2}, repeats=2)
    for repeat in range(2):
        campaign.finish("CDNet, k=2", repeat, "search")
        campaign.finish("CDNet, k=2", repeat, "train", evaluation=evaluation(0.8) | change)
    found = section(tmp_path, campaign, faithful(campaign, "cdnet/table1"), "cdnet/table1")
    assert line(found, "mAP")["difference"] == "not comparable"
    assert f"Different: {words}." in found.points


def test_repeats_that_differ_among_themselves_are_not_compared(tmp_path: Path, cdnet: FakeCampaign) -> None:
    manifest = faithful(cdnet, "cdnet/table1")
    manifest["jobs"][cdnet.jobs["CDNet, k=2", 1, "train"].id]["data"] = "cd" * 32
    found = section(tmp_path, cdnet, manifest, "cdnet/table1")
    assert line(found, "mAP", 1)["difference"] == "not comparable"
    assert any(point.startswith("Different: repeats: printed alike, here ") for point in found.points)


def test_what_has_no_partner_is_listed_on_both_sides(tmp_path: Path, cdnet: FakeCampaign) -> None:
    found = section(tmp_path, cdnet, faithful(cdnet, "cdnet/table1"), "cdnet/table1")
    assert "Arms without a printed row: other." in found.points
    alone = grid(found, "Rows of Table 1 without an arm")
    assert len(alone.rows) == 8 and alone.folded
    assert alone.rows[0][:4] == (
        "2",
        "CNet, top-2",
        "Market-1501",
        "mAP 83.5 %, rank-1 93.6 %, parameters 1.4 millions, search time per image 40.0 ms",
    )


def test_a_campaign_without_a_row_says_so(tmp_path: Path, cdnet: FakeCampaign) -> None:
    found = section(tmp_path, cdnet, cdnet.manifest(), "auto-reid/table5")
    assert found.points == (
        "No arm of this campaign repeats a row of Auto-ReID, Table 5.",
        "Arms without a printed row: CDNet, k=2; CNet, k=1; other.",
    )
    assert [len(one.rows) for one in found.grids] == [6]


def test_printed_repeats_are_compared_by_their_mean(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "kdas", {"Baseline": 2, "Baseline, own": 3})
    finish(campaign, "Baseline")
    found = section(tmp_path, campaign, faithful(campaign, "kdas-reid/table1"), "kdas-reid/table1")
    ours = line(found, "mAP")
    assert ours["printed row"] == "Baseline" and ours["difference"] == "+10.1"
    assert ours["printed"] == "71.9, mean of 4"
    assert [row[0] for row in grid(found, "Printed rows with an arm").rows] == ["6", "7", "8", "9"]
    spread = math.sqrt(sum((100 * v - 82.0) ** 2 for v in FOUND) / 3)
    low, high = stats.t.interval(0.95, 3, 82.0, spread * math.sqrt(1 / 4 + 1 / 4))
    assert ours["our 95% interval"] == f"{low:.1f} to {high:.1f}"
    assert line(found, "mAP", 1)["arm"] == "Baseline, own"
    assert len(grid(found, "Rows of Table 1").rows) == 13


def test_a_printed_best_is_compared_with_the_selected_repeat_alone(tmp_path: Path) -> None:
    arms = {"Baseline": 2, "Baseline + ReID space": 3}
    campaign = FakeCampaign(tmp_path, "auto", arms, select=SelectRecipe())
    for arm in arms:
        finish(campaign, arm, (0.60, 0.66, 0.62, 0.64))
    campaign.select("Baseline", 30.0, 10.0, 50.0, 20.0)
    found = section(tmp_path, campaign, faithful(campaign, "auto-reid/table1"), "auto-reid/table1")
    best, mean = line(found, "mAP"), line(found, "mAP", 1)
    assert (best["printed"], best["ours, mean ± sd"], best["selected"]) == ("68.5", "63.0 ± 2.6", "62.0")
    assert (best["difference"], best["our 95% interval"], best["print lies"]) == ("-6.5", "-", "-")
    assert (mean["selected"], mean["difference"]) == ("-", "printed is a best")
    assert "is not compared with a mean" in found.points[-1]


def test_a_printed_best_of_four_is_not_compared_with_our_best_of_two(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "auto", {"Baseline": 2}, repeats=2, select=SelectRecipe())
    finish(campaign, "Baseline", (0.60, 0.66))
    campaign.select("Baseline", 30.0, 10.0)
    found = section(tmp_path, campaign, faithful(campaign, "auto-reid/table1"), "auto-reid/table1")
    best = line(found, "mAP")
    assert (best["selected"], best["difference"]) == ("60.0", "best of another number")
    assert "ours of more or fewer" in grid(found, "mAP").note


def test_our_best_is_not_compared_with_one_printed_run(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2}, select=SelectRecipe(), trainings=2)
    for repeat in range(4):
        campaign.finish("CDNet, k=2", repeat, "search")
    for repeat in range(2):
        campaign.finish("CDNet, k=2", repeat, "train", evaluation=evaluation(0.8))
    campaign.select("CDNet, k=2", 30.0, 10.0, 50.0, 20.0)
    found = section(tmp_path, campaign, faithful(campaign, "cdnet/table1"), "cdnet/table1")
    assert line(found, "mAP")["difference"] == "ours is a best"


def test_the_interval_of_further_repeats_covers_as_it_promises() -> None:
    generator = np.random.default_rng(7)
    for repeats in (1, 4):
        inside = 0
        for _ in range(4000):
            interval = further(summarise(generator.normal(70, 2, 4).tolist()), repeats)
            assert interval is not None
            inside += interval[0] <= generator.normal(70, 2, repeats).mean() <= interval[1]
        assert abs(inside / 4000 - 0.95) < 0.015
    assert further(summarise([0.5, 0.5])) is None and further(summarise([0.5])) is None
