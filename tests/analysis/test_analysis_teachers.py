from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_storage import FakeCampaign
from report_pages import grid, made, section

from analysis.cautions import ONE_TEACHER, SEEN
from analysis.tables import read

FILE = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Three arms that search: under the arm T, under a file, and without a teacher."""
    campaign = FakeCampaign(tmp_path, "taught", {"T": 2, "by arm": 3, "by file": 4, "alone": 5}, repeats=2)
    manifest = campaign.manifest()
    first = campaign.jobs["T", 0, "train"].id
    manifest["entries"] = [
        entry for entry in manifest["entries"] if entry["arm"] != "T" or entry["job"] == first
    ]
    for arm, teacher in {"by arm": first, "by file": FILE}.items():
        for repeat in range(2):
            for kind in ("search", "train"):
                manifest["jobs"][campaign.jobs[arm, repeat, kind].id]["inputs"]["teacher"] = teacher
    for arm in campaign.arms:
        campaign.finish(arm, 0, "search")
        campaign.finish(arm, 0, "train")
    campaign.storage.write_manifest("taught", manifest)
    return tmp_path


def cautions(storage: Path) -> tuple[str, ...]:
    return section(made(storage), "Read with care").points


def test_tables_name_the_teacher(storage: Path) -> None:
    made(storage)
    wanted = {"T": "", "by arm": "T", "by file": "sha256:0123456789ab", "alone": ""}
    for table in ("trials", "genotypes", "retrains"):
        frame = read(storage, table).fillna({"teacher": ""})
        found: dict[str, Any] = frame.groupby("arm")["teacher"].agg(set).to_dict()
        searched = wanted.items() if table != "genotypes" else list(wanted.items())[1:]
        assert found == {arm: {teacher} for arm, teacher in searched}, table


def test_arms_that_differ_in_their_teacher_show_it(storage: Path) -> None:
    rows = grid(made(storage), "Arms", "Fields that differ").rows
    assert {field for field, *_ in rows} == {"search.k", "search.teacher", "train.teacher"}
    assert [row for row in rows if row[0] != "search.k"] == [
        ("search.teacher", "T", "by arm"),
        ("search.teacher", "sha256:0123456789ab", "by file"),
        ("search.teacher", "-", "alone"),
        ("train.teacher", "-", "T; alone"),
        ("train.teacher", "T", "by arm"),
        ("train.teacher", "sha256:0123456789ab", "by file"),
    ]


def test_a_teacher_is_in_no_spread_and_has_seen_what_was_held_out(storage: Path) -> None:
    points = cautions(storage)
    assert any(f"by arm; by file: {ONE_TEACHER}" in point for point in points)
    assert f"by arm; by file: {SEEN}" in points


@pytest.mark.parametrize(("kind", "seen"), [("search", True), ("select", True), ("train", False)])
def test_only_what_judges_by_images_that_were_held_out_is_told(kind: str, seen: bool, tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "one", {"a": 2}, repeats=1)
    manifest = campaign.manifest()
    manifest["entries"][-1]["kind"] = kind
    job = manifest["jobs"][manifest["entries"][-1]["job"]]
    job["inputs"]["teacher"] = FILE
    # The word alone, as the name of a place, is no teacher.
    manifest["jobs"][manifest["entries"][0]["job"]]["inputs"] = {"genotype": {"choices": {"x": '"teacher"'}}}
    campaign.storage.write_manifest("one", manifest)
    assert (f"a: {SEEN}" in cautions(tmp_path)) is seen


def test_without_a_teacher_nothing_is_said(tmp_path: Path) -> None:
    FakeCampaign(tmp_path, "none", {"a": 2, "b": 3}, repeats=1).write_manifest()
    assert not any("teacher" in point for point in cautions(tmp_path))
