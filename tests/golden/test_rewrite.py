"""Golden files are written anew only where the revision was raised, or for jobs that are new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rewrite
import torch
from golden_jobs import golden_ids

WRITTEN = json.loads((rewrite.FOLDER / "three_steps.json").read_text())
FILES = ("job_ids.json", "three_steps.json")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the golden files; the run gives what is written down."""
    for name in FILES:
        (tmp_path / name).write_bytes((rewrite.FOLDER / name).read_bytes())
    monkeypatch.setattr(rewrite, "FOLDER", tmp_path)
    monkeypatch.setattr(rewrite, "open_data", lambda cache: None)
    monkeypatch.setattr(rewrite, "golden_run", lambda data: WRITTEN)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    return tmp_path


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def test_nothing_changes_where_nothing_has_changed(folder: Path) -> None:
    before = contents(folder)
    assert rewrite.main() == 0
    assert contents(folder) == before


def test_a_new_job_is_written_down(folder: Path) -> None:
    ids = golden_ids()
    del ids["ids"]["train cdnet"]  # type: ignore[attr-defined]
    (folder / "job_ids.json").write_text(json.dumps(ids))
    assert rewrite.main() == 0
    assert json.loads((folder / "job_ids.json").read_text()) == golden_ids()


def test_what_changed_without_a_raised_revision_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = golden_ids()
    ids["ids"]["train cdnet"] = "0" * 32  # type: ignore[index]
    (folder / "job_ids.json").write_text(json.dumps(ids))
    monkeypatch.setattr(rewrite, "golden_run", lambda data: {**WRITTEN, "data": "other"})
    before = contents(folder)
    assert rewrite.main() == 1
    said = capsys.readouterr().err
    assert (
        "train cdnet: its id is another one" in said and "data: " in said and "raise ENGINE_REVISION" in said
    )
    assert contents(folder) == before


def test_a_raised_revision_writes_everything_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = {**WRITTEN, "data": "other", "engine_revision": 2}
    ids = {"engine_revision": 2, "ids": {"train cdnet": "0" * 32}}
    monkeypatch.setattr(rewrite, "ENGINE_REVISION", 2)
    monkeypatch.setattr(rewrite, "golden_run", lambda data: run)
    monkeypatch.setattr(rewrite, "golden_ids", lambda: ids)
    assert rewrite.main() == 0
    assert [json.loads(content) for content in contents(folder)] == [ids, run]


def test_a_processor_of_its_own_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(SystemExit, match="neither AVX2 nor AVX512"):
        rewrite.main()
