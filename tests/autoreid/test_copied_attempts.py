"""What belongs to another job is never taken for a job's own, wherever a hand has put it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from killed_runs import EXECUTION, job_of
from states import same_job

from autoreid.data.source import DataSource
from autoreid.errors import InterruptionError
from autoreid.feed import PreparedData
from autoreid.jobs import Job
from autoreid.running import run_job
from autoreid.storage import Storage

CPU = replace(EXECUTION, checkpoint_minutes=0)


def copied(storage: Storage, job: Job, other: Job) -> None:
    """Copy the attempts of a job by hand under another one."""
    source, target = (Path(str(storage.job(one.id).folder)) / "attempts" for one in (job, other))
    shutil.copytree(source, target)


def two_jobs(kind: str, data: str) -> tuple[Job, Job]:
    """A job, and one that differs in its seeds alone."""
    job = job_of(kind, "fp32", data)
    return job, replace(job, seeds=tuple((name, seed + 1) for name, seed in job.seeds))


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_checkpoint_of_another_job_is_passed_over(
    kind: str,
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job, other = two_jobs(kind, small_data.fingerprint)
    storage, whole = Storage(tmp_path / "storage"), Storage(tmp_path / "whole")
    rows = run_job(job, storage, small_source, CPU, cache, lambda: False)
    next(rows)
    rows.close()
    assert storage.job(job.id).attempts()[0].folder.sizes("checkpoints/")
    copied(storage, job, other)
    list(run_job(other, storage, small_source, CPU, cache))
    said = capsys.readouterr().err
    list(run_job(other, whole, small_source, CPU, cache))
    same_job(storage, whole, other)
    assert f"a checkpoint of job {job.id}; it is passed over" in said


def test_a_finished_attempt_of_another_job_is_no_result(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job, other = two_jobs("train", small_data.fingerprint)
    storage, whole = Storage(tmp_path / "storage"), Storage(tmp_path / "whole")
    list(run_job(job, storage, small_source, CPU, cache))
    copied(storage, job, other)
    assert storage.job(other.id).finished() is None
    list(run_job(other, storage, small_source, CPU, cache))
    finished = storage.job(other.id).finished()
    assert finished is not None and finished[0].number == 2
    list(run_job(other, whole, small_source, CPU, cache))
    same_job(storage, whole, other)


def test_a_job_goes_on_beside_its_own_interrupted_attempt(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    """The counterpart: what is its own is continued."""
    job, _ = two_jobs("train", small_data.fingerprint)
    storage, calls = Storage(tmp_path), iter(range(100))
    with pytest.raises(InterruptionError):
        list(run_job(job, storage, small_source, CPU, cache, lambda: next(calls) == 6))
    list(run_job(job, storage, small_source, CPU, cache))
    attempts = storage.job(job.id).attempts()
    assert len(attempts) == 2 and f"continues {attempts[0].name}" in attempts[1].read_log()
