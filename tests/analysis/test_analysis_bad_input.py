"""Bad input: what is wrong is said in clear words, and the rest is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fake_storage import FakeCampaign, partial_campaign
from report_pages import grid, made, section

from analysis.assembly import page
from analysis.pages import Records
from analysis.tables import DETAILS, file_of, read, sound_campaigns
from autoreid.cli import main
from autoreid.records import SCHEMA_VERSION, TABLES


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tables of three campaigns, and nothing else."""
    root = tmp_path_factory.mktemp("several")
    for name in ("one", "three", "two"):
        partial_campaign(root / "storage", name)
    assert main(["tables", "collect", str(root / "storage"), "--out", str(root / "alone")]) == 0
    return root / "alone"


@pytest.fixture
def alone(several: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(several, tmp_path / "alone"))


def newer(path: Path) -> None:
    table = pq.read_table(path)
    version = {b"autoreid_schema_version": str(SCHEMA_VERSION + 1).encode()}
    pq.write_table(table.replace_schema_metadata(table.schema.metadata | version), path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("table", [table for table in TABLES if table not in DETAILS])
def test_a_damaged_file_costs_its_campaign_and_no_other(table: str, alone: Path) -> None:
    cut(alone / file_of(table, "two"))
    names, (warning,) = sound_campaigns(alone)
    assert names == ["one", "three"]
    assert (
        warning.startswith("campaign two is left out: ") and f"{table}/two.parquet: cannot be read" in warning
    )


@pytest.mark.parametrize("table", DETAILS)
def test_a_damaged_table_of_details_costs_what_rests_on_it(table: str, alone: Path) -> None:
    whole = page(Records.read(alone, "two"), "p")
    cut(alone / file_of(table, "two"))
    names, (warning,) = sound_campaigns(alone)
    assert names == ["one", "three", "two"]
    assert warning.startswith("campaign two: what rests on a table is left out: ")
    found = page(Records.read(alone, "two"), "p")
    assert section(found, "Verdict") == section(whole, "Verdict")
    assert grid(found, "Results", "mAP") == grid(whole, "Results", "mAP")
    (said,) = [point for point in section(found, "Read with care").points if "is missing here" in point]
    assert f"{table}/two.parquet: cannot be read as parquet" in said


def test_the_others_are_in_the_report(alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut(alone / file_of("retrains", "two"))
    assert main(["report", str(alone), "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    text = Path(answer["markdown"]).read_text()
    assert "# one" in text and "# three" in text and "# two" not in text
    (warning,) = answer["warnings"]
    assert "retrains/two.parquet: cannot be read" in warning and err == f"warning: {warning}\n"


def test_records_of_a_newer_schema_are_left_out_with_the_remedy(alone: Path) -> None:
    newer(alone / file_of("trials", "one"))
    names, (warning,) = sound_campaigns(alone)
    assert names == ["three", "two"] and "Use the release that wrote it" in warning
    words = f"one.parquet: schema version {SCHEMA_VERSION + 1}; this release reads up to {SCHEMA_VERSION}."
    assert words in warning


def test_a_named_campaign_that_is_damaged_is_an_error(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(alone / file_of("trials", "two"))
    assert main(["report", str(alone), "--campaign", "two"]) == 2
    assert "trials/two.parquet: cannot be read as parquet" in capsys.readouterr().err
    assert main(["report", str(alone), "--campaign", "one"]) == 0


def test_where_nothing_can_be_read_every_file_is_named(
    alone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(alone / file_of("trials", "one"))
    newer(alone / file_of("genotypes", "two"))
    (alone / file_of("points", "three")).unlink()
    assert main(["report", str(alone)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" is left out: ")[0] for line in lines] == [
        f"autoreid: campaign {name}" for name in ("one", "three", "two")
    ]
    assert "points/three.parquet: no such file" in lines[1]
    assert not (alone / "report").exists()


def test_a_storage_s_damaged_tables_are_collected_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial_campaign(tmp_path, "one")
    assert main(["tables", "collect", str(tmp_path)]) == 0
    for table in TABLES:
        cut(tmp_path / file_of(table, "one"))
    capsys.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "" and len(read(tmp_path, "trials")) == 16


def test_a_campaign_without_finished_trials_and_one_with_one_repeat_are_shown(tmp_path: Path) -> None:
    FakeCampaign(tmp_path / "planned", "planned", {"a": 2}, repeats=2).write_manifest()
    assert "0 of 4 jobs are done; 4 waiting." in dict(made(tmp_path / "planned").facts)["Jobs"]
    single = FakeCampaign(tmp_path / "single", "single", {"a": 2, "b": 3}, repeats=1)
    for arm in ("a", "b"):
        single.finish(arm, 0, "search")
        single.finish(arm, 0, "train")
    single.write_manifest()
    page = made(tmp_path / "single")
    assert any("one repeat" in point for part in page.sections for point in part.points)
