"""Small campaigns and a stand-in for the engine, shared by the tests of campaigns."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

from autoreid.attempts import Outcome
from autoreid.execution import Execution
from autoreid.jobs import Job
from autoreid.storage import Storage
from tune_runs.campaign import Campaign, read_campaign
from tune_runs.context import Context
from tune_runs.dispatch import Dispatch

SMALL = """\
# What it shows.
name: small
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
repeats: 2
search: {recipe: cdnet, epochs: 2}
train: {recipe: cdnet, epochs: 3}
arms:
  a: {search: {space: cs-v1}}
  b: {search: {space: cds-v1}}
"""
# What the rendered data can fill, at a size that is decoded at once.
FITTING = SMALL.replace("cdnet,", "cdnet, height: 64, width: 32, batch: {identities: 4, images: 2},")
FINGERPRINT = "f" * 64


def small(*settings: str, text: str = SMALL) -> Campaign:
    return read_campaign(text, "small.yaml", None, settings)


def fake_engine(raising: str = "", dying: str = "") -> Any:
    """An engine that writes attempts like the real one, at once. The job of the id `raising` fails, that of
    the id `dying` ends its process.

    It is a closure, so that Ray sends it to the workers by value.
    """

    def run(
        job: Job, storage: Storage, source: Any, execution: Execution, cache: Any, stop: Any
    ) -> Generator[dict[str, Any], None, bool]:
        import os
        import signal

        attempt = storage.job(job.id).new_attempt()
        facts = {"epochs": job.recipe.epochs, "threads": execution.threads, "device": execution.device}
        facts |= {"process": os.getpid(), "niceness": os.nice(0)}
        if any(storage.job(needed).finished() is None for needed in job.needs):
            raise RuntimeError("released before its input was there")
        yield {"epoch": 1, "loss": 2.5, "accuracy": None}
        if job.id == raising:
            attempt.finish(Outcome("failed", facts=facts, error="epoch 1: the loss is nan"))
            raise RuntimeError("the loss is nan")
        if job.id == dying:
            os.kill(os.getpid(), signal.SIGKILL)
        attempt.write("records.txt", b"x")
        attempt.finish(Outcome("done", facts=facts))
        return True

    return run


def run_at_once(dispatch: Dispatch, context: Context, *_: Any, **__: Any) -> None:
    """Stands for the Tune run: every job is done as soon as it is handed out."""
    while (job := dispatch.next()) is not None:
        folder = context.storage.job(job)
        facts = {"epochs": json.loads(folder.folder.read("job.json"))["recipe"]["epochs"]}
        folder.new_attempt().finish(Outcome("done", facts=facts))
        dispatch.ended(job, None, None)


def seed_of(job: Job) -> int:
    return dict(job.seeds).get("search", dict(job.seeds).get("train", -1))
