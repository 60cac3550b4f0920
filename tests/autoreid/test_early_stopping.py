"""A search that its alphas' eigenvalue stops: when, with which genotype, and continued exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from states import equal, repeatable, same_job

from autoreid import health
from autoreid.building import build_run
from autoreid.commands import search_notes
from autoreid.data.source import DataSource
from autoreid.errors import InterruptionError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import Job, search_job
from autoreid.published import CDNET_SEARCH
from autoreid.running import run_job
from autoreid.searching import SearchRun
from autoreid.storage import Storage
from autoreid.values import override
from search_spaces.genotype import Genotype

RECIPE = override(
    CDNET_SEARCH,
    {
        "space": "cs-v1",
        "height": 64,
        "width": 32,
        "width_multiplier": 0.1,
        "batch": {"identities": 8, "images": 2},
        "split.held_out": 2,
        "epochs": 14,
        "early_stopping": "eigenvalue",
    },
)
CPU = Execution(device="cpu", threads=1, checkpoint_minutes=0)
# The means of epochs 3 to 7 and 8 to 12 are 1 and 1.4; a window earlier they are 1 and 1.2.
CURVATURE = [9.0, 9.0, *[1.0] * 5, 1.0, 1.0, 1.0, 2.0, 2.0, 9.0, 9.0]
STOPS, RETURNS = 12, 7


def wander(run: SearchRun, step: int) -> torch.Tensor:
    """A step that learns nothing: alphas go so far that every epoch has a genotype of its own."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for alpha in run.alphas.values():
            alpha += torch.randn(alpha.shape, generator=generator)
    return torch.ones(8)


@pytest.fixture
def job(small_data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A search whose loss curves as is written above."""
    monkeypatch.setattr(SearchRun, "_step", wander)
    monkeypatch.setattr(SearchRun, "_accuracies", lambda run, genotype: {})
    monkeypatch.setattr(SearchRun, "_eigenvalue", lambda run: CURVATURE[run.position.epoch])
    return search_job(RECIPE, small_data.fingerprint, split_seed=0, search_seed=0)


def outcome_of(storage: Storage, job: Job) -> tuple[Any, list[dict[str, Any]]]:
    finished = storage.job(job.id).finished()
    assert finished is not None
    return finished[1], finished[0].records()


def test_it_ends_early_with_the_genotype_of_then(
    job: Job, tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    storage = Storage(tmp_path)
    rows = list(run_job(job, storage, small_source, CPU, cache))
    assert [row["epoch"] for row in rows] == list(range(1, STOPS + 1))
    assert [row["alpha_eigenvalue"] for row in rows] == CURVATURE[:STOPS]
    outcome, records = outcome_of(storage, job)
    assert records == rows and outcome.facts["epochs"] == STOPS
    result = outcome.result
    assert (result["stopped_epoch"], result["genotype_epoch"]) == (STOPS, RETURNS)
    genotype = Genotype.from_plain(result["genotype"])
    assert str(genotype) == rows[RETURNS - 1]["genotype"]
    assert str(genotype) not in [row["genotype"] for row in rows[RETURNS:]]
    assert result["images_seen"] == 2 * sum(row["images"] for row in rows)
    assert result["alpha_entropy"] == rows[-1]["alpha_entropy"]
    attempt = storage.job(job.id).attempts()[0]
    assert Genotype.from_json(attempt.read("genotype.json").decode()) == genotype


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [9, STOPS])
def test_interrupted_after_an_epoch_it_stops_alike(
    epochs: int, job: Job, tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    whole, broken = Storage(tmp_path / "whole"), Storage(tmp_path / "broken")
    list(run_job(job, whole, small_source, CPU, cache))
    run = run_job(job, broken, small_source, CPU, cache)
    for _ in range(epochs):
        next(run)
    run.close()
    assert len(list(run_job(job, broken, small_source, CPU, cache))) == STOPS - epochs
    same_job(whole, broken, job)


def test_without_a_rise_or_without_the_rule_it_runs_to_the_end(
    job: Job, small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = Execution(device="cpu", threads=1, eigenvalue_epochs=1)
    without = search_job(override(RECIPE, {"early_stopping": "never"}), job.data, split_seed=0, search_seed=0)
    for each, curvature in ((without, CURVATURE), (job, [2.0] * 14)):
        monkeypatch.setattr(SearchRun, "_eigenvalue", lambda run, found=curvature: found[run.position.epoch])
        run = build_run(each, None, small_data, execution)
        while run.position.epoch < run.position.epochs:
            row = run.advance()
        result, _ = run.finish()
        assert (result["stopped_epoch"], result["genotype_epoch"]) == (None, 14)
        assert str(Genotype.from_plain(result["genotype"])) == row["genotype"]


def test_the_rule_measures_after_every_epoch(
    small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the execution says: the result depends on it. An interruption while measuring continues."""
    monkeypatch.setattr(health, "PRODUCTS", 3)
    job = search_job(RECIPE, small_data.fingerprint, split_seed=0, search_seed=0)
    rare = Execution(device="cpu", threads=1, eigenvalue_epochs=5)
    whole, broken = (build_run(job, None, small_data, rare) for _ in range(2))
    rows = [whole.advance() for _ in range(2)]
    assert all(row["alpha_eigenvalue"] is not None for row in rows)

    pulses = 0

    def stop() -> None:
        nonlocal pulses
        pulses += 1
        if pulses > broken.position.steps + 1:
            raise InterruptionError("stopped")

    broken.position.pulse = stop
    with pytest.raises(InterruptionError):
        broken.advance()
    assert (broken.position.epoch, broken.position.step) == (0, broken.position.steps)
    assert isinstance(broken, SearchRun) and broken.model.training
    resumed = build_run(job, None, small_data, rare)
    resumed.load(broken.state())
    assert repeatable([resumed.advance() for _ in range(2)]) == repeatable(rows)
    assert equal(resumed.state()["model"], whole.state()["model"])


def test_the_command_line_tells_of_it() -> None:
    assert search_notes({"stopped_epoch": None, "genotype_epoch": 14, "collapsed": None}) == []
    assert search_notes({}) == []
    (stopped, fallen) = search_notes({"stopped_epoch": 12, "genotype_epoch": 7, "collapsed": True})
    assert stopped == "stopped early after epoch 12; the genotype is that of epoch 7"
    assert "half of the normal cell's edges or more have no parameters" in fallen
