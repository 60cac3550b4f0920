from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fake_storage import ARMS, FINGERPRINT, MAP, FakeCampaign, facts, partial_campaign

from analysis.collect import collect
from analysis.tables import file_of, read
from autoreid.attempts import Outcome
from autoreid.errors import InputError
from autoreid.leases import Lease
from autoreid.records import TABLES
from autoreid.storage import Storage

FIRST, SECOND = ARMS


def row(frame: pd.DataFrame, arm: str, repeat: int, kind: str) -> pd.Series:
    found = frame[(frame["arm"] == arm) & (frame["repeat"] == repeat) & (frame["kind"] == kind)]
    assert len(found) == 1
    return found.iloc[0]


def test_every_planned_job_is_a_row_with_its_status(campaign: FakeCampaign, collected: Path) -> None:
    trials = read(collected, "trials")
    assert trials["job"].tolist() == [job.id for job in campaign.jobs.values()]
    states = {
        (SECOND, 1, "train"): "failed",
        (SECOND, 2, "search"): "failed",
        (SECOND, 2, "train"): "skipped",
        (SECOND, 3, "search"): "started",
        (SECOND, 3, "train"): "waiting",
    }
    for key in campaign.jobs:
        assert row(trials, *key)["status"] == states.get(key, "done"), key


def test_a_failed_job_carries_its_last_error_and_the_time_of_all_attempts(collected: Path) -> None:
    trials = read(collected, "trials")
    failed = row(trials, SECOND, 1, "train")
    assert failed["error"] == "loss: nan at epoch 3, step 17. Lower the learning rate."
    assert (failed["attempts"], failed["failed_seconds"]) == (2, 16.0)
    assert pd.isna(failed["wall_seconds"])
    assert failed["torch_version"] == "2.11.0"
    skipped = row(trials, SECOND, 2, "train")
    assert row(trials, SECOND, 2, "search")["job"] in skipped["error"]
    assert "No space left" in skipped["error"]


def test_a_job_that_failed_before_it_was_done_counts_both_attempts(collected: Path) -> None:
    done = row(read(collected, "trials"), FIRST, 1, "train")
    assert (done["attempts"], done["failed_seconds"], done["wall_seconds"]) == (2, 7.0, 70.0)
    assert pd.isna(done["error"])


def test_a_failed_job_that_runs_again_is_started(campaign: FakeCampaign, storage: Path) -> None:
    campaign.attempt(SECOND, 1, "train", 4)
    collect(storage)
    again = row(read(storage, "trials"), SECOND, 1, "train")
    assert (again["status"], again["attempts"], again["failed_seconds"]) == ("started", 3, 16.0)
    assert again["epochs"] == 4 and pd.isna(again["error"])


def test_what_interrupted_attempts_took_is_kept(campaign: FakeCampaign, storage: Path) -> None:
    """One was stopped and noted its time; one was killed between two renewals of its lease."""
    job = Storage(storage).job(campaign.jobs[SECOND, 1, "train"].id)
    stopped, killed = (job.new_attempt() for _ in range(2))
    killed = type(killed)(job.folder.child("attempts/9-0000dead"), job.job, "9-0000dead")
    stopped.folder.write("interrupted.json", b'{"wall_seconds": 40.5}')
    killed.folder.write("started.json", b'{"started": "2026-01-01T00:00:00+00:00"}')
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()
    replace(Lease.of_this_process(), renewed=begin + 100).write(killed.folder)
    collect(storage)
    again = row(read(storage, "trials"), SECOND, 1, "train")
    assert (again["attempts"], again["failed_seconds"], again["interrupted_seconds"]) == (4, 16.0, 140.5)
    assert row(read(storage, "trials"), FIRST, 1, "train")["interrupted_seconds"] == 0


def test_a_skipped_job_skips_what_needs_it(tmp_path: Path) -> None:
    """The chain is three long: failed, skipped, skipped."""
    campaign = partial_campaign(tmp_path)
    manifest = campaign.manifest()
    last = {**manifest["jobs"][campaign.jobs[SECOND, 2, "train"].id], "id": "e" * 32}
    last["inputs"] = {"job": campaign.jobs[SECOND, 2, "train"].id}
    manifest["jobs"][last["id"]] = last
    manifest["entries"].append({"job": last["id"], "arm": "third", "repeat": 0, "kind": "train"})
    campaign.storage.write_manifest(campaign.name, manifest)
    collect(tmp_path)
    third = row(read(tmp_path, "trials"), "third", 0, "train")
    assert third["status"] == "skipped"
    assert "was skipped" in third["error"] and "No space left" in third["error"]


