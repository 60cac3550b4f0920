import pytest
from campaigns import FINGERPRINT, SMALL, seed_of, small

from autoreid.errors import InputError
from autoreid.jobs import Job
from autoreid.storage import Storage
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan

SHARED = SMALL.replace("  b: {search: {space: cds-v1}}", "  b: {search: {space: cs-v1}, train: {epochs: 9}}")


def test_jobs_come_seed_major_and_trainings_name_their_search():
    plan = make_plan(small(), FINGERPRINT)
    order = [(entry.repeat, entry.arm, entry.kind) for entry in plan.entries]
    assert order == [(r, arm, kind) for r in (0, 1) for arm in "ab" for kind in ("search", "train")]
    jobs = [plan.jobs[entry.job] for entry in plan.entries]
    assert [seed_of(job) for job in jobs] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert jobs[1].needs == (jobs[0].id,) and jobs[3].needs == (jobs[2].id,)
    assert dict(jobs[4].seeds) == {"search": 1, "split": 1} and dict(jobs[5].seeds) == {"train": 1}
    assert all(job.data == FINGERPRINT for job in jobs)


def test_seeds_start_where_the_campaign_says():
    plan = make_plan(small("seed=10"), FINGERPRINT)
    assert sorted({seed_of(job) for job in plan.jobs.values()}) == [10, 11]


def test_arms_that_ask_the_same_question_share_its_job():
    plan = make_plan(small(text=SHARED), FINGERPRINT)
    assert (plan.count("search"), plan.count("train"), len(plan.entries)) == (2, 4, 8)
    first = {(entry.arm, entry.kind): entry.job for entry in plan.entries if entry.repeat == 0}
    assert first["a", "search"] == first["b", "search"]
    assert first["a", "train"] != first["b", "train"]


def test_published_networks_are_trained_without_a_search():
    text = SMALL.replace("  b: {search: {space: cds-v1}}", "  b: {genotype: cnet-top1}")
    plan = make_plan(small(text=text), FINGERPRINT)
    trained = [plan.jobs[entry.job] for entry in plan.entries if entry.arm == "b"]
    assert [(job.kind, job.needs) for job in trained] == [("train", ())] * 2


def test_a_manifest_holds_what_the_file_plans(tmp_path):
    storage, plan = Storage(tmp_path), make_plan(small(text=SHARED), FINGERPRINT)
    assert str(save_manifest(storage, plan)) == ""
    manifest = storage.read_manifest("small")
    assert manifest["entries"] == [entry.plain() for entry in plan.entries]
    assert manifest["file"] == SHARED
    assert (manifest["claim"], manifest["repeats"], manifest["baseline"]) == ("What it shows.", 2, None)
    assert manifest["data"]["identities"] == 16 and manifest["data_fingerprint"] == FINGERPRINT
    assert {key: Job.from_plain(job) for key, job in manifest["jobs"].items()} == plan.jobs


def test_an_unchanged_campaign_leaves_its_manifest_alone(tmp_path):
    storage, plan = Storage(tmp_path), make_plan(small(), FINGERPRINT)
    save_manifest(storage, plan)
    path = tmp_path / "campaigns/small/manifest.json"
    before = path.stat().st_ino
    assert str(save_manifest(storage, plan)) == ""
    assert path.stat().st_ino == before


def test_a_changed_campaign_says_what_changed(tmp_path):
    storage = Storage(tmp_path)
    save_manifest(storage, make_plan(small(), FINGERPRINT))
    created = storage.read_manifest("small")["created"]
    extended = save_manifest(storage, make_plan(small("repeats=3"), FINGERPRINT))
    assert (extended.new, extended.gone) == (4, 0)
    assert "4 jobs are new" in str(extended)
    changed = save_manifest(storage, make_plan(small("repeats=3", "train.epochs=4"), FINGERPRINT))
    assert (changed.new, changed.gone) == (6, 6)
    assert "6 are no longer planned (their results stay in the storage)" in str(changed)
    manifest = storage.read_manifest("small")
    assert len(manifest["jobs"]) == 12 and manifest["created"] == created
    assert manifest["settings"] == ["repeats=3", "train.epochs=4"]


def test_a_manifest_of_a_newer_release_is_refused(tmp_path):
    storage = Storage(tmp_path)
    storage.write_manifest("small", {"version": 99})
    with pytest.raises(InputError, match="version 99"):
        save_manifest(storage, make_plan(small(), FINGERPRINT))


def test_entries_name_the_published_network_that_is_trained():
    text = SMALL.split("arms:")[0] + "arms: {p: {genotype: cnet-top1}, s: {search: {}}}"
    entries = [entry.plain() for entry in make_plan(small("repeats=1", text=text), FINGERPRINT).entries]
    assert [entry.get("network") for entry in entries] == ["cnet-top1", None, None]
    assert "network" not in entries[1]
