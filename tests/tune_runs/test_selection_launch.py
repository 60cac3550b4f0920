"""A campaign that selects, from the file to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autoreid.storage import Storage

CAMPAIGN = """\
# The best of two searches, in small.
name: selecting
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
repeats: 2
search:
  recipe: cdnet
  space: cs-v1
  height: 64
  width: 32
  width_multiplier: 0.1
  epochs: 1
  split: {held_out: 2}
  batch: {identities: 4, images: 2}
train:
  recipe: cdnet
  height: 64
  width: 32
  width_multiplier: 0.1
  epochs: 2
  batch: {identities: 4, images: 2}
arms: {a: {search: {}}}
"""


def autoreid(folder: Path, *arguments: str) -> dict[str, Any]:
    """The answer of a command as an object; it must succeed."""
    script = str(Path(sys.executable).parent / "autoreid")
    environment = {**os.environ, "AUTOREID_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [script, *arguments, "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run(folder: Path, *settings: str) -> dict[str, Any]:
    path = folder / "selecting.yaml"
    path.write_text(CAMPAIGN)
    flags = [word for setting in settings for word in ("--set", setting)]
    return autoreid(folder, "campaign", "run", str(path), "--storage", "storage", "--quiet", *flags)


def results(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """The results of the campaign's jobs by kind and repeat."""
    storage = Storage(folder / "storage")
    found = {}
    for entry in storage.read_manifest("selecting")["entries"]:
        finished = storage.job(entry["job"]).finished()
        assert finished is not None
        found[entry["kind"], entry["repeat"]] = dict(finished[1].result) | {"job": entry["job"]}
    return found


@pytest.mark.ray
@pytest.mark.slow
def test_the_best_in_its_supernet_is_trained_and_reported(tmp_path: Path) -> None:
    summary = run(tmp_path, "select=supernet", "trained=best", "trainings=2")
    assert (summary["ran"], summary["exit_code"]) == (5, 0)
    found = results(tmp_path)
    assert sorted(found) == [("search", 0), ("search", 1), ("select", 0), ("train", 0), ("train", 1)]
    chosen = found["select", 0]
    scores = [entry["mAP"] for entry in chosen["scores"]]
    winner = found["search", scores.index(max(scores))]
    assert chosen["search"] == winner["job"]
    assert chosen["genotype"] == winner["genotype"]
    assert {found["train", t]["genotype_digest"] for t in (0, 1)} == {winner["genotype_digest"]}
    assert found["train", 0]["evaluation"] != found["train", 1]["evaluation"]
    autoreid(tmp_path, "report", "storage")
    text = (tmp_path / "storage/report/report.md").read_text()
    assert f"a: selected on validation: repeat {scores.index(max(scores)) + 1} of 2" in text
    assert "The others were not trained." in text


@pytest.mark.ray
@pytest.mark.slow
def test_every_search_is_trained_and_the_best_by_a_short_training_named(tmp_path: Path) -> None:
    select = "select={rule: retrain, fraction: 0.25}"
    assert run(tmp_path, select)["ran"] == 5
    found = results(tmp_path)
    assert sorted(found) == [("search", 0), ("search", 1), ("select", 0), ("train", 0), ("train", 1)]
    assert found["train", 0]["genotype_digest"] == found["search", 0]["genotype_digest"]
    assert len(found["select", 0]["scores"]) == 2
    extended = run(tmp_path, select, "trained=best", "trainings=1")
    assert (extended["ran"], extended["reused"]) == (1, 3)
    autoreid(tmp_path, "report", "storage")
    assert "by the mAP of a short training of each genotype" in (
        (tmp_path / "storage/report/report.md").read_text()
    )
