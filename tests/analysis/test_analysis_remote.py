"""Tables and reports of a storage in an object store."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_storage import ARMS, FakeCampaign, partial_campaign
from local_s3 import BUCKET, Proxy, address

from analysis.collect import collect
from analysis.report import report
from autoreid.cli import main
from autoreid.folders import open_folder
from autoreid.storage import Storage


@pytest.fixture
def remote(s3_port: int, tmp_path: Path) -> str:
    """The address of a copy of the example without tables."""
    where = address(s3_port, tmp_path.name)
    partial_campaign(where)
    return where


def test_tables_and_report_are_those_of_a_disk(remote: str, example: Path, tmp_path: Path) -> None:
    shown = f"s3://{BUCKET}/{tmp_path.name}"
    found = collect(remote)
    assert found.warnings == ()
    names = report(remote)
    local = [str(path) for path in report(example, tmp_path / "report")]
    assert [name.removeprefix(f"{shown}/report/") for name in names] == [
        name.removeprefix(f"{tmp_path}/report/") for name in local
    ]
    folder = open_folder(remote)
    for name in found.files:
        plain = name.removeprefix(f"{shown}/")
        assert folder.read(plain) == (example / plain).read_bytes()
    for there, here in zip(names, local, strict=True):
        assert folder.read(there.removeprefix(f"{shown}/")) == Path(here).read_bytes()


def test_commands_take_addresses(remote: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = f"s3://{BUCKET}/{tmp_path.name}"
    assert main(["tables", "collect", remote]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{shown}/tables/trials/two-arms.parquet"
    assert main(["tables", "show", "trials", "--storage", remote, "--columns", "arm", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 16
    assert main(["tables", "summary", remote]) == 0
    assert ARMS.keys() <= {line.partition("  ")[0] for line in capsys.readouterr().out.splitlines()}
    assert main(["report", remote, "--out", str(tmp_path / "here")]) == 0
    assert f"{tmp_path}/here/report.html" in capsys.readouterr().out.splitlines()
    assert (tmp_path / "here/report.html").is_file() and "report" not in open_folder(remote).children()


def test_what_is_not_there_is_said(s3_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = address(s3_port, tmp_path.name)
    for command, words in (
        (["tables", "collect", where], "no campaigns in this folder"),
        (["tables", "summary", where], "no tables in this folder"),
        (["report", where], "no campaigns in this folder"),
        (["report", where.replace(BUCKET, "resutls")], "s3://resutls: no such bucket"),
    ):
        assert main(command) == 2
        assert words in capsys.readouterr().err


def test_a_network_that_fails_is_no_damage(
    remote: str, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = address(proxy.port, tmp_path.name)
    Storage(where).check()

    def fail(request: str) -> None:
        if "outcome.json" in request:
            proxy.refuse()

    proxy.before = fail
    assert main(["tables", "collect", where]) == 1
    error = capsys.readouterr().err
    # Jobs are looked at side by side: a listing may be what meets the silence first.
    assert (
        re.search("cannot be (read|listed): AWS Error NETWORK_CONNECTION", error) and "warning" not in error
    )
    assert "tables" not in open_folder(remote).children()


def test_a_storage_on_a_disk_may_have_its_tables_elsewhere(
    storage: Path, s3_port: int, campaign: FakeCampaign, tmp_path: Path
) -> None:
    where = address(s3_port, tmp_path.name)
    names = [name.removeprefix(f"s3://{BUCKET}/{tmp_path.name}/") for name in collect(storage, where).files]
    assert sorted(names) == list(open_folder(where).sizes())
    assert report(where)[0].endswith("/report/report.html")
    assert not (storage / "tables").exists()
