"""The adapter between Tune and the engine: one trial is one job."""

from __future__ import annotations

from typing import Any

from ray.tune import Trainable

from autoreid.jobs import Job
from autoreid.storage import read_json
from tune_runs.context import Context

REPORTED = ("epoch", "loss", "accuracy", "validation_accuracy", "images_per_second")


class JobTrial(Trainable):
    """Runs the job that its configuration names, one epoch a step."""

    def setup(self, config: dict[str, Any], context: Context) -> None:
        folder = context.storage.job(config["job"])
        job = Job.from_plain(read_json(folder.folder, "job.json"), f"job {config['job']}")
        self.rows = context.engine(job, context.storage, context.source, context.execution)

    def step(self) -> dict[str, Any]:
        row = next(self.rows, None)
        if row is None:
            return {"done": True}
        return {name: row[name] for name in REPORTED if row.get(name) is not None}

    def cleanup(self) -> None:
        self.rows.close()
