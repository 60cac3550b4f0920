"""The command: light, forgiving of broken plug-ins, clear about mistakes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import analysis
import autoreid
import autoreid.cli
import search_spaces
import tune_runs
from autoreid.cli import Command, main
from autoreid.commands import demo_lines
from search_spaces.published import PUBLISHED

HEAVY = ("torch", "torchvision", "ray", "pandas", "pyarrow", "optuna", "matplotlib", "scipy", "pydantic")


def test_packages_come_from_where_they_were_installed() -> None:
    homes = {
        Path(package.__file__).parent.parent for package in (autoreid, search_spaces, tune_runs, analysis)
    }
    assert len(homes) == 1
    assert all(package.__file__ for package in (autoreid, search_spaces, tune_runs, analysis))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["search", "--help"], ["campaign", "--help"], ["doctor", "--help"], ["--version"]],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from autoreid.cli import Command, main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_public_names_are_listed_and_load() -> None:
    assert dir(autoreid) == sorted(autoreid.__all__)
    assert all(getattr(autoreid, name) is not None for name in autoreid.__all__)


def test_every_declared_command_loads() -> None:
    commands, broken = autoreid.cli.find_commands()
    assert broken == {}
    expected = {"demo", "data", "search", "train", "evaluate", "evaluate-features", "complexity", "genotype"}
    assert expected | {"campaign", "doctor", "tables", "report"} <= commands.keys()


def test_help_describes_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    commands, _ = autoreid.cli.find_commands()
    for name, command in commands.items():
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
        assert line.endswith(f"  {command.summary}")
    assert "exit codes" in text


def test_every_command_is_in_one_group_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    grouped = [name for names in autoreid.cli.GROUPS.values() for name in names]
    commands, _ = autoreid.cli.find_commands()
    assert sorted(grouped) == sorted(commands)
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    places = [text.index(title) for title in autoreid.cli.GROUPS]
    assert places == sorted(places)
    assert autoreid.cli.OTHERS not in text
    theirs = Command("theirs", "What another package does.", lambda parser: None, lambda options: 0)
    said = autoreid.cli.commands_text(commands | {"theirs": theirs})
    assert said.endswith(f"\n\n{autoreid.cli.OTHERS}\n  theirs             What another package does.")


def test_a_broken_plug_in_does_not_break_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EntryPoint("broken", "no_such_module:COMMAND", "autoreid.commands")
    monkeypatch.setattr(autoreid.cli, "entry_points", lambda group: [broken, *_real(group)])
    assert main(["genotype", "show", "cdnet-top2"]) == 0
    assert main(["broken"]) == 2
    assert "could not be loaded: ModuleNotFoundError" in capsys.readouterr().err


def _real(group: str) -> Any:
    from importlib.metadata import entry_points

    return entry_points(group=group)


def test_the_demo_is_a_list_of_command_lines_that_exist() -> None:
    commands, _ = autoreid.cli.find_commands()
    parser = autoreid.cli.build_parser(commands, {})
    for line in demo_lines("somewhere", quiet=True):
        assert parser.parse_args(line).command == line[0]


@pytest.mark.parametrize(
    ("command", "starts"),
    [
        (["search"], ["--recipe", "--data", "--execution compile", "s3"]),
        (
            ["train", "--genotype", "cdnet-topp2"],
            ["no model", "--recipe", "--data", "--execution compile", "s3"],
        ),
    ],
)
def test_mistakes_of_several_flags_are_told_at_once(
    command: list[str], starts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--recipe", "cdnett", "--data", "shotss", "--execution", "compile=perhaps", "--out", "s3://b/o"]
    assert main([*command, *given]) == 2
    told = capsys.readouterr().err
    places = [told.index(start) for start in starts]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serch"], "no command 'serch'. Did you mean 'search'?"),
        (["complexity"], "MODEL"),
        (["complexity", "cdnet-top9"], "no model 'cdnet-top9'. Did you mean 'cdnet-top"),
        (["complexity", "cdnet-top2", "--neck", "fbl"], "'fbl' is not one of bnneck"),
        (["search", "--data", "rendered", "--out", "o", "--recipe", "cdnt"], "Did you mean 'cdnet'?"),
        (["search", "--data", "rendered", "--out", "o", "--set", "epoch=3"], "Did you mean 'epochs'?"),
        (["search", "--data", "rendered", "--out", "o", "--set", "epochs"], "'epochs' is not FIELD=VALUE"),
        (
            ["search", "--data", "rendered", "--out", "o", "--execution", "supernet=slow"],
            "--execution supernet: 'slow' is not one of",
        ),
        (
            [
                "train",
                "--genotype",
                "cdnet-top2",
                "--data",
                "rendered",
                "--out",
                "o",
                "--execution",
                "compil=1",
            ],
            "Did you mean 'compile'?",
        ),
        (["search", "--data", "rendered", "--out", "o", "--space", "cd-v1"], "no space 'cd-v1'"),
        (["search", "--data", "missing", "--out", "o"], "missing: no such folder"),
        (["search", "--data", "rendred", "--out", "o"], "Did you mean 'rendered', the built-in data?"),
        (["train", "--genotype", "x.json", "--data", "rendered", "--out", "o"], "no model 'x.json'"),
        (["evaluate", "model.pt", "--data", "rendered"], "model.pt: no such file"),
        (["search", "--data", "rendered", "--out", "o", "--device", "gpu"], "no device 'gpu'"),
        (["search", "--data", "rendered", "--out", "s3://b/o"], "s3://b/o: a single run is kept in a folder"),
        (
            ["train", "--genotype", "cdnet-top2", "--data", "rendered", "--out", "s3://b/o"],
            "s3://b/o: a single run is kept in a folder",
        ),
    ],
)
def test_mistakes_end_with_two_and_without_traceback(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())  # nothing was begun


@pytest.mark.parametrize(
    "line",
    [
        ["complexity", "PLACE"],
        ["gallery", "build", "model.pt", "images", "--out", "PLACE"],
        ["gallery", "calibrate", "model.pt", "--data", "people", "--out", "PLACE"],
        ["model", "pack", "PLACE", "--out", "net.safetensors"],
        ["model", "from-torchreid", "PLACE", "--out", "net.safetensors"],
    ],
    ids=lambda line: " ".join(line[:2]),
)
@pytest.mark.parametrize("place", ["~no-such-name/a", "a" * 256])
def test_a_place_that_cannot_be_looked_at_is_named(
    line: list[str],
    place: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pt").touch()
    assert main([place if part == "PLACE" else part for part in line]) == 2
    said = capsys.readouterr().err
    assert place in said and "Traceback" not in said


def test_a_folder_that_may_not_be_entered_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    assert main(["complexity", "private/net.pt"]) == 2
    assert capsys.readouterr().err.startswith("autoreid: private/net.pt: Permission denied. ")
    with pytest.raises(PermissionError):
        main(["--debug", "complexity", "private/net.pt"])


@pytest.mark.parametrize(("pipe", "code", "words"), [("full", 1, "No space left"), ("closed", 0, "")])
def test_an_answer_that_nobody_can_take_ends_without_traceback(pipe: str, code: int, words: str) -> None:
    line = [sys.executable, "-m", "autoreid.cli", "tables", "describe"]
    if pipe == "full":
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    else:
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(line, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
        os.close(write)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_genotype_file_of_another_space_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = PUBLISHED["cnet-top2"].plain() | {"space": "cds-v1"}
    (tmp_path / "g.json").write_text(json.dumps(plain))
    assert main(["complexity", str(tmp_path / "g.json")]) == 2
    assert "no option '(5,7)'" in capsys.readouterr().err


def test_complexity_prints_one_object_or_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complexity", "cdnet-top2", "--height", "256", "--width", "128", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["multiply_adds"]["backbone"] == 948_771_840
    assert one["params"] == {
        "backbone": 1_747_448,
        "inference": 1_796_600,
        "training": 2_963_414,
        "printed_convention": 1_747_448 + 512 * 751 + 751,
    }
    assert main(["complexity", "cdnet-top2", "cnet-top1", "--json"]) == 0
    assert [row["model"] for row in json.loads(capsys.readouterr().out)] == ["cdnet-top2", "cnet-top1"]


def test_search_train_and_evaluate_from_the_command_line(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    assert main(["data", "render", str(folder), "--identities", "12", "--cameras", "2", "--images", "2"]) == 0
    common = ["--data", str(folder), "--cache", str(cache), "--device", "cpu", "--threads", "1"]
    small = [
        "height=64",
        "width=32",
        "width_multiplier=0.1",
        "epochs=1",
        "batch.identities=4",
        "batch.images=2",
    ]
    settings = [part for setting in small for part in ("--set", setting)]
    out = tmp_path / "search"
    assert main(["search", *common, *settings, "--space", "cs-v1", "--out", str(out), "--quiet"]) == 0
    genotype = str(out / "genotype.json")
    trained = tmp_path / "train"
    capsys.readouterr()
    arguments = ["train", "--genotype", genotype, *common, *settings, "--out", str(trained), "--json"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert "epoch 1/1: loss" in captured.err
    assert result["network"].startswith("cs-v1: mblock1=(")
    assert main(["evaluate", str(trained), *common, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == result["evaluation"]
    assert main(["evaluate", str(trained), *common, "--memory", "2KiB"]) == 2
    assert "--memory: 2KiB is too little for this evaluation" in capsys.readouterr().err
    assert main(["evaluate", str(trained), *common, "--rerank", "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert {**scores, "reranked": both["reranked"]} == both
    assert both["reranked"]["protocol"]["reranking"] == {
        "k1": 20,
        "k2": 6,
        "lambda": 0.3,
        "flavour": "squared-euclidean",
    }
    ends = {"mAP_low", "mAP_high", "rank_1_low", "rank_1_high"}
    said = {"queries", "left_out", "absent_identities", "feature", "protocol"}
    assert {"mAP", "rank_1", "rank_5", "rank_10", "mINP"} | said | ends == scores.keys()
    assert scores["feature"] == "f_tri and 2 stripes"
