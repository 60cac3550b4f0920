"""Collecting the tables of ten thousand finished jobs: seconds and memory.

python benchmarks/collection.py [--trials 10000] [--short] [--json] [--history DIR]

Writes a storage in the folder for temporary files, half searches and half trainings, each with records of 60
epochs: four fifths of the searches with the 72 alphas of cds-v1, one fifth with the 196 of reid-v1. Then
collects from scratch, again with nothing new, and again with one job in a hundred done anew, each in a
process of its own. Exit code 1 where a promise is not kept: a minute of a processor and a GB from scratch,
for ten thousand. On a busy machine processor seconds are the figure to rely on. The short form takes a fifth
of the trials.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from side_by_side import Measurement, Promise
from side_by_side import main as side_by_side

from autoreid.cli import say
from autoreid.folders import sha256
from autoreid.jobs import Job, search_job, train_job
from autoreid.published import AUTO_REID_SEARCH, CDNET_SEARCH, CDNET_TRAIN
from autoreid.storage import Storage
from autoreid.values import canonical_json
from autoreid.version import STORAGE_VERSION
from search_spaces.places import PLACES

EPOCHS = 60
DATA = "ab" * 32
ARMS = {
    **{f"k={k}": replace(CDNET_SEARCH, k=k, epochs=EPOCHS) for k in (1, 2, 3, "all")},
    "cells": replace(AUTO_REID_SEARCH, epochs=EPOCHS),
}
TRAIN = replace(CDNET_TRAIN, epochs=EPOCHS)
MOST_SECONDS, MOST_BYTES = 60.0, 1e9
MEASURE = """
import json, resource, sys, time
begin = time.perf_counter()
from analysis.collect import collect
found = collect(sys.argv[1])
assert not found.warnings, found.warnings[:3]
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""

Planned = dict[tuple[str, int, str], Job]


