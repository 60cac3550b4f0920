"""Running all cases: command lines, the summary, exit codes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import run

CASE = """
import argparse, sys
from side_by_side import Measurement, Promise, main
def measure(options):
    if {fails}:
        raise RuntimeError("broken")
    return [Measurement("{name}", "fused", 0.5, 0.5, {ratio}, "plain")]
sys.exit(main("{name}", measure, promises=[Promise("fused", least=2.0)]))
"""


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three cases: one keeps its promise, one breaks it, one fails."""
    for name, ratio, fails in (("good", 3.0, False), ("slow", 1.0, False), ("broken", 1.0, True)):
        (tmp_path / f"{name}.py").write_text(CASE.format(name=name, ratio=ratio, fails=fails))
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "CASES", tuple(map(run.Case, ("good", "slow", "broken"))))
    monkeypatch.setenv("PYTHONPATH", str(Path(run.__file__).parent))
    return tmp_path


def run_all(monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> int:
    flags = ["--device", "cpu", "--threads", "1", "--history", str(folder / "history")]
    monkeypatch.setattr(sys, "argv", ["run.py", *names, *flags])
    return run.main()


def test_a_kept_promise_is_exit_code_0_and_leaves_rows(
    cases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_all(monkeypatch, cases, "good") == 0
    shown = capsys.readouterr().out
    assert "| fused | 0.5 | 0.5 | 3 | plain |" in shown
    assert "1 promise kept" in shown.splitlines()[-1]
    assert len(list((cases / "history").glob("*-good-*.parquet"))) == 1
    assert [path.name for path in (cases / "history").glob("*.png")] == ["good.png"]


def test_a_broken_promise_and_a_failure_are_named_and_the_rest_runs(
    cases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_all(monkeypatch, cases, "broken", "slow") == 1
    *_, broken, slow = capsys.readouterr().out.splitlines()
    assert "failed with exit code 1" in broken
    assert "NOT KEPT: fused: ratio at least 2" in slow
    assert [path.name for path in (cases / "history").glob("*.png")] == ["slow.png"]


def test_an_unknown_case_is_named(cases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="Known: good, slow, broken"):
        run_all(monkeypatch, cases, "god")


def test_short_forms_unless_long_ones_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = {"device": "cpu", "threads": None, "history": Path("h"), "peers": "p", "torchreid": None}
    case = run.Case("evaluation", long=((), ("--size", "msmt17")), peers="--peers")
    ((_, short),) = run.command_lines([case], argparse.Namespace(long=False, **parsed))
    assert short[2:] == ["--short", "--json", "--device", "cpu", "--history", "h", "--peers", "p"]
    lines = [command[2:] for _, command in run.command_lines([case], argparse.Namespace(long=True, **parsed))]
    assert [line[:2] for line in lines] == [["--json", "--device"], ["--size", "msmt17"]]


def test_every_case_is_a_file_with_a_page_and_is_listed_in_the_docs() -> None:
    folder = Path(run.__file__).parent
    names = [case.name for case in run.CASES]
    missing = [
        f"{name}{end}" for name in names for end in (".py", ".md") if not (folder / f"{name}{end}").is_file()
    ]
    assert missing == []
    docs = (folder.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [name for name in names if f"benchmarks/{name}.md" not in docs] == []
