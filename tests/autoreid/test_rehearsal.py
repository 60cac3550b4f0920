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
from autoreid.rehearsal import predicted, rehearse_job
from autoreid.sampled import sample
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
        assert min(found["start_seconds"], found["step_seconds"], found["checkpoint_bytes"]) > 0
        assert found["predicted_seconds"] == predicted(found)
        assert (found["evaluations"] > 1) == (job is train)
    finished = storage.job(select.id).finished()
    assert finished is not None
    selected = finished[1].result["rehearsal"]
    # The sample is all of the data: the one search is looked at as in the real job.
    assert (selected["epochs"], selected["steps"], selected["rests"]) == (1, 0, 1)
    assert selected["predicted_seconds"] >= sum(selected["rests_seconds"]) > 0


def test_each_part_of_a_job_counts_as_often_as_the_job_does_it() -> None:
    found = {"epochs": 10, "steps": 100, "rests": 20, "evaluations": 3}
    took = {"start_seconds": 5.0, "step_seconds": 0.25, "pauses_seconds": [1.0, 2.0]}
    took |= {"rests_seconds": [0.25, 0.75], "evaluation_seconds": 7.0}
    assert predicted(found | took) == 5 + 10 * (100 * 0.25 + 1.5) + 20 * 0.5 + 3 * 7


def test_a_rehearsal_of_several_epochs_times_what_is_between_them(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job: Job = job_of("train", "fp32", small_data.fingerprint)
    list(rehearse_job(job, Storage(tmp_path), small_source, CPU, cache, steps=5, epochs=2))
    finished = Storage(tmp_path).job(job.id).finished()
    assert finished is not None
    found = finished[1].result["rehearsal"]
    # Of ten steps two came before the interruption, and the first one after it is counted with the start.
    assert (len(found["steps_seconds"]), len(found["rests_seconds"])) == (7, 2)
    assert len(found["pauses_seconds"]) == 1 and found["pauses_seconds"][0] > 0


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
