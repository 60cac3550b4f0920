"""`autoreid data render | check | prepare`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import replica_files

from autoreid.cli import main
from autoreid.data.index import fingerprint
from autoreid.data.market1501 import read

SMALL = ["--identities", "4", "--cameras", "2", "--images", "2", "--height", "32", "--width", "16"]


def answer_of(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    result: dict[str, object] = json.loads(out)
    return result


def test_render_writes_a_set_that_check_accepts(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new" / "set"
    assert main(["data", "render", str(target), *SMALL, "--seed", "5", "--json"]) == 0
    result = answer_of(capsys)
    assert result["images"] == len(read(target))
    assert main(["data", "check", str(target), "--json"]) == 0
    assert answer_of(capsys)["usable"] is True
    again = tmp_path / "again"
    again.mkdir()
    assert main(["data", "render", str(again), *SMALL, "--seed", "5"]) == 0
    assert "train 8, query 4" in capsys.readouterr().out
    assert fingerprint(read(again)) == fingerprint(read(target))


def test_render_overwrites_nothing(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(market.rglob("*"))
    assert main(["data", "render", str(market), *SMALL]) == 2
    assert "is there and not empty. Give a new folder" in capsys.readouterr().err
    assert sorted(market.rglob("*")) == before


def test_render_reports_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--identities", "1", "--cameras", "0", "--height", "4", "--seed", "-1"]
    assert main(["data", "render", str(tmp_path / "set"), *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "render.identities",
        "render.cameras",
        "render.seed",
        "render.height",
    ]
    assert not (tmp_path / "set").exists()


def test_check_ends_with_2_when_the_data_cannot_be_used(
    market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(market)]) == 0
    assert "usable: yes" in capsys.readouterr().out
    (market / "query" / "0001_c1s1_000151_01.jpg").write_bytes(b"")
    assert main(["data", "check", str(market), "--json"]) == 2
    result = answer_of(capsys)
    assert result["usable"] is False
    assert isinstance(result["defects"], list)
    assert result["defects"][0]["kind"] == "unreadable image"


def test_prepare_decodes_into_the_cache(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "prepare", str(market), "--height", "16", "--width", "8"]
    assert main([*arguments, "--cache", str(tmp_path / "fast"), "--json"]) == 0
    result = answer_of(capsys)
    assert result["fingerprint"] == fingerprint(read(market))
    array = np.load(str(result["array"]))
    assert array.shape == (19, 3, 16, 8)
    assert Path(str(result["array"])).is_relative_to(tmp_path / "fast")
    assert main([*arguments, "--cache", str(tmp_path / "fast")]) == 0
    assert "19 images" in capsys.readouterr().out


def test_prepare_finds_the_set_and_takes_its_fields(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = replica_files.write_cuhk03_images(tmp_path / "data")
    arguments = ["data", "prepare", str(root), "--height", "16", "--width", "8", "--json"]
    assert main([*arguments, "--data-option", "variant=detected"]) == 0
    result = answer_of(capsys)
    assert (result["data_set"], result["images"]) == ("cuhk03", 13)
    assert result["facts"] == {"layout": "CUHK03, images extracted as torchreid does", "variant": "detected"}
    assert main([*arguments, "--data-option", "variant=drawn"]) == 2
    assert "--data-option variant: 'drawn' is not one of labeled, detected" in capsys.readouterr().err


def test_check_of_a_named_set_says_what_it_lacks(market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(market), "--data-set", "msmt17"]) == 2
    assert "no MSMT17 here. Give the folder with train/ and test/" in capsys.readouterr().out
    assert main(["data", "check", str(market), "--data-set", "market"]) == 2
    assert "--data-set: no data set 'market'. Did you mean 'market1501'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no action. Use render, check or prepare"),
        (["prepare", "nowhere"], "nowhere: no such folder"),
        (["prepare", "nowhere", "--height", "tall"], "invalid int value: 'tall'"),
        (["clean"], "invalid choice: 'clean'"),
    ],
)
def test_mistakes_are_messages(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not captured.out


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, autoreid.data.commands as c, argparse\n"
        "c.configure(argparse.ArgumentParser())\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'ray', 'pandas') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
