"""What a hand, a disk or another release did to a storage is said by every command, or is repaired."""

import json
import shutil
import sys
import types

import pyarrow.parquet as pq
import pytest
from campaigns import FITTING, run_at_once

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.storage import Storage


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command on the storage; the exit code, what it answered and what it said."""
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "tune_runs.tuning", types.SimpleNamespace(tune_jobs=run_at_once))
    (tmp_path / "small.yaml").write_text(FITTING)
    storage = str(tmp_path / "storage")
    lines = {
        "plan": ["campaign", "plan", str(tmp_path / "small.yaml"), "--storage", storage],
        "run": ["campaign", "run", str(tmp_path / "small.yaml"), "--storage", storage],
        "status": ["campaign", "status", storage],
        "why": ["campaign", "why", storage, "0000"],
        "retry": ["campaign", "retry", storage, "--campaign", "small"],
        "collect": ["tables", "collect", storage],
    }

    def call(name, *more):
        code = main([*lines[name], *more])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_storage_that_cannot_be_written_is_said_before_the_data_are_read(command, monkeypatch):
    def refuse(_):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr("os.fsync", refuse)
    code, _, said = command("run")
    assert code == 1 and "cannot be written: Permission denied. Get the right to write there" in said
    assert "reading the data" not in said


@pytest.fixture
def storage(tmp_path, command):
    """A finished campaign."""
    assert command("run", "--quiet")[0] == 0
    return Storage(tmp_path / "storage")


def manifest_of(storage):
    return json.loads(storage.folder.read("campaigns/small/manifest.json"))


def jobs_of(storage, kind):
    return [entry["job"] for entry in manifest_of(storage)["entries"] if entry["kind"] == kind]


def everything(storage):
    return {name: storage.folder.read(name) for name in storage.folder.sizes() if "tables/" not in name}


ALTERED = (
    "manifest.json: altered since it was written: its digest does not fit. Restore the file, or remove it"
)


@pytest.mark.parametrize("name", ["plan", "run", "collect", "retry"])
def test_an_altered_manifest_is_refused_and_nothing_is_written(storage, command, name):
    place = "campaigns/small/manifest.json"
    storage.folder.write(place, storage.folder.read(place).replace(b'"epochs": 2', b'"epochs": 4'))
    before = everything(storage)
    code, answer, said = command(name)
    assert (code, answer) == (2, "") and ALTERED in said and "Traceback" not in said
    assert everything(storage) == before


def test_an_altered_manifest_hides_no_other_campaign(storage, command, tmp_path):
    manifest = manifest_of(storage)
    storage.write_manifest("other", {**manifest, "name": "other"})
    storage.folder.write("campaigns/small/manifest.json", json.dumps({**manifest, "claim": "more"}).encode())
    code, answer, _ = command("status", "--json")
    plain = json.loads(answer)
    assert code == 0 and [campaign["campaign"] for campaign in plain["campaigns"]] == ["other"]
    assert len(plain["problems"]) == 1 and ALTERED in plain["problems"][0]
    code, _, said = command("collect")
    assert code == 0 and "campaign small is left out" in said and ALTERED in said
    assert [path.name for path in (tmp_path / "storage/tables/trials").iterdir()] == ["other.parquet"]


def test_a_removed_manifest_is_written_anew_and_no_result_is_lost(storage, command):
    before = everything(storage)
    storage.folder.remove("campaigns/small/manifest.json")
    code, answer, _ = command("run", "--json", "--quiet")
    assert code == 0 and json.loads(answer)["reused"] == 8
    after = everything(storage)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} <= {"campaigns/small/manifest.json"}
    old, new = (json.loads(files["campaigns/small/manifest.json"]) for files in (before, after))
    assert all(new[key] == old[key] for key in new.keys() - {"created", "updated", "digest"})


@pytest.mark.parametrize("name", ["plan", "run", "status", "collect", "why", "retry"])
@pytest.mark.parametrize("content", [b'{"version": 99}', b"{}", b"[]"])
def test_a_storage_of_another_version_is_refused_by_every_command(storage, command, name, content):
    storage.folder.write("storage.json", content)
    before = everything(storage)
    code, answer, said = command(name)
    version = "99" if b"99" in content else "None"
    assert (code, answer) == (2, "")
    assert f"storage.json: version {version}; this release reads 1. Use the release that wrote it" in said
    assert everything(storage) == before


@pytest.mark.parametrize("name", ["plan", "run", "status", "collect"])
def test_a_manifest_of_a_newer_version_is_named(storage, command, name):
    storage.write_manifest("small", {**manifest_of(storage), "version": 2})
    code, answer, said = command(name)
    assert (code == 0) is (name == "status")
    assert "manifest.json: version 2; this release reads 1." in (answer if name == "status" else said)


def edited(storage, job, other):
    """Edit the description of a job by hand, so that it describes another one."""
    storage.job(job).folder.write("job.json", storage.job(other).folder.read("job.json"))


def unfinished(storage, job):
    """Leave of a job's attempts one that was interrupted."""
    for attempt in storage.job(job).attempts():
        storage.job(job).withdraw(attempt)
    storage.job(job).new_attempt().folder.write("started.json", b"{}")


