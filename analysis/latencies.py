"""The times of networks at inference: their rows in the tables, and their section of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import words
from analysis.pages import Grid, Records, Section
from analysis.rows import Entry, Row, compact
from analysis.words import NOTHING
from autoreid.latency_rounds import median_ratio
from search_spaces.published import PUBLISHED

NETWORKS = {genotype.digest: name for name, genotype in PUBLISHED.items()}
# What times have in common that may be compared.
MACHINE = ["device", "device_kind", "threads", "precision", "forms"]
INTRO = (
    "The network alone, from normalised images on the device to features, a batch at a time; all networks in "
    "one run, in which they took turns. Times of other devices are not comparable with these."
)
NOTE = (
    "Milliseconds are medians over all full batches, with the distance between the quartiles. A pass is over "
    "all images, in batches. Memory: {memory}."
)
MEMORY = {
    "allocator": "the most that torch's allocator held for a batch, the network included",
    "counted": "by the sizes of the tensors of a batch, the network included",
}


def latency_rows(entry: Entry) -> list[Row]:
    """One row for each of an arm's networks and each size of batches, once they were timed."""
    found = entry.seen.result.get("latency")
    if not entry.seen.done or not isinstance(found, list):
        return []
    timed = [one for one in found if isinstance(one, Mapping)]
    return [
        {**_row(one), **entry.keys, "repeat": repeat}
        for repeat, number in entry.timed
        for one in timed
        if one.get("network") == number
    ]


def _row(given: Mapping[str, Any]) -> Row:
    digest = given.get("genotype_digest")
    return {
        **given,
        "genotype": digest,
        "network": NETWORKS.get(str(digest), f"genotype {digest}"),
        "passes_seconds": compact(given.get("passes_seconds")),
        "passes": len(given.get("passes_seconds") or ()),
    }


def latencies(records: Records) -> Section | None:
    """A table for each machine; None where nothing was timed."""
    rows = records.by_arm(records.latencies)
    if rows.empty:
        return None
    machines = rows.groupby(MACHINE, sort=False, dropna=False)
    grids = tuple(_grid(records, alike) for _, alike in machines)
    return Section("Time at inference", INTRO, grids=grids)


def _machine(row: Mapping[Any, Any]) -> str:
    threads = "" if pd.isna(row["threads"]) else f", {words.counted(row['threads'], 'thread')}"
    forms = "" if row["forms"] in ("default", None) else f", {row['forms']}"
    return f"{row['device']}{threads}, {row['precision']}{forms}"


def _grid(records: Records, alike: pd.DataFrame) -> Grid:
    rows: list[dict[Any, Any]] = alike.to_dict("records")
    references = {batch: _reference(records, rows, batch) for batch in dict.fromkeys(alike["batch"])}
    lines = tuple(_line(row, references[row["batch"]]) for row in rows)
    against = next(iter(references.values()))["arm"]
    first = rows[0]
    headings = (
        "arm",
        "repeat",
        "network",
        "images",
        "batch",
        "ms a batch (spread)",
        "ms an image",
        "images/s",
        "s a pass",
        f"times as fast as {against}",
        "parameters",
        "multiply-adds",
        "memory",
    )
    passes = words.counted(first["passes"], "pass", "passes")
    title = f"{_machine(first)}: {passes} of {first['pass_images']:,} images"
    note = NOTE.format(memory=MEMORY.get(first["peak_memory_source"], NOTHING))
    return Grid(title, headings, "lrllrrrrrrrrr", lines, note, latex=True)


def _reference(records: Records, rows: list[dict[Any, Any]], batch: int) -> dict[Any, Any]:
    """What others are compared with: the baseline's first network, else the first of all."""
    mine = [row for row in rows if row["batch"] == batch]
    return next((row for row in mine if row["arm"] == records.baseline), mine[0])


def _line(row: Mapping[Any, Any], reference: Mapping[Any, Any]) -> tuple[str, ...]:
    first, own = (json.loads(one["passes_seconds"]) for one in (reference, row))
    ratio = median_ratio(first, own) if len(first) == len(own) else None
    took = words.significant(row["batch_milliseconds"], 4)
    return (
        row["arm"],
        words.numbers([row["repeat"]]),
        row["network"],
        f"{row['height']}x{row['width']}",
        str(row["batch"]),
        f"{took} ({words.significant(row['batch_milliseconds_iqr'], 2)})",
        words.significant(row["image_milliseconds"], 3),
        words.significant(row["images_per_second"], 4),
        words.significant(row["pass_seconds"], 4),
        words.significant(ratio, 3),
        words.millions(row["parameters"], 3),
        words.millions(row["multiply_adds"], 1),
        words.memory(row["peak_memory_bytes"]),
    )
