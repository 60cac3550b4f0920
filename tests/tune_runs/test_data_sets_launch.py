"""Found on one rendered data set and trained on two, each under its own teacher: from file to report."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_selection_launch import autoreid

from analysis.tables import read
from autoreid.storage import Storage

CAMPAIGN = """\
# Found on one set, trained on both.
name: transfer
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
data_sets:
  others: {set: rendered, identities: 12, cameras: 3, images: 3, seed: 5, height: 64, width: 32}
repeats: 1
trained_on: [rendered, others]
search:
  recipe: cdnet
  epochs: 1
  width_multiplier: 0.1
  height: 64
  width: 32
  split: {held_out: 2}
  batch: {identities: 4, images: 2}
  objective: &constant {distillation: 1, temperature.name: constant}
  alpha_objective: *constant
train:
  recipe: cdnet
  epochs: 1
  width_multiplier: 0.1
  height: 64
  width: 32
  batch: {identities: 4, images: 2}
  objective: *constant
select: supernet
teacher: Teacher
baseline: Given
evaluation: {rerank: true, k1: 5, k2: 3}
execution: {reuse_processes: true}
arms:
  Teacher: {genotype: resnet18, train: {width_multiplier: 1, objective: {distillation: 0}}}
  Given: {genotype: cnet-top1}
  Found: {search: {space: cs-v1}}
  Found on others: {search: {space: cs-v1}, searched_on: others, trained_on: rendered}
"""


@pytest.mark.ray
@pytest.mark.slow
def test_what_one_set_found_is_trained_on_both(tmp_path: Path) -> None:
    (tmp_path / "transfer.yaml").write_text(CAMPAIGN)
    command = ("campaign", "run", "transfer.yaml", "--storage", "storage", "--quiet")
    summary = autoreid(tmp_path, *command)
    assert (summary["ran"], summary["exit_code"]) == (18, 0)
    storage = Storage(tmp_path / "storage")
    manifest = storage.read_manifest("transfer")
    prints = manifest["data_fingerprints"]
    jobs = {(entry["arm"], entry["kind"]): entry["job"] for entry in manifest["entries"]}
    done = {}
    for key, job in jobs.items():
        finished = storage.job(job).finished()
        assert finished is not None
        done[key] = dict(finished[1].result)
    assert jobs["Found, rendered", "search"] == jobs["Found, others", "search"]
    found = done["Found, rendered", "search"]["genotype"]
    for name, identities in (("rendered", 8), ("others", 6)):
        training = manifest["jobs"][jobs[f"Found, {name}", "train"]]
        assert training["data"] == prints[name]
        assert training["inputs"]["teacher"] == jobs[f"Teacher, {name}", "train"]
        assert done[f"Found, {name}", "train"]["genotype"] == found
        # Query images: one of each identity that is not trained on in each camera.
        assert done[f"Found, {name}", "train"]["evaluation"]["queries"] == identities * 3
        assert "reranked" in done[f"Found, {name}", "evaluate"]["evaluation"]
    elsewhere = manifest["jobs"][jobs["Found on others", "search"]]
    assert elsewhere["data"] == prints["others"]
    assert elsewhere["inputs"]["teacher"] == jobs["Teacher, others", "train"]

    autoreid(tmp_path, "report", "storage")
    rows = read(tmp_path / "storage", "retrains").set_index("arm")
    assert rows.loc["Found, others", "data_set"] == "others"
    assert rows.loc["Found, others", "search_data_set"] == "rendered"
    assert rows.loc["Found on others", "search_data_set"] == "others"
    assert rows["reranked_mAP"].between(0, 1, inclusive="right").all()
    page = (tmp_path / "storage/report/report.md").read_text()
    assert "### Arms by data set, mean ± sd, %" in page
    assert "| Found, others | Given, others | not told apart" in page

    again = autoreid(tmp_path, *command)
    assert (again["ran"], again["reused"]) == (0, 18)
    status = autoreid(tmp_path, "campaign", "status", "storage")
    assert status["campaigns"][0]["jobs"]["done"] == 18
