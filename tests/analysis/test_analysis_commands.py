from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fake_storage import ARMS, FakeCampaign, partial_campaign

from autoreid.cli import main
from autoreid.records import TABLES

FIRST, SECOND = ARMS


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_collect_prints_the_files(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "tables", "collect", storage)
    assert (code, err) == (0, "")
    assert [Path(line).is_file() for line in out.splitlines()] == [True] * len(TABLES)


def test_collect_says_what_is_damaged_and_goes_on(
    campaign: FakeCampaign, storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next(storage.glob(f"jobs/{campaign.jobs[FIRST, 0, 'train'].id}/attempts/*/model.pt")).unlink()
    code, out, err = run(capsys, "tables", "collect", storage, "--out", tmp_path / "here", "--json")
    answer = json.loads(out)
    assert code == 0 and all(path.startswith(str(tmp_path / "here")) for path in answer["files"])
    assert len(answer["warnings"]) == 1 and err == f"warning: {answer['warnings'][0]}\n"


def test_show_prints_what_rows_share_once(collected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "tables", "show", "retrains", "--storage", collected)
    assert code == 0 and out.startswith("campaign: two-arms\nkind: train\n")
    lines = out.split("\n\n")[1].splitlines()
    assert lines[0].split()[:3] == ["job", "arm", "repeat"] and len(lines) == 6


def test_show_gives_json_with_null_for_what_is_empty(
    collected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = "arm,repeat,status,seed_train,wall_seconds,error"
    code, out, _ = run(
        capsys, "tables", "show", "trials", "--storage", collected, "--columns", columns, "--json"
    )
    rows = json.loads(out)
    assert code == 0 and len(rows) == 16
    assert rows[0] == {
        **{"arm": FIRST, "repeat": 0, "status": "done", "seed_train": None},
        **{"wall_seconds": 40.0, "error": None},
    }


def test_show_without_rows_and_with_equal_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FakeCampaign(tmp_path, "planned", {"a": 2}, repeats=1).write_manifest()
    run(capsys, "tables", "collect", tmp_path)
    show = ("tables", "show", "--storage", tmp_path)
    assert run(capsys, *show, "retrains")[1] == "no rows\n"
    out = run(capsys, *show, "trials", "--columns", "arm,status")[1]
    assert out.splitlines() == ["arm  status", "a    waiting", "a    waiting"]


def test_describe_and_summary(collected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "tables", "describe", "genotypes")
    assert code == 0 and out.startswith("genotypes: One row for each finished search")
    assert "retrains: " in run(capsys, "tables", "describe")[1]
    code, out, _ = run(capsys, "tables", "summary", collected)
    assert code == 0 and "38.0 ± 1.8" in out
    rows = json.loads(run(capsys, "tables", "summary", collected, "--campaign", "two-arms", "--json")[1])
    assert [row["arm"] for row in rows] == [FIRST, SECOND]


def test_report_collects_and_names_its_files(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "report", storage)
    paths = [Path(line) for line in out.splitlines()]
    assert code == 0 and all(path.is_file() for path in paths)
    assert [path.name for path in paths[-2:]] == ["report.html", "report.md"]
    assert paths[-2].parent == storage / "report"


def test_report_from_tables_alone(
    collected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(collected / "tables", tmp_path / "alone" / "tables")
    code, out, _ = run(capsys, "report", tmp_path / "alone", "--out", tmp_path / "out", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["tables"] == []
    for kind, ending in (("figures", "figures/*.svg"), ("csv", "tables/*.csv"), ("latex", "tables/*.tex")):
        assert sorted(answer[kind]) == sorted(map(str, (tmp_path / "out").glob(ending))) != []
    assert answer["report"] == str(tmp_path / "out" / "report.html")


def test_report_leaves_out_campaigns_that_left_the_storage(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("old", "broken"):
        partial_campaign(storage, name)
    run(capsys, "report", storage)
    shutil.rmtree(storage / "campaigns" / "old")
    (storage / "campaigns" / "broken" / "manifest.json").write_text("{")
    code, out, err = run(capsys, "report", storage, "--json")
    answer = json.loads(out)
    text = Path(answer["report"]).read_text()
    assert code == 0 and "<h1>two-arms</h1>" in text
    assert "<h1>old</h1>" not in text and "<h1>broken</h1>" not in text
    assert all(Path(name).name.startswith("two-arms--") for name in answer["figures"])
    assert "broken.parquet: tables of an earlier collection: the campaign was left out" in err
    assert "old.parquet: tables of an earlier collection: the storage does not hold" in err

    shutil.rmtree(storage / "campaigns")
    code, out, err = run(capsys, "report", storage)
    assert (code, out) == (2, "") and "no campaigns in this folder" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "{tmp}/nowhere"], "no such folder"),
        (["report", "{tmp}"], "no campaigns in this folder"),
        (["report", "{tmp}/storage", "--campaign", "x"], "no campaign 'x'"),
        (["report", "{tmp}/storage", "--out", "{tmp}/file"], "file: a file. Give a folder"),
        (["report", "{tmp}/storage", "--out", "{tmp}/file/below"], "file: a file. Give a folder"),
        (["tables", "collect", "{tmp}/storage", "--out", "{tmp}/file"], "file: a file. Give a folder"),
        (["tables", "collect", "{tmp}"], "no campaigns in this folder"),
        (["tables", "summary", "{tmp}"], "Run 'autoreid tables collect"),
        (["tables", "show", "trails", "--storage", "{tmp}/storage"], "Did you mean 'trials'"),
        (["tables", "show", "trials", "--storage", "{tmp}"], "no tables in this folder"),
        (
            ["tables", "show", "trials", "--storage", "{tmp}/storage", "--columns", "arms"],
            "Did you mean 'arm'",
        ),
        (["tables", "show", "trials", "--storage", "{tmp}/storage", "--columns", ","], "no column is named"),
        (["tables", "describe", "trails"], "Did you mean 'trials'"),
        (["tables"], "required: VERB"),
    ],
)
def test_mistakes_end_with_words_and_code_2(
    arguments: list[str],
    message: str,
    collected: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, out, err = run(capsys, *(argument.format(tmp=tmp_path) for argument in arguments))
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err
