"""Storage: whole writes, outcomes last, the lowest valid attempt counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoreid.attempts import SMALL_BYTES, Outcome
from autoreid.errors import InputError, RunError, StorageError
from autoreid.folders import Folder, LocalFolder
from autoreid.storage import Storage


def test_records_come_back_in_order(folder: Folder) -> None:
    attempt = Storage(folder).job("j").new_attempt()
    assert attempt.records() == []
    attempt.write_records([{"epoch": 1}, {"epoch": 2}])
    attempt.write_records([{"epoch": 1}, {"epoch": 2}, {"epoch": 3}])
    assert attempt.records() == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}]


def test_the_lowest_valid_attempt_counts(folder: Folder) -> None:
    job = Storage(folder).job("j")
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
def test_an_attempt_with_damaged_files_does_not_count(folder: Folder, harm: str) -> None:
    job = Storage(folder).job("j")
    attempt = job.new_attempt()
    attempt.write("genotype.json", b"{}")
    attempt.finish(Outcome("done"))
    assert job.finished() is not None
    name = "outcome.json" if harm == "cut" else "genotype.json"
    if harm == "missing":
        attempt.folder.remove(name)
    else:
        attempt.folder.write(name, attempt.read(name)[:20] if harm == "cut" else b"[]")
    assert job.finished() is None


def test_attempts_of_ten_and_more_are_ordered_by_number(folder: Folder) -> None:
    job = Storage(folder).job("j")
    for _ in range(11):
        job.new_attempt().write("x", b"")
    names = [attempt.name for attempt in job.attempts()]
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


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (13, "Get the right to write there"),
        (30, "Get the right to write there"),
        (20, "Make the folder"),
        (28, "Free space"),
    ],
)
def test_what_helps_depends_on_why_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, "no")

    storage = Storage(tmp_path / "new" / "storage")
    storage.check_writable()
    assert list(tmp_path.iterdir()) == []  # the probe leaves nothing, and the folder is not made
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(RunError, match=f"cannot be written: no. {remedy} or choose another storage"):
        storage.check_writable()
    assert list(tmp_path.iterdir()) == []


def test_a_storage_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"/file: a file\. Give a folder"):
        Storage(tmp_path / "file" / "storage")


def test_an_unknown_campaign_is_named_with_the_known_ones(folder: Folder) -> None:
    storage = Storage(folder)
    storage.write_manifest("alpha", {"version": 1})
    with pytest.raises(InputError, match=r"no campaign .beta. in this storage\. Known: alpha"):
        storage.read_manifest("beta")


def test_a_newer_or_damaged_manifest_is_refused(folder: Folder) -> None:
    storage = Storage(folder)
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


def test_only_folders_with_a_manifest_are_campaigns(folder: Folder) -> None:
    storage = Storage(folder)
    storage.write_manifest("real", {"version": 1})
    storage.folder.write("campaigns/.DS_Store", b"")
    storage.folder.write("campaigns/empty/notes", b"")
    assert storage.campaigns() == ["real"]


def test_alien_files_among_attempts_are_passed_over(folder: Folder) -> None:
    job = Storage(folder).job("j")
    job.new_attempt().write("x", b"")
    folder.write("jobs/j/attempts/.DS_Store", b"")
    folder.write("jobs/j/attempts/notes/x", b"")
    assert len(job.attempts()) == 1
    assert str(job.new_attempt().folder).split("/")[-1].startswith("2-")


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    LocalFolder(tmp_path).write("a", b"")
    usual = tmp_path / "usual"
    usual.write_text("")
    assert (tmp_path / "a").stat().st_mode == usual.stat().st_mode


def test_a_disk_that_is_full_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself says so: what is opened for writing is /dev/full."""
    folder = LocalFolder(tmp_path)
    folder.write("a", b"old")
    intact = Path.open

    def full(path: Path, mode: str = "r", **more: object) -> object:
        return intact(Path("/dev/full"), "wb") if mode == "xb" else intact(path, mode, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StorageError, match="No space left on device"):
        folder.write("a", b"new")
    assert folder.read("a") == b"old"


def test_folders_are_gone_with_their_last_file(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "root")
    folder.write("a/b/c", b"")
    folder.write("a/d", b"")
    folder.remove("a/b/c")
    assert folder.children("a") == ["d"]
    folder.remove("a/d")
    assert folder.children() == []
    folder.remove("never/was")
    assert (tmp_path / "root").is_dir()


def test_an_outcome_of_another_job_does_not_count(folder: Folder) -> None:
    """An attempt that was copied by hand into another job's folder."""
    storage = Storage(folder)
    attempt = storage.job("one").new_attempt()
    attempt.finish(Outcome("done"))
    for name in folder.sizes("jobs/one/"):
        folder.write(name.replace("one", "two", 1), folder.read(name))
    assert storage.job("one").finished() is not None
    assert storage.job("two").finished() is None


