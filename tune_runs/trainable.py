"""The adapter between Tune and the engine: one trial is one job."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ray.tune import Trainable

from autoreid.errors import AutoreidError
from autoreid.folders import read_json
from autoreid.jobs import Job
from tune_runs.context import Context

REPORTED = ("epoch", "loss", "accuracy", "validation_accuracy", "images_per_second")


class JobTrial(Trainable):
    """Runs the job that its configuration names, one epoch a step."""

    def setup(self, config: dict[str, Any], context: Context) -> None:
        self.context = context
        self.rows = _rows(config["job"], context)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next job in the same process, where processes are reused."""
        self.rows.close()
        self.rows = _rows(new_config["job"], self.context)
        return True

    def step(self) -> dict[str, Any]:
        try:
            row = next(self.rows, None)
        except Exception as error:  # said as a result: Tune keeps the text of an error to itself
            known = isinstance(error, AutoreidError)
            return {"done": True, "problem": str(error) if known else f"{type(error).__name__}: {error}"}
        if row is None:
            return {"done": True}
        return {name: row[name] for name in REPORTED if row.get(name) is not None}

    def cleanup(self) -> None:
        self.rows.close()


def _rows(job_id: str, context: Context) -> Generator[dict[str, Any], None, None]:
    """The engine's rows of a job; nothing is read before the first one is asked for."""
    folder = context.storage.job(job_id).folder
    job = Job.from_plain(read_json(folder, "job.json"), f"{folder}/job.json")
    yield from context.engine(job, context.storage, context.source, context.execution, context.cache)
