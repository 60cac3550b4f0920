"""Auto-ReID's Table 1 in small, from the file through launch and collection to the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_selection_launch import autoreid

from analysis.tables import read
from autoreid.random_search import candidates, sampled
from autoreid.storage import Storage

CAMPAIGN = Path(__file__).with_name("auto_reid_small.yaml")


@pytest.mark.ray
@pytest.mark.slow
def test_every_arm_of_table_1_runs_to_the_report(tmp_path: Path) -> None:
    summary = autoreid(tmp_path, "campaign", "run", str(CAMPAIGN), "--storage", "storage", "--quiet")
    assert (summary["ran"], summary["exit_code"]) == (14, 0)
    storage = Storage(tmp_path / "storage")
    found = {}
    for entry in storage.read_manifest("auto-reid-small")["entries"]:
        finished = storage.job(entry["job"]).finished()
        assert finished is not None
        found[entry["arm"], entry["kind"]] = dict(finished[1].result)
    arms = dict.fromkeys(arm for arm, _ in found)
    assert all(0 < found[arm, "train"]["evaluation"]["mAP"] <= 1 for arm in arms)
    drawn, searched = (found[f"{arm}, ReID space", "train"] for arm in ("Random", "Random search"))
    assert drawn["genotype"] == sampled("reid-v1", 0).plain()
    random = found["Random search, ReID space", "random-search"]
    search = found["Retrieval + ReID space", "search"]
    assert random["images_seen"] == random["budget_images"] == search["images_seen"]
    assert [score["genotype_digest"] for score in random["scores"]] == [
        genotype.digest for genotype in candidates("reid-v1", 2, 0)
    ]
    assert searched["genotype"] == random["genotype"]
    autoreid(tmp_path, "report", "storage")
    rows = read(tmp_path / "storage", "genotypes")
    assert dict(zip(rows["arm"], rows["found_by"], strict=True)) == {
        "ResNet-18": "given",
        "DARTS": "given",
        "Baseline": "search",
        "Baseline + ReID space": "search",
        "Retrieval + ReID space": "search",
        "Random, ReID space": "random-sampling",
        "Random search, ReID space": "random-search",
    }
    report = (tmp_path / "storage/report/report.md").read_text()
    assert all(f"| {arm} | 1 of 1 |" in report for arm in arms)
    assert "Of base-v1 no random search has its budget" in report
    assert "Of reid-v1" not in report
    again = autoreid(tmp_path, "campaign", "run", str(CAMPAIGN), "--storage", "storage", "--quiet")
    assert (again["ran"], again["reused"]) == (0, 14)
