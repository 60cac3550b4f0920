import json
import os
import sys
import time
import types

import pytest
from campaigns import FINGERPRINT, FITTING, SMALL, run_at_once, small

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.errors import InputError, StorageError
from autoreid.folders import LocalFolder
from autoreid.leases import TERM_SECONDS, Lease
from autoreid.storage import Storage
from tune_runs.housekeeping import QUIET_SECONDS, tidy, tidy_text
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan

OTHER = SMALL.replace("name: small", "name: other").replace("epochs: 2", "epochs: 4")
LATER = QUIET_SECONDS + 60


@pytest.fixture
def storage(folder):
    """Two campaigns without a job in common, in a folder and in an object store."""
    storage = Storage(folder)
    for text in (SMALL, OTHER):
        save_manifest(storage, make_plan(small("repeats=1", text=text), FINGERPRINT))
    return storage


def jobs_of(text=SMALL):
    return list(make_plan(small("repeats=1", text=text), FINGERPRINT).jobs)


def attempt(storage, job, status=None, files=("genotype.json",), checkpoints=2):
    """An attempt as it is left by a process that was killed: with or without an outcome."""
    made = storage.job(job).new_attempt()
    for number in range(checkpoints):
        made.folder.write(f"checkpoints/{number:05d}.pt", b"weights " * 100)
        made.folder.write(f"checkpoints/{number:05d}.json", b"{}")
    for name in ("started.json", "log.txt"):
        made.folder.write(name, b"{}")
    made.write("records.jsonl", b"{}\n")
    for name in files:
        made.write(name, name.encode())
    if status:
        made.finish(Outcome(status))
    return made


def names(storage):
    return set(storage.folder.sizes())


def test_a_finished_job_keeps_its_result_and_what_its_attempts_tell(storage):
    job = jobs_of()[0]
    killed = attempt(storage, job)
    done = attempt(storage, job, "done", files=("genotype.json", "supernet.pt"))
    copy = attempt(storage, job, "done", checkpoints=0)
    before = names(storage)
    plain = tidy(storage)
    gone = {f"{killed.name}/genotype.json"}
    gone |= {
        f"{one.name}/checkpoints/{number:05d}.{kind}"
        for one in (killed, done)
        for number in range(2)
        for kind in ("pt", "json")
    }
    assert before - names(storage) == {f"jobs/{job}/attempts/{name}" for name in gone} == set(plain["files"])
    assert plain["bytes"] == 4 * 802 + len("genotype.json")
    finished = storage.job(job).finished()
    assert finished is not None and finished[0].name == done.name
    assert copy.valid(copy.outcome())
    assert killed.records() == [{}] and killed.read_log() == "{}"
    assert tidy(storage)["files"] == []


def test_what_is_still_to_be_run_keeps_its_checkpoints(storage):
    for job, status in zip(jobs_of(), (None, "failed"), strict=False):
        attempt(storage, job, status)
    before = names(storage)
    assert tidy(storage)["files"] == []
    assert names(storage) == before


def test_jobs_that_no_campaign_plans_lose_their_checkpoints_alone(storage):
    attempt(storage, "a" * 32)
    attempt(storage, jobs_of(OTHER)[0])
    assert [len(tidy(storage, dry_run=True, keep=keep)["files"]) for keep in ((), ["other"], ["small"])] == [
        4,
        4,
        8,
    ]
    plain = tidy(storage)
    assert set(plain["kinds"]) == {"checkpoints of jobs that no campaign plans"}
    assert {name.split("/")[1] for name in plain["files"]} == {"a" * 32}
    assert sum("a" * 32 in name for name in names(storage)) == 4


def test_a_dry_run_removes_nothing_and_says_the_same(storage):
    attempt(storage, jobs_of()[0], "done")
    before = names(storage)
    dry = tidy(storage, dry_run=True)
    assert names(storage) == before
    wet = tidy(storage)
    assert wet == dry | {"dry_run": False}
    assert len(dry["files"]) == 4
    assert tidy_text(dry).splitlines() == [
        "  what                          files  size",
        "  checkpoints of finished jobs  4      0.0 MiB",
        "0.0 MiB would be removed; this was a dry run.",
    ]
    assert tidy_text(wet).endswith("0.0 MiB removed.")
    assert tidy_text(tidy(storage)).endswith("nothing to remove.")


def test_a_job_that_somebody_works_on_is_left_alone(storage):
    job = jobs_of()[0]
    attempt(storage, job, "done")
    late = attempt(storage, job)
    orphan = attempt(storage, "a" * 32)
    Lease.of_this_process().write(late.folder)
    Lease("node7", "another table", 1, None, time.time() - TERM_SECONDS / 2).write(orphan.folder)
    before = names(storage)
    plain = tidy(storage)
    assert names(storage) == before
    assert sorted(plain["running"]) == sorted([job, "a" * 32])
    assert "2 running jobs left alone" in tidy_text(plain)
    Lease("node7", "another table", 1, None, time.time() - 2 * TERM_SECONDS).write(orphan.folder)
    assert {name.split("/")[1] for name in tidy(storage)["files"]} == {"a" * 32}


def test_a_job_that_begins_while_others_are_tidied_up_is_left_alone(storage, monkeypatch):
    first, second = sorted(jobs_of())[:2]
    attempt(storage, first, "done")
    late = attempt(storage, second, "done")
    intact = type(storage.folder).remove

    def remove(folder, name):
        if first in name:
            Lease.of_this_process().write(storage.job(second).new_attempt().folder)
        intact(folder, name)

    monkeypatch.setattr(type(storage.folder), "remove", remove)
    assert tidy(storage)["running"] == [second]
    assert len(late.folder.sizes("checkpoints/")) == 4


