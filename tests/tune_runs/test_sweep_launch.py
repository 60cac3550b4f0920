"""A joint sweep on rendered pedestrians: killed, resumed, extended, exported and reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from disturbed import living_in_session

from analysis.collect import collect
from analysis.report import report
from analysis.tables import read
from autoreid.storage import Storage
from tune_runs.sweep_overview import export_sweeps

JOINT = """\
# Three arms in one study, which differ in what can be chosen.
name: joint
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 128, width: 32}
repeats: 1
select: {rule: retrain, fraction: 0.5}
search: &small
  {recipe: auto-reid, space: reid-v1, height: 128, width: 32, channels: 4, layers: [1, 1, 1, 1],
   batch: {identities: 4, images: 2}, augmentation: {pad: 2}, epochs: 2}
train:
  {recipe: auto-reid, height: 128, width: 32, channels: 4, layers: [1, 1, 1, 1],
   batch: {identities: 2, images: 2}, augmentation: {pad: 2}, epochs: 2}
teacher: Teacher
execution: {reuse_processes: true, threads: 1}
sweep:
  over:
    lambda: {low: 0, high: 1}
    C: [4, 6]
    l: [[1, 1, 1, 1], [2, 1, 1, 1]]
    k: [1, 2]
    T0: {low: 1, high: 4, log: true}
  points: 3
  joint: true
arms:
  Teacher:
    genotype: cdnet-top2
    train: {recipe: kdas-teacher, weights: "", channels: 64, layers: [2, 2, 2, 2], width_multiplier: 0.25}
  Auto-ReID: {search: {channels: 4, layers: [1, 1, 1, 1]}, sweep: [lambda]}
  CDNet:
    search: {recipe: cdnet, space: cds-v1, channels: 32, layers: [2, 2, 2, 2], width_multiplier: 0.25}
    train: {recipe: cdnet, channels: 64, layers: [2, 2, 2, 2], width_multiplier: 0.25}
    sweep: [k]
  KDAS:
    search: {recipe: kdas, objective: {temperature.until: 1}, alpha_objective: {temperature.until: 1}}
    train: {recipe: kdas, objective: {temperature.until: 1}}
    sweep: [C, l, T0]
"""


def begin(folder: Path, *settings: str) -> subprocess.Popen[bytes]:
    (folder / "joint.yaml").write_text(JOINT)
    words = [f"--set={setting}" for setting in settings]
    command = [sys.executable, "-c", "from autoreid.cli import main; import sys; sys.exit(main())"]
    return subprocess.Popen(
        [
            *command,
            "campaign",
            "run",
            str(folder / "joint.yaml"),
            "--storage",
            str(folder / "storage"),
            *words,
        ],
        cwd=folder,
        env=os.environ | {"AUTOREID_CACHE": str(folder / "cache")},
        start_new_session=True,
    )


def points_of(folder: Path) -> list[dict[str, object]]:
    points: list[dict[str, object]] = Storage(folder / "storage").read_manifest("joint").get("points", [])
    return points


@pytest.mark.ray
@pytest.mark.slow
def test_a_joint_sweep_is_killed_resumed_and_extended(tmp_path: Path) -> None:
    launch = begin(tmp_path)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and launch.poll() is None:
        manifest = tmp_path / "storage" / "campaigns" / "joint" / "manifest.json"
        if manifest.is_file() and points_of(tmp_path):
            break
        time.sleep(0.2)
    os.kill(launch.pid, signal.SIGKILL)
    launch.wait()
    while living_in_session(launch.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    first = points_of(tmp_path)
    assert first and len(first) <= 3

    assert begin(tmp_path).wait(timeout=400) == 0
    second = points_of(tmp_path)
    assert [point["values"] for point in second[: len(first)]] == [point["values"] for point in first]
    assert sum(point["state"] != "known" for point in second) == 3
    assert {point["state"] for point in second} <= {"done", "known", "pruned"}

    assert begin(tmp_path, "sweep.points=5").wait(timeout=400) == 0
    third = points_of(tmp_path)
    assert [point["scores"] for point in third[: len(second)]] == [point["scores"] for point in second]
    assert sum(point["state"] != "known" for point in third) == 5

    collect(tmp_path / "storage")
    frame, trained = (read(tmp_path / "storage", table, "joint") for table in ("points", "retrains"))
    assert len(frame) == len(third) and frame["best"].sum() == 1
    (best,) = frame[frame["best"]]["arm"]
    assert set(trained["arm"]) == {"Teacher", best}
    (page,) = [name for name in report(tmp_path / "storage") if name.endswith(".html")]
    assert "Points of joint" in Path(page).read_text()

    journal = tmp_path / "joint.journal"
    export_sweeps(Storage(tmp_path / "storage"), None, journal)
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    study = optuna.load_study(study_name="joint: joint", storage=optuna.storages.JournalStorage(backend))
    assert len(study.trials) == len(third)
    assert study.best_value == frame["mAP"].max()
