"""Jobs of a small campaign with records, for what is made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from campaigns import FINGERPRINT, small

from autoreid.attempts import Attempt
from autoreid.storage import Storage
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan

BEGAN = "2026-01-01T00:00:00+00:00"
BEGIN = 1767225600
# Records of a search hold its alphas, too, which are no numbers of an epoch.
ALPHAS = [{"alphas": {"mblock1": [0.1 * epoch, 0.2]}} for epoch in range(3)]
ALPHAS[0]["options"] = {"mblock1": ["(3,5,1)", "(3,7,1)"]}
ROWS = [
    {
        "epoch": 1,
        "loss": 2.5,
        "accuracy": None,
        "genotype": "a",
        "images": 64,
        "wall_seconds": 10.0,
        **ALPHAS[0],
    },
    {
        "epoch": 2,
        "loss": 1.25,
        "accuracy": 0.5,
        "genotype": "b",
        "images": 64,
        "wall_seconds": 30.0,
        **ALPHAS[1],
    },
    {
        "epoch": 3,
        "loss": 0.5,
        "accuracy": 0.75,
        "genotype": "b",
        "images": 64,
        "wall_seconds": 20.0,
        **ALPHAS[2],
    },
]
LOSSES = [(1, 2.5), (2, 1.25), (3, 0.5)]


def planned_storage(folder: Path) -> Storage:
    """A storage in which a campaign is planned and nothing has begun."""
    storage = Storage(folder)
    save_manifest(storage, make_plan(small("repeats=1"), FINGERPRINT))
    return storage


def jobs() -> list[str]:
    """The ids of the campaign's jobs; the first one is a search."""
    return list(make_plan(small("repeats=1"), FINGERPRINT).jobs)


def attempt(storage: Storage, job: str, rows: Sequence[Mapping[str, Any]]) -> Attempt:
    """A new attempt at a job, which has begun and recorded these epochs."""
    made = storage.job(job).new_attempt()
    made.folder.write("started.json", json.dumps({"started": BEGAN}).encode())
    made.write_records(rows)
    return made