def test_a_large_file_is_looked_at_by_its_size_and_read_by_its_digest(folder: Folder) -> None:
    job = Storage(folder).job("j")
    attempt = job.new_attempt()
    attempt.write("model.pt", bytes(SMALL_BYTES + 1))
    attempt.finish(Outcome("done"))
    assert attempt.vouched("model.pt", job.finished()[1]) == bytes(SMALL_BYTES + 1)
    attempt.folder.write("model.pt", b"1" + bytes(SMALL_BYTES))
    finished = job.finished()
    assert finished is not None
    with pytest.raises(StorageError, match=r"model\.pt: damaged: its digest is not the one"):
        finished[0].vouched("model.pt", finished[1])
    assert job.finished() is None  # whoever read it has noted it
    attempt.folder.remove("damaged.json")
    assert job.finished() is not None
    attempt.folder.write("model.pt", bytes(SMALL_BYTES))
    assert job.finished() is None


def test_a_final_failure_stays_until_somebody_asks_again(folder: Folder) -> None:
    job = Storage(folder).job("j")
    assert job.failed_for_good() is None
    job.new_attempt().finish(Outcome("failed", error="lost"))
    assert job.failed_for_good() is None
    job.new_attempt().finish(Outcome("failed", error="NaN", final=True))
    assert job.failed_for_good().error == "NaN"
    job.ask_again()
    assert job.failed_for_good() is None
    job.new_attempt().finish(Outcome("failed", error="NaN", final=True))
    assert job.failed_for_good() is not None


def test_cancelled_jobs_are_kept_for_each_campaign(folder: Folder) -> None:
    storage = Storage(folder)
    assert storage.cancelled("one") == frozenset()
    storage.cancel("one", ["a", "b"])
    storage.cancel("one", ["c"])
    storage.resume("one", ["b"])
    assert storage.cancelled("one") == {"a", "c"}
    assert storage.cancelled("two") == frozenset()
    storage.folder.write("campaigns/one/cancelled.json", b"[]")
    with pytest.raises(InputError, match="no list of jobs"):
        storage.cancelled("one")


def test_an_altered_manifest_is_refused(folder: Folder) -> None:
    storage = Storage(folder)
    storage.write_manifest("m", {"version": 1, "entries": [], "jobs": {}, "claim": "much"})
    assert storage.read_manifest("m")["claim"] == "much"
    name = "campaigns/m/manifest.json"
    folder.write(name, folder.read(name).replace(b"much", b"more"))
    with pytest.raises(InputError, match="altered since it was written"):
        storage.read_manifest("m")


def test_a_storage_of_a_newer_version_is_refused(folder: Folder) -> None:
    storage = Storage(folder)
    storage.check()
    storage.write_manifest("m", {"version": 1, "entries": [], "jobs": {}})
    storage.check()
    storage.folder.write("storage.json", b'{"version": 2}')
    for look in (storage.check, lambda: storage.read_manifest("m")):
        with pytest.raises(InputError, match=r"storage\.json: version 2; this release reads 1"):
            look()


def test_a_log_is_written_when_it_has_grown(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = Storage(folder).job("j").new_attempt()
    attempt.log("begins")
    assert attempt.read_log() == ""
    attempt.flush_log()
    assert attempt.read_log().endswith(" begins\n")
    monkeypatch.setattr(type(folder), "write", lambda *_: pytest.fail("nothing new was written"))
    attempt.flush_log()


def test_one_listing_shows_all_attempts_and_whether_they_are_whole(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Storage(folder).job("j")
    for _ in range(3):
        attempt = job.new_attempt()
        attempt.write("records.jsonl", b"{}")
        attempt.finish(Outcome("done"))
    folder.write("jobs/j/attempts/stray", b"")
    job.attempts()[0].folder.remove("records.jsonl")
    asked = []
    kind = type(folder)
    intact = kind.sizes
    monkeypatch.setattr(kind, "sizes", lambda self, *given: asked.append(given) or intact(self, *given))
    attempts = job.attempts()
    finished = job.finished(attempts)
    assert finished is not None and finished[0] is attempts[1]
    assert asked == [("attempts/",)]


def test_a_manifest_has_a_line_for_each_job(folder: Folder) -> None:
    storage = Storage(folder)
    manifest = {"version": 1, "entries": [{"job": "a"}, {"job": "b"}], "jobs": {"a": {"x": 1}, "b": {"x": 2}}}
    storage.write_manifest("m", manifest)
    lines = storage.folder.read("campaigns/m/manifest.json").decode().splitlines()
    assert '"b": {"x": 2}},' in lines and '{"job": "b"}],' in lines
    assert storage.read_manifest("m") == manifest
