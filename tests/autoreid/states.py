"""Whether two storages hold the same of a job: weights, alphas and records, what a clock gave aside."""

from __future__ import annotations

from typing import Any

import torch

from autoreid.jobs import Job
from autoreid.records import measured
from autoreid.running import Row
from autoreid.snapshots import from_bytes
from autoreid.storage import Storage

TIMES = ("search_seconds", "milliseconds_per_image", "train_seconds", "evaluation_seconds")


def repeatable(rows: list[Row]) -> list[Row]:
    """Records without what a clock gave."""
    return [{key: row[key] for key in row if key not in measured("epochs")} for row in rows]


def final_weights(storage: Storage, job: Job) -> dict[str, Any]:
    """What the attempt that counts has saved: weights, and alphas of a search."""
    finished = storage.job(job.id).finished()
    assert finished is not None
    name = "supernet.pt" if job.kind == "search" else "model.pt"
    return from_bytes(finished[0].vouched(name, finished[1]), name)


def equal(a: Any, b: Any) -> bool:
    """Whether plain values and tensors are equal, bit for bit."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def same_job(one: Storage, other: Storage, job: Job) -> None:
    """Assert that both storages have finished the job, with the same outcome bit for bit."""
    assert equal(final_weights(one, job), final_weights(other, job))
    first, second = (storage.job(job.id).finished() for storage in (one, other))
    assert first is not None
    assert second is not None
    assert repeatable(first[0].records()) == repeatable(second[0].records())
    results = [{k: v for k, v in outcome.result.items() if k not in TIMES} for _, outcome in (first, second)]
    assert results[0] == results[1]