def test_an_edited_description_of_unfinished_work_is_refused_and_repaired(storage, command):
    job, other = jobs_of(storage, "search")[:2]
    unfinished(storage, job)
    edited(storage, job, other)
    problem = (
        f"altered: its content gives the id {other} and names the id {other}, its folder has the id {job}. "
    )
    problem += "Remove the file"
    before = everything(storage)
    for name in ("plan", "run"):
        code, answer, said = command(name)
        assert (code, answer) == (2, "") and problem in said
    (campaign,) = json.loads(command("status", "--json")[1])["campaigns"]
    assert problem in campaign["problems"][0] and campaign["jobs"]["started"] == 1
    assert problem in command("status")[1]
    assert everything(storage) == before
    storage.job(job).folder.remove("job.json")
    code, answer, _ = command("run", "--json", "--quiet")
    assert code == 0 and (json.loads(answer)["ran"], json.loads(answer)["reused"]) == (1, 7)
    assert json.loads(storage.job(job).folder.read("job.json"))["id"] == job


def test_an_edited_description_of_finished_work_changes_no_result(storage, command, tmp_path):
    job, other = jobs_of(storage, "train")[:2]
    command("collect")
    table = tmp_path / "storage/tables/trials/small.parquet"
    before = table.read_bytes()
    edited(storage, job, other)
    for name in ("plan", "run", "status", "collect"):
        assert command(name)[0] == 0
    assert table.read_bytes() == before


def copied(storage, job, other):
    """Copy a job's attempt by hand under another job, in front of its own ones."""
    source = storage.job(job).attempts()[0]
    target = storage.folder.root / f"jobs/{other}/attempts/0-{source.name.partition('-')[2]}"
    shutil.copytree(source.folder.root, target)


def test_a_copied_attempt_is_no_result_of_another_job(storage, command, tmp_path):
    job, other, *_ = jobs_of(storage, "train")
    for attempt in storage.job(other).attempts():
        storage.job(other).withdraw(attempt)
    copied(storage, job, other)
    assert storage.job(other).finished() is None
    done = json.loads(command("plan", "--json")[1])["done"]
    assert (done["search"], done["train"]) == (4, 3)
    (campaign,) = json.loads(command("status", "--json")[1])["campaigns"]
    assert campaign["jobs"]["done"] == 7
    code, _, said = command("collect")
    assert code == 0 and f"job {other}: attempt 0-" in said and "of another job" in said
    rows = pq.read_table(tmp_path / "storage/tables/trials/small.parquet").to_pylist()
    assert {row["status"] for row in rows if row["job"] == other} == {"started"}
    code, answer, _ = command("run", "--json", "--quiet")
    assert code == 0 and json.loads(answer)["ran"] == 1
    finished = storage.job(other).finished()
    assert finished is not None and finished[0].number == 1


def test_a_copied_attempt_beside_the_right_one_costs_nothing(storage, command):
    job, other, *_ = jobs_of(storage, "train")
    copied(storage, job, other)
    code, answer, _ = command("run", "--json", "--quiet")
    assert code == 0 and json.loads(answer)["reused"] == 8
    finished = storage.job(other).finished()
    assert finished is not None and finished[0].number == 1


def test_a_job_folder_copied_under_another_id_is_refused_and_repaired(storage, command):
    job, other, *_ = jobs_of(storage, "train")
    folder = storage.folder.root / "jobs"
    shutil.rmtree(folder / other)
    shutil.copytree(folder / job, folder / other)
    code, _, said = command("run", "--quiet")
    assert code == 2 and f"gives the id {job} and names the id {job}, its folder has the id {other}" in said
    storage.job(other).folder.remove("job.json")
    assert command("run", "--quiet")[0] == 0
    finished = storage.job(other).finished()
    assert finished is not None and finished[1].job == other


def test_an_outcome_that_was_edited_to_fit_is_held_against_its_files(storage):
    """Digests show by accident, not by intent, what was altered: the files must still be those it names."""
    job, other, *_ = jobs_of(storage, "train")
    attempt = storage.job(job).new_attempt()
    attempt.write("model.pt", b"weights")
    attempt.finish(Outcome("done"))
    path = attempt.folder.root / "outcome.json"
    for own in storage.job(other).attempts():
        storage.job(other).withdraw(own)
    target = storage.job(other).new_attempt()
    target.folder.write("outcome.json", path.read_bytes().replace(job.encode(), other.encode()))
    assert storage.job(other).finished() is None
