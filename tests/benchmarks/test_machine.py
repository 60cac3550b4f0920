"""Where a benchmark ran, and what others did meanwhile."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import machine
import pytest

OPTIONS = argparse.Namespace(rounds=1, threads=1, short=True, device="cpu")


def test_processors_of_others_are_those_that_are_busy_without_us(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {"busy": 100.0, "own": 10.0, "now": 0.0}
    monkeypatch.setattr(machine, "busy_seconds", lambda: clocks["busy"])
    monkeypatch.setattr(machine, "own_seconds", lambda: clocks["own"])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: clocks["now"])
    watch = machine.Watch()
    clocks.update(busy=116.0, own=14.0, now=8.0)  # 16 seconds in 8, 4 of them ours
    assert watch.others() == 1.5
    clocks.update(own=40.0)  # clocks tick apart: never less than nothing
    assert watch.others() == 0.0
    monkeypatch.setattr(machine, "busy_seconds", lambda: None)
    assert watch.facts(OPTIONS)["others_busy"] is None


def test_a_table_says_on_what_it_was_measured() -> None:
    facts = machine.Watch().facts(OPTIONS)
    facts |= {"processor": "a processor", "cores": 2, "others_busy": 0.26, "gpu": "a GPU", "driver": "600"}
    said = machine.sentence(facts)
    assert "a GPU (driver 600), 2 cores of a processor, others kept 0.3 of them busy, 1 threads" in said
    assert said.endswith("1 rounds, short form")


def git(folder: Path, *words: str) -> None:
    given = ["-c", "user.name=a", "-c", "user.email=a@b", *words]
    subprocess.run(["git", *given], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_named_with_a_mark_where_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert machine.commit() == ""  # no git here
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    found = machine.commit()
    assert len(found) == 12
    (tmp_path / "file").write_text("two")
    assert machine.commit() == f"{found}+"
