"""Points of a sweep that are given up: no failure, told before it happens, and wanted again by others."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeps import RATE, SWEEP, Bench, points_of, sweeping

from autoreid.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_hopeless_points_are_given_up_in_their_first_repeat(storage):
    bench = Bench(storage)
    settings = ("sweep.points=16", "sweep.pruning=true", "sweep.pruning_epoch=2", "sweep.pruning_points=3")
    bench.launch(sweeping(*settings))
    pruned, done = points_of(storage, "pruned"), points_of(storage, "done")
    assert pruned and len(pruned) + len(done) == 16
    assert all("pruned at epoch 2" in point["reason"] for point in pruned)
    for point in pruned:
        assert not set(point["jobs"][1:]) & set(bench.ran)  # one search began, and no more
        assert set(point["jobs"]) <= set(storage.read_manifest("small")["given_up"])
        assert max(map(int, point["curve"])) <= 6
    worst_done = sorted(point["scores"][0] for point in done)[len(done) // 2]
    assert max(list(point["curve"].values())[-1] for point in pruned) <= max(worst_done, 0.53)
    again = Bench(storage)
    dispatch = again.launch(sweeping(*settings))
    assert again.ran == [] and not dispatch.releases.skipped and not dispatch.releases.failed
    patient = Bench(storage)
    patient.launch(sweeping("sweep.points=16"))
    assert not points_of(storage, "pruned")  # without pruning they are run to their ends
    assert set(patient.ran) >= {job for point in pruned for job in point["jobs"]}


def test_a_launch_that_is_killed_when_it_prunes_has_pruned(storage):
    settings = ("sweep.points=16", "sweep.pruning=true", "sweep.pruning_epoch=2", "sweep.pruning_points=3")
    for _ in range(80):
        Bench(storage).launch(sweeping(*settings), stops_after=1)
    assert points_of(storage, "pruned") and not points_of(storage, "failed")
    assert len(points_of(storage)) == 16


def test_what_one_study_gave_up_another_one_may_want(storage):
    """Two arms that differ in their training have equal searches."""
    text = SWEEP.replace(
        "  b: {genotype: cdnet-top2}\n", "  b: {search: {space: cds-v1}, train: {epochs: 2}}\n"
    )
    for seed in range(6):
        other = Storage(storage.folder.child(str(seed)))
        settings = [
            "sweep.pruning=true",
            "sweep.pruning_epoch=2",
            "sweep.pruning_points=2",
            f"sweep.seed={seed}",
        ]
        bench = Bench(other)
        bench.launch(sweeping(*settings, text=text.replace(RATE, "")))
        assert not points_of(other, "failed")
        assert not points_of(other, "open")
        assert all(entry.job in bench.ran for entry in bench.plan.entries if entry.kind == "train")


def test_a_point_that_is_given_up_last_ends_the_sweep(storage):
    """The others are done and the manifest must still learn of it, and what is best be trained."""
    settings = ("sweep.pruning=true", "sweep.pruning_epoch=1", "sweep.pruning_points=2")
    worth = {0.0: 0.5}

    def falling(recipe):
        rate = recipe.optimizer.learning_rate
        return worth.setdefault(rate, 0.5 - len(worth) * 0.01)  # every point is worse than those before it

    for points in range(3, 7):
        bench = Bench(storage, worth=falling)
        bench.launch(sweeping(f"sweep.points={points}", *settings))
        assert points_of(storage)[-1]["state"] == "pruned"
        assert [entry.arm for entry in bench.plan.entries if entry.kind == "train"].count("a") == 2
