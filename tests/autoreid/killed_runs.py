"""A process that forks runs which kill themselves at a given point. Started by test_kills.py.

It reads one JSON object a line from standard input: storage, cache, kind, precision, and the point at which
the run dies (null: it runs to its end); it answers with the exit status of the forked process. Forking saves
the import of torch for every run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import torch

from autoreid import losses
from autoreid.attempts import OUTCOME
from autoreid.data.source import DataSource
from autoreid.execution import Execution
from autoreid.folders import LocalFolder
from autoreid.jobs import Job, search_job, train_job
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.running import run_job
from autoreid.searching import SearchRun
from autoreid.storage import Storage
from autoreid.values import override
from autoreid.whole_files import PART
from search_spaces.published import PUBLISHED

SIZE = {"height": 64, "width": 32, "width_multiplier": 0.1, "batch.identities": 4, "batch.images": 2}
SEARCH = override(CDNET_SEARCH, SIZE | {"space": "cs-v1", "epochs": 2, "split.held_out": 2})
TRAIN = override(CDNET_TRAIN, SIZE | {"epochs": 2, "optimizer.learning_rate": 0.01})
# So little that a checkpoint is written after every step.
EXECUTION = Execution(device="cpu", threads=1, checkpoint_minutes=1e-9)
POINTS = ("first epoch", "between steps", "inside a checkpoint", "after a checkpoint", "before the outcome")


def job_of(kind: str, precision: str, fingerprint: str) -> Job:
    if kind == "search":
        recipe = override(SEARCH, {"precision": precision})
        return search_job(recipe, fingerprint, split_seed=0, search_seed=0)
    return train_job(
        override(TRAIN, {"precision": precision}), fingerprint, PUBLISHED["cdnet-top2"], train_seed=0
    )


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def arm(kind: str, point: str | None) -> None:
    """Make this process kill itself at a point of its run."""
    if point in ("first epoch", "between steps"):
        arm_step(kind, die_at=1 if point == "first epoch" else 7)
    elif point is not None:
        arm_write(point)


def arm_step(kind: str, die_at: int) -> None:
    """Die in step `die_at`: after the weights' step and before the alphas', or between loss and update."""
    calls = 0
    # Looked up when it is called, so that the run finds what is put here.
    home: Any = SearchRun if kind == "search" else losses
    name = "_alpha_step" if kind == "search" else "compute"
    intact = getattr(home, name)

    def counted(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        return die() if calls == die_at else intact(*given)

    setattr(home, name, counted)


def arm_write(point: str) -> None:
    """Die within the put of the fifth checkpoint, after it, or before that of the outcome."""
    calls, intact = 0, LocalFolder.write

    def write(folder: LocalFolder, name: str, data: bytes) -> None:
        nonlocal calls
        calls += name.startswith("checkpoints/")
        fifth = name.startswith("checkpoints/") and calls == 5
        if fifth and point == "inside a checkpoint":
            (folder.root / name).with_name(f"{PART}broken").write_bytes(data[: len(data) // 2])
            die()
        if name == OUTCOME and point == "before the outcome":
            die()
        intact(folder, name, data)
        if fifth and point == "after a checkpoint":
            die()

    LocalFolder.write = write  # type: ignore[method-assign]


def forked(order: dict[str, Any]) -> int:
    """Run an order in a process of its own; minus the signal that killed it, else its exit code."""
    child = os.fork()
    if not child:
        arm(order["kind"], order["point"])
        source = DataSource.from_plain(order["source"])
        job = job_of(order["kind"], order["precision"], order["fingerprint"])
        for _ in run_job(job, Storage(order["storage"]), source, EXECUTION, Path(order["cache"])):
            pass
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(forked(json.loads(line)), flush=True)
