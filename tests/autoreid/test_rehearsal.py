"""Rehearsals: two steps, a checkpoint, a resume, an evaluation, and a forecast."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from killed_runs import EXECUTION, SEARCH, TRAIN, job_of

from autoreid import losses
from autoreid.data.source import DataSource
from autoreid.errors import InterruptionError, RunError
from autoreid.feed import PreparedData
from autoreid.jobs import Job, search_job, select_job, train_job
from autoreid.recipes import SelectRecipe
from autoreid.rehearsal import rehearse_job, sample
from autoreid.storage import Storage

CPU = replace(EXECUTION, checkpoint_minutes=0)


def test_a_chain_is_rehearsed_with_a_resume(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    storage = Storage(tmp_path)
    search = search_job(SEARCH, small_data.fingerprint, split_seed=0, search_seed=0)
    select = select_job(SelectRecipe(), small_data.fingerprint, [search.id])
    train = train_job(TRAIN, small_data.fingerprint, select.id, train_seed=0)
    for job in (search, select, train):
        storage.job(job.id).describe(job.plain())
        list(rehearse_job(job, storage, small_source, CPU, cache))
    for job in (search, train):
        first, second = storage.job(job.id).attempts()
        assert first.outcome() is None
        assert "stopped after epoch 0 and 2 of 4 steps" in first.read_log()
        assert "continues 1-" in second.read_log()
        outcome = second.outcome()
        assert outcome is not None
        found = outcome.result["rehearsal"]
        assert (found["epochs"], found["steps"]) == (2, 4 if job is search else 6)
        assert found["step_seconds"] > 0
        parts = found["evaluations"] * found["evaluation_seconds"]
        assert found["predicted_seconds"] == pytest.approx(2 * found["steps"] * found["step_seconds"] + parts)
        assert (found["evaluations"] >= 1) == (job is train)


def test_a_failure_comes_out_of_the_rehearsal(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    intact = losses.compute
    monkeypatch.setattr(losses, "compute", lambda *given: _nan(intact(*given)))
    job = job_of("train", "fp32", small_data.fingerprint)
    with pytest.raises(RunError, match="NaN"):
        list(rehearse_job(job, Storage(tmp_path), small_source, CPU, cache))


def _nan(found: losses.Losses) -> losses.Losses:
    return found._replace(total=found.total * float("nan"))


def test_a_rehearsal_can_be_stopped(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job: Job = job_of("train", "fp32", small_data.fingerprint)
    with pytest.raises(InterruptionError):
        list(rehearse_job(job, Storage(tmp_path), small_source, CPU, cache, lambda: True))
    assert len(Storage(tmp_path).job(job.id).attempts()) == 1


def test_a_sample_keeps_whole_identities(small_data: PreparedData) -> None:
    part = sample(small_data, 3)
    assert part.identities == 3
    known = np.unique(small_data.index.identities[small_data.train_rows])[:3]
    count = np.isin(small_data.index.identities[small_data.train_rows], known).sum()
    assert len(part.train_rows) == count
    asked = set(part.index.identities[part.index.rows("query")].tolist())
    assert asked <= set(part.index.identities[part.index.rows("gallery")].tolist())
    row = int(part.index.rows("gallery")[0])
    name = part.index.names[row]
    assert np.array_equal(
        part.images[np.array([row])][0], small_data.images[small_data.index.names.index(name)]
    )