def planned(trials: int) -> Planned:
    """About so many jobs of five arms."""
    jobs: Planned = {}
    for repeat in range(trials // (2 * len(ARMS))):
        for arm, recipe in ARMS.items():
            search = search_job(recipe, DATA, split_seed=repeat, search_seed=repeat)
            jobs[arm, repeat, "search"] = search
            jobs[arm, repeat, "train"] = train_job(TRAIN, DATA, search.id, train_seed=repeat)
    return jobs


def rows_of(kind: str, places: dict[str, tuple[str, ...]], chance: random.Random) -> Iterator[dict[str, Any]]:
    """Records of epochs with all the columns that the engine writes, with numbers of full length."""
    names = ["loss", "cross_entropy", "triplet", "accuracy", "learning_rate"]
    names += ["wall_seconds", "images_per_second"]
    if kind == "search":
        names += ["validation_loss", "validation_accuracy", "alpha_entropy", "alpha_learning_rate"]
        names += [f"share_{name}" for name in ("skip_connect", "part_aware", "parameter_free")]
        names += [f"{name}_accuracy" for name in ("supernet", "discretised")]
        names += ["discretisation_gap", "health_seconds"]
    draw = chance.random
    for epoch in range(1, EPOCHS + 1):
        row: dict[str, Any] = {name: draw() for name in names} | {
            "epoch": epoch,
            "steps": 100,
            "images": 6400,
        }
        if kind == "search":
            row |= {"genotype": " ".join(f"{p}={o[epoch % len(o)]}" for p, o in places.items())}
            row |= {"genotype_changes": epoch % 3, "alpha_eigenvalue": None}
            row["alphas"] = {place: [round(draw(), 6) for _ in of] for place, of in places.items()}
            row |= {"options": places} if epoch == 1 else {}
        yield row


def result_of(kind: str, space: str, alphas: Any) -> dict[str, Any]:
    choices = {place: options[1] for place, options in PLACES[space].items()}
    found = {
        "genotype": {"version": 1, "space": space, "choices": choices},
        "genotype_digest": "0" * 12,
        "alphas": alphas,
        "search_seconds": 30.0,
        "images_seen": 768_000,
        "relaxation": "top-k",
    }
    scores = dict.fromkeys(("mAP", "rank_1", "rank_5", "rank_10", "mINP"), 0.5) | {"queries": 3368}
    sizes = dict.fromkeys(("backbone", "inference", "training"), 1_700_000)
    trained = {
        "evaluation": scores | {"protocol": {"version": 1}},
        "untrained": scores | {"protocol": {"version": 1}},
        "complexity": {"params": sizes, "multiply_adds": sizes, "feature_dim": 768},
        "network": f"{space}: " + " ".join(f"{place}={option}" for place, option in choices.items()),
        "train_seconds": 30.0,
        "evaluation_seconds": 1.0,
    }
    return found if kind == "search" else {**found, **trained, "alphas": None}


def finish(storage: Path, job: Job, space: str, number: int) -> None:
    """Leave the files of a finished attempt, without waiting for the disk as the engine does."""
    rows = list(rows_of(job.kind, PLACES[space], random.Random(f"{job.id} {number}")))
    attempt = storage / f"jobs/{job.id}/attempts/{number}-0123abcd"
    attempt.mkdir(parents=True)
    vouched = {
        "records.jsonl": "".join(canonical_json(row) + "\n" for row in rows).encode(),
        "genotype.json": b'{"space": "cds-v1"}',
    }
    facts = {"epochs": EPOCHS, "wall_seconds": 40.0, "device_kind": "cpu", "device": "none", "threads": 1}
    outcome = {
        "version": STORAGE_VERSION,
        "status": "done",
        "result": result_of(job.kind, space, rows[-1].get("alphas")),
        "facts": facts,
        "error": None,
        "final": False,
        "job": job.id,
        "files": {name: {"sha256": sha256(data), "bytes": len(data)} for name, data in vouched.items()},
    }
    vouched |= {"started.json": b"{}", "log.txt": b"begins\ndone\n"}
    for name, data in {**vouched, "outcome.json": json.dumps(outcome).encode()}.items():
        (attempt / name).write_bytes(data)
    (storage / f"jobs/{job.id}/job.json").write_text(canonical_json(job.plain()))


def write_storage(root: Path, trials: int) -> Planned:
    jobs = planned(trials)
    manifest = {
        "version": 1,
        "name": "many",
        "repeats": trials // (2 * len(ARMS)),
        "entries": [
            {"job": job.id, "arm": arm, "repeat": repeat, "kind": kind}
            for (arm, repeat, kind), job in jobs.items()
        ],
        "jobs": {job.id: job.plain() for job in jobs.values()},
    }
    for (arm, _, _), job in jobs.items():
        finish(root, job, ARMS[arm].space, 1)
    Storage(root).write_manifest("many", manifest)
    return jobs


def renew(root: Path, jobs: Planned) -> None:
    """One job in a hundred is done anew: its first attempt is gone."""
    for number, ((arm, _, _), job) in enumerate(jobs.items()):
        if number % 100 == 50:
            (root / f"jobs/{job.id}/attempts/1-0123abcd/outcome.json").unlink()
            finish(root, job, ARMS[arm].space, 2)


def measure(root: Path) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak memory of a collection in a process of its own."""
    command = [sys.executable, "-c", MEASURE, str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    wall, busy, peak = json.loads(done.stdout)
    return wall, busy, peak


def measure_all(options: argparse.Namespace) -> list[Measurement]:
    options.rounds = 1
    trials = options.trials or (2_000 if options.short else 10_000)
    found: dict[str, tuple[float, float, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        jobs = write_storage(root, trials)
        say(f"the storage of {len(jobs)} jobs is written")
        found["from scratch"] = measure(root)
        found["nothing new"] = measure(root)
        renew(root, jobs)
        found["one in a hundred new"] = measure(root)
        files = {path.parent.name: path.stat().st_size for path in sorted(root.glob("tables/*/*"))}
    rows = [
        Measurement(
            case="collection",
            name=name,
            seconds=wall,
            processor_seconds=busy,
            extra={
                "peak_megabytes": peak / 1e6,
                "processor_seconds_a_job": busy / len(jobs),
                "jobs": len(jobs),
            },
        )
        for name, (wall, busy, peak) in found.items()
    ]
    sizes = {f"{name}_megabytes": size / 1e6 for name, size in files.items() if size > 1e6}
    return [*rows, Measurement("collection", "the tables", extra=sizes)]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, help="default: 10000, 2000 in the short form")


PROMISES = (
    Promise("from scratch", "processor_seconds_a_job", most=MOST_SECONDS / 10_000),
    Promise("from scratch", "peak_megabytes", most=MOST_BYTES / 1e6),
)


if __name__ == "__main__":
    sys.exit(side_by_side("collection", measure_all, configure, promises=PROMISES, summary=__doc__))
