"""A storage with a campaign of 100 jobs in every state, as the engine leaves them; nothing is trained."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from campaigns import FINGERPRINT, small

from autoreid.attempts import RECORDS, STARTED, Attempt, Outcome
from autoreid.folders import to_json
from autoreid.leases import Lease
from autoreid.storage import Storage
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan

# 12 arms of four searches and four trainings, and four trainings of a published network.
HUNDRED = """\
# What k and the scale of the alphas do.
name: branches-and-scales
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
repeats: 4
search: {recipe: cdnet, epochs: 20}
train: {recipe: cdnet, epochs: 30}
arms:
  a long name, as labs like them: {search: {space: cds-v1}}
  published: {genotype: cdnet-top2}
grid:
  search.k: [1, 2, 3, all]
  search.alpha_scale: [1e-4, 1e-3, 1e-2]
"""
DONE, RUNNING, STARTED_JOBS, FAILED = 46, 8, 2, 4
EPOCH_SECONDS = 12.0


def facts(seconds: float, epochs: int) -> dict[str, Any]:
    return {"epochs": epochs, "wall_seconds": seconds, "device": "NVIDIA H100", "threads": 4}


def begin(storage: Storage, job: str, epochs: int) -> Attempt:
    """An attempt that has done so many epochs since it began."""
    attempt = storage.job(job).new_attempt()
    began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=EPOCH_SECONDS * epochs)
    attempt.folder.write(STARTED, to_json({"started": began.isoformat(), "host": "node-1"}))
    rows = [
        {"epoch": epoch + 1, "loss": 4.0 / (epoch + 1), "wall_seconds": EPOCH_SECONDS}
        for epoch in range(epochs)
    ]
    attempt.write_records(rows)
    return attempt


def hundred_jobs(folder: Path) -> Storage:
    """The jobs in launch order: 46 done, 8 running, 2 started, 4 failed, the rest waiting or skipped."""
    storage = Storage(folder)
    plan = make_plan(small(text=HUNDRED), FINGERPRINT)
    save_manifest(storage, plan)
    for index, (job_id, job) in enumerate(plan.jobs.items()):
        if index < DONE:
            finish(storage, job_id, job.epochs)
        elif index < DONE + RUNNING:
            attempt = begin(storage, job_id, 3 + index % 10)
            Lease.of_this_process().write(attempt.folder)
        elif index < DONE + RUNNING + STARTED_JOBS:
            begin(storage, job_id, 5)
        elif index < DONE + RUNNING + STARTED_JOBS + FAILED:
            fail(storage, job_id, "OutOfMemoryError: CUDA out of memory" if index % 2 else "the loss is nan")
    return storage


def finish(storage: Storage, job: str, epochs: int) -> None:
    begin(storage, job, epochs).finish(Outcome("done", facts=facts(EPOCH_SECONDS * epochs, epochs)))


def fail(storage: Storage, job: str, error: str) -> None:
    attempt = begin(storage, job, 1)
    attempt.log("epoch 1: loss 4.0")
    attempt.log(error)
    attempt.finish(Outcome("failed", facts=facts(60.0, 1), error=error, final=True))


def records_of(storage: Storage, job: str) -> str:
    """Where the records of a job's last attempt lie."""
    return f"jobs/{job}/attempts/{storage.job(job).attempts()[-1].name}/{RECORDS}"
