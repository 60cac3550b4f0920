"""Searching a gallery of features on disk: exact, in chunks, against faiss's flat index.

python benchmarks/gallery.py [--count N ...] [--queries N ...] [--rounds 5] [--threads N] [--short]

Features are random, 512 numbers each, in a file as `autoreid embed` writes it. Every measurement is a process
of its own that reads the file and gives the ten nearest of every query, in rounds that alternate between the
two; figures are medians over the rounds. "load" is the part of faiss's seconds until its index is there,
"peak" the memory of the process. The short form has 20,000 features only. The exit code is 1 where results
differ, or the exact search of a million holds more than 500 MB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_peers import measured
from side_by_side import Measurement, Promise, median_ratio
from side_by_side import main as side_by_side

from autoreid.cli import answer, say
from autoreid.gallery.feature_files import FeatureFile, FeatureWriter, Origin
from autoreid.gallery.images import ImageFile
from autoreid.gallery.nearest import faiss_index, nearest, nearest_by_faiss
from autoreid.whole_files import output_file

CASE = "gallery"
DIMENSION, TOP, BLOCK = 512, 10, 4096
ORIGIN = Origin("00" * 32, "{}", 256, 128, False, "fp32")
WAYS = ("exact", "faiss")
MANY = 1_000_000


def random_block(seed: int, rows: int) -> np.ndarray:
    """Features of length 1, float32 (rows, 512)."""
    found = np.random.default_rng(seed).standard_normal((rows, DIMENSION), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def write(path: Path, count: int) -> None:
    with output_file(path) as file, FeatureWriter(file, ORIGIN, DIMENSION) as writer:
        for start in range(0, count, BLOCK):
            rows = range(start, min(start + BLOCK, count))
            images = [ImageFile(f"{row:07}.jpg", "/gallery") for row in rows]
            writer.add(images, random_block(start + 1, len(rows)))


def search(way: str, path: Path, queries: int) -> dict[str, Any]:
    """The ten nearest of random queries, as a digest of rows and distances."""
    begin, file, wanted = time.perf_counter(), FeatureFile.open(path), random_block(0, queries)
    extra = {}
    if way == "exact":
        found = nearest(wanted, file.blocks(), TOP)
    else:
        index = faiss_index(file.blocks(), DIMENSION)
        extra["load_seconds"] = time.perf_counter() - begin
        found = nearest_by_faiss(index, wanted, TOP)
    digest = hashlib.sha256(found.rows.tobytes() + found.distances.tobytes()).hexdigest()
    return {"digest": digest, **extra}


def rounds_of(path: Path, queries: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What every way gave in every round, each in a process of its own."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for turn in range(rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--measure", way, "--file", str(path)]
            done = subprocess.run(
                [*command, "--queries", str(queries)], check=True, stdout=subprocess.PIPE, text=True
            )
            runs[way].append(json.loads(done.stdout.splitlines()[-1]))
            say(f"round {turn + 1}, {queries} queries: {way}, {runs[way][-1]['seconds']:.2f} s")
    return runs


def rows_of(count: int, queries: int, runs: dict[str, list[dict[str, Any]]]) -> list[Measurement]:
    found = []
    for way, own in runs.items():
        extra: dict[str, float | int | str] = {
            "peak_megabytes": statistics.median(run["peak_bytes"] for run in own) / 1e6,
            "same": int({run["digest"] for run in own} == {run["digest"] for run in runs["exact"]}),
        }
        if way == "faiss":
            extra["load_seconds"] = statistics.median(run["load_seconds"] for run in own)
        seconds = [run["seconds"] for run in own]
        found.append(
            Measurement(
                case=CASE,
                name=name_of(count, queries, way),
                seconds=statistics.median(seconds),
                processor_seconds=statistics.median(run["processor_seconds"] for run in own),
                ratio=median_ratio([run["seconds"] for run in runs["exact"]], seconds),
                against=name_of(count, queries, "exact"),
                extra=extra,
            )
        )
    return found


def name_of(count: int, queries: int, way: str) -> str:
    return f"{count:,} features, {queries} queries: {way}"


def measure(options: argparse.Namespace) -> list[Measurement]:
    found: list[Measurement] = []
    for count in options.count or ([20_000] if options.short else [20_000, MANY]):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "features.parquet")
            # In a process of its own: what others hold begins with what this one does.
            command = [sys.executable, __file__, "--write", str(count), "--file", str(path)]
            subprocess.run(command, check=True)
            for queries in options.queries or [1, 256]:
                found += rows_of(count, queries, rounds_of(path, queries, options.rounds))
    return found


def promises() -> list[Promise]:
    places = [(count, queries) for count in (20_000, MANY) for queries in (1, 256)]
    names = [name_of(*place, way) for place in places for way in WAYS]
    bounded = [name_of(MANY, queries, "exact") for queries in (1, 256)]
    return [
        *(Promise(name, "same", least=1, optional=True) for name in names),
        *(Promise(name, "peak_megabytes", most=500, optional=True) for name in bounded),
    ]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, action="append", help="features (20000 and 1000000)")
    parser.add_argument("--queries", type=int, action="append", help="queries (1 and 256)")
    for hidden in ("--write", "--measure", "--file"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)


def main() -> int:
    if {"--write", "--measure"} & set(sys.argv):
        parser = argparse.ArgumentParser()
        configure(parser)
        options = parser.parse_args()
        if options.write:
            write(Path(options.file), int(options.write))
            return 0
        found = measured(lambda: search(options.measure, Path(options.file), options.queries[0]))
        answer(found, "", as_json=True)
        return 0
    return side_by_side(CASE, measure, configure, promises=promises(), summary=__doc__)


if __name__ == "__main__":
    sys.exit(main())
