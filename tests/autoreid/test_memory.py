"""Memory that does not suffice, and memory that is given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autoreid.data.source import DataSource
from autoreid.errors import OutOfMemoryError, RunError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import train_job
from autoreid.memory import GIB, memory_explained, remedies
from autoreid.pretrain_recipes import CIFAR100_PRETRAIN
from autoreid.published import CDNET_TRAIN
from autoreid.recipes import RandomSearchRecipe, SelectRecipe
from autoreid.running import is_final, run_job
from autoreid.storage import Storage
from autoreid.training import TrainRun
from autoreid.values import override
from search_spaces.published import PUBLISHED

CPU = Execution(device="cpu", threads=1)
SIZE = {"height": 64, "width": 32, "width_multiplier": 0.1, "batch.identities": 4, "batch.images": 2}
TRAIN = override(CDNET_TRAIN, SIZE | {"epochs": 3, "optimizer.learning_rate": 0.01})


def ask_for_a_petabyte() -> None:
    torch.empty(1 << 50, dtype=torch.uint8)


def run_short_of_memory() -> None:
    raise MemoryError


@pytest.mark.parametrize("allocate", [ask_for_a_petabyte, run_short_of_memory])
def test_memory_of_the_machine_is_told_with_what_to_change(allocate: Any) -> None:
    words = r"the machine gave.*batch.identities \(4\)"
    with pytest.raises(OutOfMemoryError, match=words) as raised, memory_explained(TRAIN, CPU):
        allocate()
    assert is_final(raised.value)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), memory_explained(TRAIN, CPU):
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize(
    ("free", "own", "words", "final"),
    [
        (1, 78, r"NVIDIA L4, 80.0 GiB\): this process holds 78.0 GiB", True),
        (1, 40, r"other processes hold 39.0 GiB of it, this one 40.0 GiB.*resources.gpus: 1", False),
    ],
)
def test_a_gpu_that_others_fill_may_be_free_later(
    free: int, own: int, words: str, final: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA L4")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: own * GIB)
    with pytest.raises(RunError, match=words) as raised, memory_explained(TRAIN, Execution()):
        raise torch.OutOfMemoryError("CUDA out of memory.")
    assert is_final(raised.value) is final


def test_what_to_change_is_what_the_recipe_has() -> None:
    in_bf16 = override(TRAIN, {"precision": "bf16"})
    assert "precision" not in remedies(in_bf16, CPU)
    assert " train.batch.identities (4)" in remedies(RandomSearchRecipe(train=TRAIN), CPU)
    assert " batch (64), " in remedies(CIFAR100_PRETRAIN, CPU)
    in_supernets = remedies(SelectRecipe(), Execution(evaluation_batch=7))
    assert in_supernets == (
        "Lower execution.evaluation_batch (7), which makes it no other job, and try the job again."
    )


def test_a_job_without_memory_fails_for_good_and_says_where(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = train_job(TRAIN, small_data.fingerprint, PUBLISHED["cdnet-top2"], train_seed=0)
    storage = Storage(tmp_path)

    def exhausted(run: TrainRun) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    monkeypatch.setattr(TrainRun, "advance", exhausted)
    with pytest.raises(OutOfMemoryError, match=r"set precision: bf16 \(now fp32\)"):
        list(run_job(job, storage, small_source, CPU, cache))
    failure = storage.job(job.id).failed_for_good()
    assert failure is not None
    assert "out of memory" in str(failure.error)
    log = storage.job(job.id).attempts()[0].read_log()
    assert "in exhausted" in log
    assert "Tried to allocate 20 GiB" in log


def test_a_checkpoint_is_not_taken_for_unfit_where_memory_does_not_suffice(
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = train_job(TRAIN, small_data.fingerprint, PUBLISHED["cdnet-top2"], train_seed=0)
    storage = Storage(tmp_path)
    run = run_job(job, storage, small_source, CPU, cache)
    next(run)
    run.close()

    def exhausted(run: TrainRun, state: dict[str, Any]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(TrainRun, "load", exhausted)
        with pytest.raises(OutOfMemoryError):
            list(run_job(job, storage, small_source, CPU, cache))
    assert [row["epoch"] for row in run_job(job, storage, small_source, CPU, cache)] == [2, 3]


def test_of_many_attempts_few_keep_checkpoints(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    recipe = override(TRAIN, {"epochs": 6})
    job = train_job(recipe, small_data.fingerprint, PUBLISHED["cdnet-top2"], train_seed=0)
    storage = Storage(tmp_path)
    kept = []
    for _ in range(4):
        run = run_job(job, storage, small_source, CPU, cache)
        next(run)
        run.close()
        attempts = storage.job(job.id).attempts()
        kept.append([len(attempt.folder.sizes("checkpoints/")) for attempt in attempts])
    assert kept == [[1], [1, 2], [0, 2, 2], [0, 0, 2, 2]]
