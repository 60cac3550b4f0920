"""Runs a select job and kills its own process between two of its steps. Started by test_selecting.py.

Arguments: storage, cache, the data source as JSON, the job's id, and the number of the step.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from autoreid.data.source import DataSource
from autoreid.execution import Execution
from autoreid.folders import read_json
from autoreid.jobs import Job
from autoreid.running import run_job
from autoreid.storage import Storage

if __name__ == "__main__":
    folder, cache, source, job_id, beats = sys.argv[1:]
    torch.set_num_threads(1)
    storage = Storage(folder)
    job = Job.from_plain(read_json(storage.job(job_id).folder, "job.json"))
    left = int(beats)

    def killed() -> bool:
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    # So little that a checkpoint is written after every step.
    execution = Execution(device="cpu", threads=1, checkpoint_minutes=1e-9)
    for _ in run_job(job, storage, DataSource.from_plain(json.loads(source)), execution, Path(cache), killed):
        pass
