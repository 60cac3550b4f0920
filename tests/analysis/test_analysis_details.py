"""The tables of evaluations and costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_storage import ARMS, FakeCampaign, facts

from analysis.collect import collect
from analysis.tables import read
from autoreid.attempts import Outcome
from autoreid.recipes import SelectRecipe

FIRST, SECOND = ARMS
GPU = {"device_kind": "cuda", "device": "NVIDIA H100"}
CPU = {"device_kind": "cpu", "device": "x86_64", "threads": 4}


def finished(
    campaign: FakeCampaign,
    kind: str,
    result: dict[str, Any],
    epochs: list[tuple[float, float]],
    wall: float,
    **changes: Any,
) -> None:
    """A finished first repeat with these epochs: seconds of each, and of its health."""
    attempt = campaign.attempt("top-2", 0, kind, 0)
    attempt.write_records(
        [
            {
                "epoch": n,
                "loss": 1.0,
                "steps": 1,
                "images": 8,
                "wall_seconds": seconds,
                "health_seconds": health,
            }
            for n, (seconds, health) in enumerate(epochs, 1)
        ]
    )
    attempt.finish(Outcome("done", result=result, facts=facts(wall, len(epochs), **changes)))


def one(root: Path) -> FakeCampaign:
    campaign = FakeCampaign(root, "one", {"top-2": 2}, repeats=1)
    campaign.write_manifest()
    return campaign


def costs(root: Path, kind: str) -> dict[str, float]:
    collect(root)
    frame = read(root, "costs")
    found = frame[frame["kind"] == kind]
    trials = read(root, "trials").query("kind == @kind").iloc[0]
    parts = trials[["wall_seconds", "failed_seconds", "interrupted_seconds"]].fillna(0).sum()
    assert found["seconds"].sum() == pytest.approx(parts)
    assert (found["seconds"] > 0).all()
    return dict(zip(found["phase"], found["seconds"], strict=True))


def test_every_evaluation_is_a_row(collected: Path) -> None:
    frame, retrains = read(collected, "evaluations"), read(collected, "retrains")
    assert len(frame) == 2 * len(retrains)
    assert set(zip(frame["stage"], frame["split"], frame["kind"], strict=True)) == {
        ("trained", "test", "train"),
        ("untrained", "test", "train"),
    }
    trained, untrained = (frame[frame["stage"] == stage] for stage in ("trained", "untrained"))
    names = [
        "job",
        "search_job",
        "genotype",
        "mAP",
        "rank_1",
        "rank_5",
        "rank_10",
        "mINP",
        "queries",
        "protocol",
    ]
    pd.testing.assert_frame_equal(trained[names].reset_index(drop=True), retrains[names], check_dtype=False)
    assert set(untrained["mAP"]) == {0.08} and untrained["rank_5"].isna().all()
    assert set(frame["data_set"]) == {"rendered"}


def test_what_a_selection_scored_is_a_row_for_each_search(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "chosen", {"top-2": 2}, repeats=2, select=SelectRecipe())
    for repeat in range(2):
        campaign.finish("top-2", repeat, "search")
    campaign.select("top-2", 20.0, 30.0)
    campaign.write_manifest()
    collect(tmp_path)
    frame = read(tmp_path, "evaluations")
    searches = [campaign.jobs["top-2", repeat, "search"].id for repeat in range(2)]
    assert frame[["stage", "split", "search_job", "mAP"]].to_numpy().tolist() == [
        ["selection", "validation", searches[0], 0.2],
        ["selection", "validation", searches[1], 0.3],
    ]
    assert set(frame["job"]) == {campaign.jobs["top-2", 0, "select"].id}
    assert costs(tmp_path, "select") == {"other": 12.0}  # its result does not tell more


def test_a_search_s_time_is_that_of_its_epochs_and_of_its_health(tmp_path: Path) -> None:
    campaign = one(tmp_path)
    finished(campaign, "search", {"search_seconds": 30.0}, [(10.0, 1.0), (20.0, 2.5)], 40.0)
    assert costs(tmp_path, "search") == {"search": 30.0, "health": 3.5, "other": 6.5}


def test_a_training_s_time_is_that_of_its_epochs_and_of_its_evaluation(tmp_path: Path) -> None:
    campaign = one(tmp_path)
    result = {"train_seconds": 30.0, "evaluation_seconds": 4.0}
    finished(campaign, "train", result, [(30.0, 0.0)], 40.0, **GPU)
    assert costs(tmp_path, "train") == {"train": 30.0, "evaluation": 4.0, "other": 6.0}
    frame = read(tmp_path, "costs")
    assert set(frame["device"]) == {"NVIDIA H100"} and set(frame["device_kind"]) == {"cuda"}
    assert set(frame["devices"]) == {1} and (frame["device_seconds"] == frame["seconds"]).all()


def test_what_an_interrupted_attempt_took_is_not_counted_again(tmp_path: Path) -> None:
    """The second attempt continues in the middle of the second epoch."""
    campaign = one(tmp_path)
    stopped = campaign.attempt("top-2", 0, "search", 1)
    stopped.folder.write("interrupted.json", json.dumps(facts(27.0, 1, **CPU)).encode())
    epochs = [(10.0, 1.0), (20.0, 2.0), (30.0, 3.0)]
    finished(campaign, "search", {"search_seconds": 60.0}, epochs, 50.0, earlier_seconds=15.0, **GPU)
    assert costs(tmp_path, "search") == {"search": 45.0, "health": 5.0, "interrupted": 27.0}
    frame = read(tmp_path, "costs").set_index("phase")
    assert frame.loc["interrupted", ["device_kind", "devices", "device_seconds"]].tolist() == [
        "cpu",
        4,
        108.0,
    ]


def test_an_older_record_does_not_take_more_than_its_wall_time(tmp_path: Path) -> None:
    campaign = one(tmp_path)
    known = facts(50.0, 2)
    for name in ("device_kind", "earlier_seconds"):
        known.pop(name, None)
    attempt = campaign.attempt("top-2", 0, "search", 2)  # 2.5 s each
    attempt.finish(Outcome("done", result={"search_seconds": 60.0}, facts=known))
    assert costs(tmp_path, "search") == {"search": 50.0}
    (row,) = read(tmp_path, "costs").to_dict("records")
    assert row["device"] == "x86_64"
    assert pd.isna(row["device_kind"]) and pd.isna(row["devices"]) and pd.isna(row["device_seconds"])


def test_a_clock_that_does_not_fit_leaves_nothing_negative(tmp_path: Path) -> None:
    campaign = one(tmp_path)
    result = {"search_seconds": 60.0}
    finished(campaign, "search", result, [(60.0, 9.0)], 50.0, earlier_seconds=0.0)
    assert costs(tmp_path, "search") == {"health": 9.0, "search": 41.0}


def test_failed_attempts_count_by_their_devices(tmp_path: Path) -> None:
    campaign = one(tmp_path)
    for seconds, device in ((7.0, GPU), (8.0, GPU), (9.0, CPU)):
        attempt = campaign.attempt("top-2", 0, "search", 1)
        attempt.finish(Outcome("failed", facts=facts(seconds, 1, **device), error="no memory"))
    campaign.attempt("top-2", 0, "train", 1).finish(Outcome("failed", error="nothing is known"))
    costs(tmp_path, "search")
    frame = read(tmp_path, "costs")
    assert set(frame["phase"]) == {"failed"}
    searches = frame[frame["kind"] == "search"]
    assert searches[["device_kind", "seconds", "device_seconds"]].to_numpy().tolist() == [
        ["cuda", 15.0, 15.0],
        ["cpu", 9.0, 36.0],
    ]
    (training,) = frame[frame["kind"] == "train"].to_dict("records")
    assert training["seconds"] == 2.5 and pd.isna(training["device"])  # the sum of its epochs


def test_costs_of_a_campaign_add_up(collected: Path) -> None:
    frame, trials = read(collected, "costs"), read(collected, "trials")
    names = ["wall_seconds", "failed_seconds", "interrupted_seconds"]
    of_trials = trials.set_index("job")[names].fillna(0).sum(axis=1)
    of_costs = frame.groupby("job")["seconds"].sum().reindex(of_trials.index, fill_value=0.0)
    assert of_costs.to_numpy() == pytest.approx(of_trials.to_numpy())
    assert set(trials[trials["status"] == "waiting"]["job"]).isdisjoint(frame["job"])


def test_facts_of_the_fake_storage_are_those_of_the_engine() -> None:
    from autoreid.execution import Execution
    from autoreid.facts import facts as of_engine

    known = of_engine("2026-01-01T00:00:00+00:00", 0.0, None, Execution())
    assert set(facts(1.0, 1)) == set(known) - {"host"}
