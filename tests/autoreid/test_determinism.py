"""Deterministic runs: what is set, that it is undone, and that two runs have the same bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils import deterministic

from autoreid.building import build_run
from autoreid.data.source import DataSource
from autoreid.determinism import VARIABLE, repeatable
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import Job, search_job, train_job
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SEARCH_RECIPES
from autoreid.running import run_job
from autoreid.storage import Storage
from autoreid.values import override
from search_spaces.published import PUBLISHED

CPU = Execution(device="cpu", threads=1)
REPEATED = Execution(device="cpu", threads=1, deterministic=True)
CDNET = PUBLISHED["cdnet-top2"]
SMALL = {
    "height": 64,
    "width": 32,
    "width_multiplier": 0.125,
    "batch": {"identities": 4, "images": 2},
    "epochs": 1,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the variable, and as it was when the test is over."""
    monkeypatch.setenv(VARIABLE, "to be restored")
    monkeypatch.delenv(VARIABLE)
    yield


def settings() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (
        torch.get_deterministic_debug_mode(),
        cudnn.deterministic,
        cudnn.benchmark,
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )


def test_what_is_set_is_undone() -> None:
    before = settings()
    with repeatable(REPEATED):
        assert settings() == (2, True, False, False)
        assert os.environ[VARIABLE] == ":4096:8"
    assert settings() == before
    with pytest.raises(ZeroDivisionError), repeatable(REPEATED):
        raise ZeroDivisionError
    assert settings() == before


def test_without_it_nothing_is_touched() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        before = settings()
        with repeatable(CPU):
            assert settings() == before
        assert VARIABLE not in os.environ
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_workspace_that_comes_too_late_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(InputError, match=r"CUBLAS_WORKSPACE_CONFIG is not set.*Set it to :4096:8"):
        repeatable(REPEATED).__enter__()
    monkeypatch.setenv(VARIABLE, ":8:8")
    with pytest.raises(InputError, match="is ':8:8'"):
        repeatable(REPEATED).__enter__()
    monkeypatch.setenv(VARIABLE, ":16:8")
    with repeatable(REPEATED):
        pass


def test_a_job_runs_within_it_and_the_next_one_without(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job = train_job(override(CDNET_TRAIN, SMALL), small_data.fingerprint, CDNET, train_seed=0)
    before = settings()
    rows = run_job(job, Storage(tmp_path), small_source, REPEATED, cache)
    first = next(rows)
    assert settings()[0] == 2
    assert list(rows) == []
    assert settings() == before
    (again,) = run_job(job, Storage(tmp_path / "other"), small_source, CPU, cache)
    assert again["loss"] == first["loss"]  # a processor's kernels are the same ones


def jobs(data: PreparedData) -> dict[str, Job]:
    """A step of each has every kind of operation that networks here are made of."""
    search = override(CDNET_SEARCH, SMALL | {"split.held_out": 2})
    cells = {**SMALL, "height": 112, "channels": 4, "layers": [1, 1, 1, 1], "split.held_out": 2}
    del cells["width_multiplier"]
    of_cells = override(SEARCH_RECIPES["auto-reid"], cells)
    return {
        "search": search_job(search, data.fingerprint, split_seed=0, search_seed=0),
        "cells": search_job(of_cells, data.fingerprint, split_seed=0, search_seed=0),
        "train": train_job(override(CDNET_TRAIN, SMALL), data.fingerprint, CDNET, train_seed=0),
    }


def bits(job: Job, data: PreparedData, execution: Execution) -> list[torch.Tensor]:
    """The weights after a few steps."""
    run = build_run(job, CDNET, data, execution)
    for step in range(3):
        run._step(step)  # type: ignore[attr-defined]
    return [tensor.cpu() for tensor in run.model.state_dict().values()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["search", "train"])
def test_all_operations_have_a_deterministic_kernel(kind: str, small_data: PreparedData) -> None:
    """torch raises an error where one has none."""
    job = jobs(small_data)[kind]
    with repeatable(REPEATED):
        found, again = bits(job, small_data, REPEATED), bits(job, small_data, REPEATED)
    assert all(map(torch.equal, found, again))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["search", "cells", "train"])
def test_two_runs_on_a_gpu_have_the_same_bits(kind: str, small_data: PreparedData) -> None:
    job, execution = jobs(small_data)[kind], Execution(device="cuda", deterministic=True)
    with repeatable(execution):
        found, again = bits(job, small_data, execution), bits(job, small_data, execution)
    assert all(map(torch.equal, found, again))