def test_seeds_recipes_and_inputs_come_from_the_plan(campaign: FakeCampaign, collected: Path) -> None:
    trials, retrains = read(collected, "trials"), read(collected, "retrains")
    search, train = row(trials, FIRST, 2, "search"), row(trials, FIRST, 2, "train")
    assert (search["seed_split"], search["seed_search"], train["seed_train"]) == (2, 12, 22)
    assert pd.isna(search["seed_train"]) and pd.isna(train["seed_search"])
    assert search["recipe"] == campaign.jobs[FIRST, 2, "search"].recipe_digest
    assert json.loads(search["recipe_json"]) == campaign.jobs[FIRST, 2, "search"].plain()["recipe"]
    assert search["recipe_json"].startswith('{"alpha_objective":{"cross_entropy":1.0,')
    assert json.loads(train["inputs"]) == {"job": campaign.jobs[FIRST, 2, "search"].id}
    assert set(trials["data_fingerprint"]) == {FINGERPRINT} and set(trials["data_set"]) == {"rendered"}
    retrain = row(retrains, FIRST, 2, "train")
    assert (retrain["search_job"], retrain["seed_search"], retrain["seed_train"]) == (search["job"], 12, 22)


def test_results_reach_their_columns(collected: Path) -> None:
    retrains, genotypes = read(collected, "retrains"), read(collected, "genotypes")
    assert [row(retrains, FIRST, r, "train")["mAP"] for r in range(4)] == list(MAP[FIRST])
    assert len(retrains) == 5 and len(genotypes) == 6
    first = row(retrains, FIRST, 0, "train")
    assert (first["untrained_mAP"], first["queries"], first["feature_dim"]) == (0.08, 120, 768)
    assert (first["params_inference"], first["multiply_adds_backbone"]) == (1_796_600, 948_771_840)
    assert (first["height"], first["width"], first["width_multiplier"]) == (128, 64, 1.0)
    assert json.loads(first["protocol"])["version"] == 1
    found = row(genotypes, FIRST, 0, "search")
    assert (found["genotype"], found["space"]) == (first["genotype"], "cds-v1")
    assert sorted(json.loads(found["choices"])) == [f"mblock{i}" for i in range(1, 7)]


def test_epochs_are_those_of_the_attempt_that_counts(campaign: FakeCampaign, collected: Path) -> None:
    epochs = read(collected, "epochs")

    def numbers(arm: str, repeat: int, kind: str) -> list[int]:
        job = campaign.jobs[arm, repeat, kind].id
        return [int(number) for number in epochs[epochs["job"] == job]["epoch"]]

    assert numbers(FIRST, 1, "train") == list(range(1, 9))  # not the two epochs of the failed attempt
    assert numbers(SECOND, 3, "search") == [1, 2, 3, 4]  # unfinished: the newest attempt
    assert numbers(SECOND, 3, "train") == []


def test_collecting_twice_gives_the_same_bytes(campaign: FakeCampaign, storage: Path, tmp_path: Path) -> None:
    first = {path.name + path.parent.name: path.read_bytes() for path in map(Path, collect(storage).files)}
    campaign.write_manifest(updated="2027-01-01T00:00:00+00:00", created="2027-01-01T00:00:00+00:00")
    again = [Path(name) for name in collect(storage, tmp_path / "elsewhere").files]
    assert {path.name + path.parent.name: path.read_bytes() for path in again} == first
    assert [path.relative_to(tmp_path / "elsewhere").as_posix() for path in again] == [
        f"tables/{table}/two-arms.parquet" for table in TABLES
    ]
    assert not list(tmp_path.rglob(".part-*"))


def test_a_new_result_replaces_the_file_whole(campaign: FakeCampaign, collected: Path) -> None:
    campaign.finish(SECOND, 3, "search")
    collect(collected)
    done = row(read(collected, "trials"), SECOND, 3, "search")
    assert (done["status"], done["attempts"]) == ("done", 2)
    assert len(read(collected, "trials")) == 16


def test_a_job_shared_by_two_arms_has_a_row_in_each(tmp_path: Path) -> None:
    campaign = partial_campaign(tmp_path)
    manifest = campaign.manifest()
    shared = campaign.jobs[FIRST, 0, "train"].id
    manifest["entries"].append({"job": shared, "arm": "again", "repeat": 0, "kind": "train"})
    campaign.storage.write_manifest(campaign.name, manifest)
    collect(tmp_path)
    retrains = read(tmp_path, "retrains")
    assert set(retrains[retrains["job"] == shared]["arm"]) == {FIRST, "again"}


def test_two_campaigns_of_one_storage_have_files_of_their_own(tmp_path: Path) -> None:
    partial_campaign(tmp_path, "one")
    FakeCampaign(tmp_path, "two", {"top-2": 2}, repeats=1).write_manifest()
    collect(tmp_path)
    assert read(tmp_path, "trials")["campaign"].value_counts().to_dict() == {"one": 16, "two": 2}
    assert read(tmp_path, "retrains", "two")["mAP"].tolist() == [0.36]  # the same jobs, done for both