def test_a_job_that_is_planned_while_files_are_listed_keeps_its_checkpoints(tmp_path, monkeypatch):
    storage = Storage(tmp_path)
    save_manifest(storage, make_plan(small("repeats=1"), FINGERPRINT))
    late = jobs_of(OTHER)[0]
    intact = LocalFolder.files

    def files(folder, below=""):
        if folder.root == tmp_path:
            save_manifest(storage, make_plan(small("repeats=1", text=OTHER), FINGERPRINT))
            attempt(storage, late)
        return intact(folder, below)

    monkeypatch.setattr(LocalFolder, "files", files)
    assert tidy(storage)["files"] == []
    monkeypatch.undo()
    assert len(tidy(storage, keep=["small"])["files"]) == 4


def test_rehearsals_and_writes_that_broke_off_go_once_nothing_changes_there(tmp_path):
    storage = Storage(tmp_path)
    save_manifest(storage, make_plan(small("repeats=1"), FINGERPRINT))
    part = ".part-" + "0" * 32
    for name in ("old", "young"):
        storage.folder.write(f"rehearsals/{name}/jobs/x/job.json", b"{}")
        storage.folder.write(f"rehearsals/{name}/weights/w.pt", b"12345")
        storage.folder.write(f"jobs/{name}/attempts/1-aa/{part}", b"123")
    storage.folder.write("jobs/.part-of-mine", b"not ours")
    then = time.time() - LATER
    for path in (tmp_path / "jobs").rglob(".part*"):
        if "young" not in str(path):
            os.utime(path, (then, then))
    for path in (tmp_path / "rehearsals").rglob("*"):
        if not (path.name == "w.pt" and "young" in str(path)):  # there, only the newest file is young
            os.utime(path, (then, then))
    plain = tidy(storage)
    assert sorted(plain["files"]) == [
        f"jobs/old/attempts/1-aa/{part}",
        "rehearsals/old/jobs/x/job.json",
        "rehearsals/old/weights/w.pt",
    ]
    assert plain["bytes"] == 10
    assert not (tmp_path / "rehearsals/old").exists() and (tmp_path / "rehearsals/young/weights").exists()
    assert (tmp_path / f"jobs/young/attempts/1-aa/{part}").exists() and (
        tmp_path / "jobs/.part-of-mine"
    ).exists()


def test_where_a_manifest_cannot_be_read_nothing_is_removed(tmp_path):
    with pytest.raises(InputError, match="no campaign in this folder"):
        tidy(Storage(tmp_path))
    storage = Storage(tmp_path)
    for text in (SMALL, OTHER):
        save_manifest(storage, make_plan(small("repeats=1", text=text), FINGERPRINT))
    attempt(storage, jobs_of()[0], "done")
    before = names(storage)
    for name in ("small", "other"):
        storage.folder.write(f"campaigns/{name}/manifest.json", b"{")
    with pytest.raises(InputError) as raised:
        tidy(storage)
    assert [problem.split("/")[-2] for problem in raised.value.problems] == ["other", "small"]
    with pytest.raises(InputError, match=r"no campaign 'smal' in this storage\. Known: other, small"):
        tidy(storage, keep=["smal"])
    assert names(storage) == before


def test_finished_jobs_are_known_without_being_read(tmp_path, monkeypatch):
    storage = Storage(tmp_path)
    save_manifest(storage, make_plan(small("repeats=1"), FINGERPRINT))
    for job in jobs_of():
        attempt(storage, job, "done", checkpoints=0)
    intact, read = LocalFolder.read, []

    def reading(folder, name):
        read.append(name)
        return intact(folder, name)

    monkeypatch.setattr(LocalFolder, "read", reading)
    assert tidy(storage)["files"] == []
    assert set(read) == {"storage.json", "campaigns/small/manifest.json"}


def test_a_storage_that_refuses_ends_it_with_a_word(tmp_path, monkeypatch):
    storage = Storage(tmp_path)
    save_manifest(storage, make_plan(small("repeats=1"), FINGERPRINT))
    attempt(storage, jobs_of()[0], "done")

    def refuse(folder, name):
        raise StorageError(f"{folder}/{name}: cannot be written: Read-only file system.")

    monkeypatch.setattr(LocalFolder, "remove", refuse)
    with pytest.raises(StorageError, match="Read-only"):
        tidy(storage)


def test_the_command_tidies_a_storage_and_a_campaign_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "tune_runs.tuning", types.SimpleNamespace(tune_jobs=run_at_once))
    (tmp_path / "small.yaml").write_text(FITTING)
    run = ["campaign", "run", str(tmp_path / "small.yaml"), "--storage", str(tmp_path / "s"), "--quiet"]
    assert main(run) == 0
    storage = Storage(tmp_path / "s")
    job = next(storage.jobs())
    attempt(storage, job)
    capsys.readouterr()
    line = ["campaign", "gc", str(tmp_path / "s"), "--keep-campaign", "small", "--json"]
    assert main([*line, "--dry-run"]) == 0
    dry = json.loads(capsys.readouterr().out)
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out) == dry | {"dry_run": False}
    assert len(dry["files"]) == 5
    assert main(run) == 0
    assert "nothing was run" in capsys.readouterr().out
