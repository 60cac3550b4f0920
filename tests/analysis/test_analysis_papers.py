"""A campaign's arms beside the rows of a paper's table."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from fake_storage import MAP, FakeCampaign
from scipy import stats

from analysis.collect import collect
from analysis.pages import Grid, Records, Section
from analysis.paper_figures import further
from analysis.paper_report import paper
from analysis.paper_tables import table
from analysis.statistics import summarise
from autoreid.cli import main
from autoreid.recipes import SelectRecipe
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
    scores = {name: mean_precision + 0.1 for name in ("rank_1", "rank_5", "rank_10")}
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
        **{"ours, mean ± sd": f"82.0 ± {spread:.1f}", "repeats": "4", "selected": "-", "difference": "-1.7"},
        **{"95% interval of ours": f"{low:.1f} to {high:.1f}", "printed lies": "inside"},
    }
    assert all(row[3] in ("agree", "cannot be told") for row in grid(found, "Data and protocol").rows)
    assert not any("comparable" in point for point in found.points)


@pytest.mark.parametrize(("shift", "lies"), [(-0.2, "above"), (0.1, "below"), (0.0, "inside")])
def test_where_the_print_lies(shift: float, lies: str, tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2})
    finish(campaign, "CDNet, k=2", tuple(score + shift for score in FOUND))
    found = section(tmp_path, campaign, faithful(campaign, "cdnet/table1"), "cdnet/table1")
    assert line(found, "mAP")["printed lies"] == lies


def test_one_repeat_has_a_difference_and_no_interval(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2}, repeats=1)
    finish(campaign, "CDNet, k=2", (0.80,))
    ours = line(section(tmp_path, campaign, faithful(campaign, "cdnet/table1"), "cdnet/table1"), "mAP")
    assert (ours["difference"], ours["95% interval of ours"], ours["printed lies"]) == (
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
        assert ours.get("printed lies", "-") == ours.get("95% interval of ours", "-") == "-"
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
    assert found.points == ("No arm of this campaign repeats a row of Auto-ReID, Table 5.",)
    assert [len(one.rows) for one in found.grids] == [6]


def test_printed_repeats_are_compared_by_their_mean(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "kdas", {"Baseline": 2, "Baseline, own": 3})
    finish(campaign, "Baseline")
    found = section(tmp_path, campaign, faithful(campaign, "kdas-reid/table1"), "kdas-reid/table1")
    ours = line(found, "mAP")
    assert ours["printed row"] == "Baseline" and ours["difference"] == "+10.1"
    assert ours["printed"] == "71.7 · 71.5 · 72.3 · 72.1; mean 71.9"
    spread = math.sqrt(sum((100 * v - 82.0) ** 2 for v in FOUND) / 3)
    low, high = stats.t.interval(0.95, 3, 82.0, spread * math.sqrt(1 / 4 + 1 / 4))
    assert ours["95% interval of ours"] == f"{low:.1f} to {high:.1f}"
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
    assert (best["difference"], best["95% interval of ours"], best["printed lies"]) == ("-6.5", "-", "-")
    assert (mean["selected"], mean["difference"]) == ("-", "printed is a best")
    assert "is not compared with a mean" in grid(found, "mAP").note


def test_our_best_is_not_compared_with_one_printed_run(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2}, select=SelectRecipe(), trainings=2)
    for repeat in range(4):
        campaign.finish("CDNet, k=2", repeat, "search")
    for repeat in range(2):
        campaign.finish("CDNet, k=2", repeat, "train", evaluation=evaluation(0.8))
    campaign.select("CDNet, k=2", 30.0, 10.0, 50.0, 20.0)
    found = section(tmp_path, campaign, faithful(campaign, "cdnet/table1"), "cdnet/table1")
    assert line(found, "mAP")["difference"] == "ours is a best"


def given(campaign: FakeCampaign, arm: str, network: str, **recipe: Any) -> dict[str, Any]:
    """The manifest where an arm trains a published network as it is given; its trainings are done."""
    manifest = json.loads(json.dumps(campaign.manifest(data=MARKET)))
    genotype = PUBLISHED[network]
    manifest["entries"] = [
        entry for entry in manifest["entries"] if (entry["arm"], entry["kind"]) != (arm, "search")
    ]
    for repeat in range(campaign.repeats):
        job = manifest["jobs"][campaign.jobs[arm, repeat, "train"].id]
        job["inputs"] = {"genotype": genotype.plain()}
        job["recipe"] |= {"height": 256, "width": 128} | recipe
        facts = {"genotype": genotype.plain(), "genotype_digest": genotype.digest}
        campaign.finish(arm, repeat, "train", evaluation=evaluation(FOUND[repeat]), **facts)
    return manifest


def test_a_published_network_is_known_by_its_genotype(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "given", {"ours": 2})
    found = section(tmp_path, campaign, given(campaign, "ours", "cdnet-top2"), "cdnet/table1")
    ours = line(found, "mAP")
    assert (ours["printed row"], ours["arm"], ours["difference"]) == (
        "CDNet, top-2",
        "ours (by its network)",
        "-1.7",
    )
    assert line(found, "parameters")["ours, mean ± sd"] == "1.80"


def test_the_size_of_a_given_network_is_compared_on_any_data(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "given", {"ours": 2})
    manifest = given(campaign, "ours", "cdnet-top1") | {"data": {"set": "rendered"}}
    found = section(tmp_path, campaign, manifest, "cdnet/table1")
    assert line(found, "mAP")["difference"] == "not comparable"
    assert (line(found, "parameters")["printed"], line(found, "parameters")["difference"]) == ("2.1", "-0.30")


@pytest.mark.parametrize(("neck", "rows"), [({"stripes": 3}, ["partition 3"]), ({"stripes": 7}, [])])
def test_of_several_rows_of_a_network_the_one_of_its_recipe_is_taken(
    neck: dict[str, int], rows: list[str], tmp_path: Path
) -> None:
    campaign = FakeCampaign(tmp_path, "given", {"ours": 2})
    manifest = given(campaign, "ours", "cdnet-top2")
    for job in manifest["jobs"].values():
        job["recipe"]["neck"] |= neck
    found = section(tmp_path, campaign, manifest, "cdnet/table5")
    assert [row[0] for one in found.grids if one.title.startswith("mAP") for row in one.rows] == rows


def test_an_arm_of_a_row_that_trains_another_network_is_not_compared(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "given", {"DARTS": 2})
    found = section(tmp_path, campaign, given(campaign, "DARTS", "darts-v1-net"), "auto-reid/table1")
    assert "Different: network: printed darts-v2-net, here darts-v1-net." in found.points
    assert line(found, "parameters")["difference"] == "nothing recorded"  # the head is no embedding of f


def test_parameters_of_auto_reids_convention_hold_one_linear_classifier(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "given", {"ResNet-18": 2}, repeats=1)
    manifest = given(campaign, "ResNet-18", "resnet18")
    job = campaign.jobs["ResNet-18", 0, "train"]
    manifest["jobs"][job.id]["recipe"]["neck"] |= {"name": "embedding", "feature": "f"}
    counts = {"backbone": 11_176_512, "inference": 11_176_512, "training": 12_000_000}
    adds = {"backbone": 1_776_508_928, "inference": 1_776_508_928}
    digest = {"genotype": PUBLISHED["resnet18"].plain(), "genotype_digest": PUBLISHED["resnet18"].digest}
    other = FakeCampaign(tmp_path / "again", "given", {"ResNet-18": 2}, repeats=1)
    complexity = {"params": counts, "multiply_adds": adds, "feature_dim": 512}
    other.finish("ResNet-18", 0, "train", evaluation=evaluation(0.6), complexity=complexity, **digest)
    found = section(tmp_path / "again", other, manifest, "auto-reid/table1")
    ours = line(found, "parameters")
    assert (ours["printed"], ours["ours, mean ± sd"], ours["difference"]) == ("11.6", "11.56", "-0.04")
    assert line(found, "multiply-adds")["difference"] == "not comparable"  # 256x128 is not 384x128


def test_the_interval_of_further_repeats_covers_as_it_promises() -> None:
    import numpy as np

    generator = np.random.default_rng(7)
    for repeats in (1, 4):
        inside = 0
        for _ in range(4000):
            interval = further(summarise(generator.normal(70, 2, 4).tolist()), repeats)
            assert interval is not None
            inside += interval[0] <= generator.normal(70, 2, repeats).mean() <= interval[1]
        assert abs(inside / 4000 - 0.95) < 0.015
    assert further(summarise([0.5, 0.5])) is None and further(summarise([0.5])) is None


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_report_has_a_section_for_every_table_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"CDNet, k=2": 2, "<b>&": 3}, repeats=2)
    finish(campaign, "CDNet, k=2", MAP["top-2"][:2])
    campaign.write_manifest()
    named = ("--paper", "cdnet/table1,auto-reid/table1", "--paper", "cdnet/table1")
    assert run(capsys, "report", tmp_path, *named)[0] == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert text.count("## Beside CDNet, Table 1\n") == text.count("## Beside Auto-ReID, Table 1\n") == 1
    html = (tmp_path / "report" / "report.html").read_text()
    assert "Arms without a printed row: &lt;b&gt;&amp;." in html and "<b>&" not in html
    assert run(capsys, "report", tmp_path)[0] == 0
    assert "Beside" not in (tmp_path / "report" / "report.md").read_text()


def test_unknown_tables_end_the_report_before_it_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeCampaign(tmp_path, "one", {"a": 2}, repeats=1).write_manifest()
    code, _, err = run(capsys, "report", tmp_path, "--paper", "cdnet/table01")
    assert code == 2 and "--paper: no table of a paper 'cdnet/table01'. Did you mean 'cdnet/table1" in err
    assert not (tmp_path / "tables").exists() and not (tmp_path / "report").exists()


def test_tables_papers_lists_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "tables", "papers")
    assert code == 0 and len(out.splitlines()) == 20 and "kdas_table1" in out
    code, out, _ = run(capsys, "tables", "papers", "cdnet/table7")
    assert code == 0 and "1.80" in out and out.startswith("CDNet, Table 7: ")
    code, out, _ = run(capsys, "tables", "papers", "cdnet/table7", "--json")
    (first, *_) = json.loads(out)
    assert (first["table"], first["parameters_millions"], first["row"]) == ("cdnet/table7", "1.80", 1)
    code, out, _ = run(capsys, "tables", "papers", "--json")
    assert json.loads(out)[5]["metrics"]["search_milliseconds"] == "ms"
    code, _, err = run(capsys, "tables", "papers", "cdnet/tabel7")
    assert code == 2 and "Did you mean 'cdnet/table7'?" in err