class TestDamage:
    def test_a_damaged_file_of_a_finished_attempt_takes_the_job_back(
        self, campaign: FakeCampaign, storage: Path
    ) -> None:
        model = next(storage.glob(f"jobs/{campaign.jobs[FIRST, 0, 'train'].id}/attempts/*/model.pt"))
        model.write_bytes(b"other")
        found = collect(storage)
        damaged = row(read(storage, "trials"), FIRST, 0, "train")
        assert (
            damaged["status"] == "failed" and "differ from what its outcome vouches for" in damaged["error"]
        )
        assert len(read(storage, "retrains")) == 4
        assert any(campaign.jobs[FIRST, 0, "train"].id in warning for warning in found.warnings)

    def test_a_cut_outcome_and_cut_records_are_reported(self, campaign: FakeCampaign, storage: Path) -> None:
        place = next(storage.glob(f"jobs/{campaign.jobs[SECOND, 3, 'search'].id}/attempts/*"))
        (place / "outcome.json").write_text('{"version": 1, "sta')
        records = place / "records.jsonl"
        records.write_bytes(records.read_bytes()[: records.read_bytes().index(b'"epoch":3') + 20])
        warnings = "\n".join(collect(storage).warnings)
        assert (
            "outcome.json is damaged" in warnings
            and "records.jsonl is damaged; what comes after epoch 2" in warnings
        )
        epochs = read(storage, "epochs")
        job = campaign.jobs[SECOND, 3, "search"].id
        assert epochs[epochs["job"] == job]["epoch"].tolist() == [1, 2]

    def test_a_result_without_a_score_is_left_out_and_named(
        self, campaign: FakeCampaign, storage: Path
    ) -> None:
        attempt = campaign.attempt(SECOND, 3, "train", 2)
        attempt.finish(Outcome("done", {"evaluation": {"mAP": "high"}}, facts(1.0, 2)))
        warnings = "\n".join(collect(storage).warnings)
        assert f"two-arms: {SECOND}, repeat 4, train: no row in retrains: network is missing." in warnings
        assert row(read(storage, "trials"), SECOND, 3, "train")["status"] == "done"
        assert len(read(storage, "retrains")) == 5

    def test_a_value_of_the_wrong_type_is_emptied_and_named(
        self, campaign: FakeCampaign, storage: Path
    ) -> None:
        campaign.finish(SECOND, 3, "search", threads="two")
        warnings = collect(storage).warnings
        assert any("threads holds 'two', which is not int64" in warning for warning in warnings)
        assert pd.isna(row(read(storage, "trials"), SECOND, 3, "search")["threads"])

    def test_a_job_that_nothing_describes_is_still_a_row(self, campaign: FakeCampaign, storage: Path) -> None:
        manifest = campaign.manifest()
        lost = campaign.jobs[SECOND, 3, "train"].id
        del manifest["jobs"][lost]
        manifest["entries"].append({"arm": "no job"})
        campaign.storage.write_manifest(campaign.name, manifest)
        warnings = "\n".join(collect(storage).warnings)
        assert f"job {lost}: neither the manifest nor job.json" in warnings
        assert "entry 16 is damaged" in warnings
        trials = read(storage, "trials")
        assert len(trials) == 16 and row(trials, SECOND, 3, "train")["recipe"] == ""

    def test_an_alien_name_among_the_attempts_costs_nothing(
        self, campaign: FakeCampaign, storage: Path
    ) -> None:
        (storage / "jobs" / campaign.jobs[FIRST, 0, "train"].id / "attempts" / "notes").mkdir()
        assert collect(storage).warnings == ()
        assert len(read(storage, "retrains")) == 5

    def test_one_damaged_manifest_does_not_stop_the_others(
        self, campaign: FakeCampaign, storage: Path
    ) -> None:
        (storage / "campaigns" / "broken").mkdir()
        (storage / "campaigns" / "broken" / "manifest.json").write_text("{")
        (storage / "campaigns" / "empty").mkdir()  # a run that ended before its manifest: no campaign yet
        found = collect(storage)
        assert len(found.files) == len(TABLES) and found.campaigns == ("two-arms",)
        assert [warning.split(" is left out")[0] for warning in found.warnings] == ["campaign broken"]
        with pytest.raises(InputError, match="not JSON"):
            collect(storage, campaigns=["broken"])
        (storage / "campaigns" / "two-arms" / "manifest.json").write_text("{")
        with pytest.raises(InputError, match="campaign two-arms is left out"):
            collect(storage)


def test_bad_storages_are_input_errors(tmp_path: Path, storage: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        collect(tmp_path / "nowhere")
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="no campaigns in this folder"):
        collect(tmp_path / "void")
    with pytest.raises(InputError, match="no campaign 'two-harms'"):
        collect(Storage(storage), campaigns=["two-harms"])


def test_a_campaign_before_its_first_job_has_tables_too(tmp_path: Path) -> None:
    FakeCampaign(tmp_path, "planned").write_manifest()
    collect(tmp_path)
    assert set(read(tmp_path, "trials")["status"]) == {"waiting"}
    assert read(tmp_path, "retrains").empty and (tmp_path / file_of("retrains", "planned")).is_file()
