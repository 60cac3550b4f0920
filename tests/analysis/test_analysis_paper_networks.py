"""Arms that are known by their network, and the commands that show papers' tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_storage import MAP, FakeCampaign
from printed_arms import finish, given, line, section

from autoreid.cli import main


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
    complexity = {
        "params": {"backbone": 11_176_512, "inference": 11_176_512, "training": 12_000_000},
        "multiply_adds": {"backbone": 1_776_508_928, "inference": 1_776_508_928},
        "feature_dim": 512,
    }
    manifest = given(campaign, "ResNet-18", "resnet18", complexity=complexity)
    job = manifest["jobs"][campaign.jobs["ResNet-18", 0, "train"].id]
    job["recipe"]["neck"] |= {"name": "embedding", "feature": "f"}
    found = section(tmp_path, campaign, manifest, "auto-reid/table1")
    ours = line(found, "parameters")
    assert (ours["printed"], ours["ours, mean ± sd"], ours["difference"]) == ("11.6", "11.56", "-0.04")
    assert line(found, "multiply-adds")["difference"] == "not comparable"  # 256x128 is not 384x128


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


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "papers.md"
    (block,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/papers.md", "exec"), {})
    assert "CDNet 1.80 1.8" in capsys.readouterr().out
