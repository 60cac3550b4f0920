"""Storage: whole writes, outcomes last, the lowest valid attempt counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoreid.attempts import Outcome
from autoreid.errors import InputError, RunError
from autoreid.folders import LocalFolder
from autoreid.storage import Storage


def test_records_come_back_in_order_over_parts(tmp_path: Path) -> None:
    attempt = Storage(tmp_path).job("j").new_attempt()
    attempt.write_records(1, [{"epoch": 1}, {"epoch": 2}])
    attempt.write_records(2, [{"epoch": 3}])
    assert attempt.records() == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}]


def test_the_lowest_valid_attempt_counts(tmp_path: Path) -> None:
    job = Storage(tmp_path).job("j")
    attempts = []
    for _ in range(3):
        attempts.append(job.new_attempt())
        attempts[-1].folder.write("started.json", b"{}")  # from here on its number is taken
    failed, first, second = attempts
    failed.finish(Outcome("failed", error="lost"))
    assert job.finished() is None
    second.write("a.txt", b"2")
    second.finish(Outcome("done", result={"value": 2}))
    assert job.finished()[1].result == {"value": 2}
    first.write("a.txt", b"1")
    first.finish(Outcome("done", result={"value": 1}))
    assert job.finished()[1].result == {"value": 1}


@pytest.mark.parametrize("harm", ["altered", "missing", "cut"])
def test_an_attempt_with_damaged_files_does_not_count(tmp_path: Path, harm: str) -> None:
    job = Storage(tmp_path).job("j")
    attempt = job.new_attempt()
    attempt.write("genotype.json", b"{}")
    attempt.finish(Outcome("done"))
    assert job.finished() is not None
    path = Path(str(attempt.folder)) / ("outcome.json" if harm == "cut" else "genotype.json")
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20] if harm == "cut" else b"[]")
    assert job.finished() is None


def test_attempts_of_ten_and_more_are_ordered_by_number(tmp_path: Path) -> None:
    job = Storage(tmp_path).job("j")
    for _ in range(11):
        job.new_attempt().write("x", b"")
    names = [Path(str(attempt.folder)).name for attempt in job.attempts()]
    assert [int(name.split("-")[0]) for name in names] == list(range(1, 12))


def test_a_failed_write_keeps_the_old_bytes_and_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match=r"No space left on device\. Free space"):
        folder.write("a", b"new")
    assert folder.read("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        LocalFolder(tmp_path / "file").write("a", b"")


def test_an_unknown_campaign_is_named_with_the_known_ones(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_manifest("alpha", {"version": 1})
    with pytest.raises(InputError, match=r"no campaign .beta. in this storage\. Known: alpha"):
        storage.read_manifest("beta")


def test_a_newer_or_damaged_manifest_is_refused(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_manifest("new", {"version": 99})
    with pytest.raises(InputError, match="version 99; this release reads 1"):
        storage.read_manifest("new")
    for name, content in (("empty", {"version": 1}), ("odd", {"version": 1, "entries": 3, "jobs": {}})):
        storage.write_manifest(name, content)
        with pytest.raises(InputError, match="no entries and jobs in it"):
            storage.read_manifest(name)
    storage.folder.write("campaigns/list/manifest.json", b"[]")
    with pytest.raises(InputError, match="not a manifest"):
        storage.read_manifest("list")
    storage.folder.write("campaigns/cut/manifest.json", b"{")
    with pytest.raises(InputError, match="not JSON"):
        storage.read_manifest("cut")


def test_only_folders_with_a_manifest_are_campaigns(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_manifest("real", {"version": 1})
    (tmp_path / "campaigns/.DS_Store").write_text("")
    (tmp_path / "campaigns/empty").mkdir()
    assert storage.campaigns() == ["real"]


def test_alien_files_among_attempts_are_passed_over(tmp_path: Path) -> None:
    job = Storage(tmp_path).job("j")
    job.new_attempt().write("x", b"")
    (tmp_path / "jobs/j/attempts/.DS_Store").write_text("")
    (tmp_path / "jobs/j/attempts/notes").mkdir()
    assert len(job.attempts()) == 1
    assert str(job.new_attempt().folder).split("/")[-1].startswith("2-")


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    LocalFolder(tmp_path).write("a", b"")
    usual = tmp_path / "usual"
    usual.write_text("")
    assert (tmp_path / "a").stat().st_mode == usual.stat().st_mode
