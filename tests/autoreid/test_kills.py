"""Runs killed at the worst points, and continued: bit for bit what an undisturbed run computes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killed_runs import EXECUTION, POINTS, job_of
from states import same_job

from autoreid.data.source import DataSource
from autoreid.feed import PreparedData
from autoreid.running import run_job
from autoreid.storage import Storage

SCRIPT = Path(__file__).with_name("killed_runs.py")
Run = Callable[[dict[str, Any]], int]


@pytest.fixture(scope="module")
def run_forked() -> Iterator[Run]:
    """Runs an order in a forked process; ends with the module."""
    with subprocess.Popen(
        [sys.executable, SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as server:

        def run(order: dict[str, Any]) -> int:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps(order) + "\n")
            server.stdin.flush()
            return int(server.stdout.readline())

        yield run
        assert server.stdin is not None
        server.stdin.close()
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, small_source: DataSource, small_data: PreparedData, cache: Path
) -> Callable[[str, str], Storage]:
    """The storage of an undisturbed run of a kind and precision, computed once, without checkpoints within
    epochs."""
    storage = Storage(tmp_path_factory.mktemp("undisturbed"))

    def ready(kind: str, precision: str) -> Storage:
        job = job_of(kind, precision, small_data.fingerprint)
        list(run_job(job, storage, small_source, replace(EXECUTION, checkpoint_minutes=0), cache))
        return storage

    return ready


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["search", "train"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_continues_bit_for_bit(
    kind: str,
    precision: str,
    point: str,
    run_forked: Run,
    undisturbed: Callable[[str, str], Storage],
    tmp_path: Path,
    small_source: DataSource,
    small_data: PreparedData,
    cache: Path,
) -> None:
    order = {
        "storage": str(tmp_path),
        "cache": str(cache),
        "source": small_source.plain(),
        "fingerprint": small_data.fingerprint,
        "kind": kind,
        "precision": precision,
    }
    assert run_forked({**order, "point": point}) == -signal.SIGKILL
    job, storage = job_of(kind, precision, small_data.fingerprint), Storage(tmp_path)
    assert storage.job(job.id).finished() is None
    assert run_forked({**order, "point": None}) == 0
    killed, after = storage.job(job.id).attempts()
    assert killed.outcome() is None
    assert ("continues 1-" in after.read_log()) == (point != "first epoch")
    same_job(storage, undisturbed(kind, precision), job)
