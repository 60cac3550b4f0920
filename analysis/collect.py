"""From the records on disk to the parquet tables: what became of every planned job.

The manifest's entries are the rows; results are joined onto them from the left. A failed, waiting or damaged
job is a row with a status, never a hole. Equal records give equal bytes: rows stand in the manifest's order,
and nothing of the present moment enters a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from analysis.details import cost_rows, evaluation_rows
from analysis.files import Earlier, TableFile
from analysis.histories import histories, stamp_of
from analysis.latencies import latency_rows
from analysis.planned import Planned
from analysis.rows import (
    Entry,
    Row,
    checked,
    genotype_rows,
    point_rows,
    pretrain_rows,
    retrain_rows,
    trial_rows,
)
from analysis.tables import Where, file_of, output_folder
from analysis.tables import campaigns as with_tables
from autoreid.errors import InputError
from autoreid.folders import Folder, LocalFolder
from autoreid.records import TABLES
from autoreid.storage import Storage

# Tables that hold few rows of each job.
ROWS: dict[str, Callable[[Entry], list[Row]]] = {
    "trials": trial_rows,
    "genotypes": genotype_rows,
    "retrains": retrain_rows,
    "pretrains": pretrain_rows,
    "evaluations": evaluation_rows,
    "latencies": latency_rows,
}

# Tables that hold many rows of each job, and take over those that an earlier collection has read.
HISTORIES = ("epochs", "alphas")


@dataclass(frozen=True, slots=True)
class Collected:
    """The campaigns that were collected, the paths or addresses of their files, and what was found damaged or
    missing on the way."""

    campaigns: tuple[str, ...]
    files: tuple[str, ...]
    warnings: tuple[str, ...]


def write(planned: Planned, target: Folder) -> list[str]:
    """Replace the files of all tables of a campaign; their names. Rows stand in the manifest's order."""
    name, warnings = planned.name, planned.warnings
    with contextlib.ExitStack() as opened:
        earlier = {
            table: opened.enter_context(contextlib.closing(Earlier(target, table, name)))
            for table in HISTORIES
        }
        facts = {"trials": planned.facts()}
        files = {
            table: opened.enter_context(contextlib.closing(TableFile(table, name, facts.get(table))))
            for table in TABLES
        }
        for entry in planned.entries():
            found = _histories(entry, earlier, files, warnings)
            for table, make in ROWS.items():
                _add(files, table, entry, make(entry), warnings)
            _add(files, "costs", entry, cost_rows(entry, found["epochs"]), warnings)
        files["points"].add_rows(point_rows(name, planned.manifest, warnings))
        for table, file in files.items():
            file.put(target, file_of(table, name))
    return [file_of(table, name) for table in files]


def _histories(
    entry: Entry, earlier: Mapping[str, Earlier], files: Mapping[str, TableFile], warnings: list[str]
) -> dict[str, pa.Table]:
    """A job's epochs and alphas: taken over where they were made of the same, else read."""
    stamp, before = stamp_of(entry), len(warnings)
    taken = {table: held.take(stamp) for table, held in earlier.items()}
    found = {table: content for table, content in taken.items() if content is not None}
    if len(found) < len(earlier):
        found = histories(entry, warnings)
    for table, content in found.items():
        # What was damaged is to be said by the next collection, too.
        files[table].add_part(content, stamp if len(warnings) == before else "")
    return found


def _add(
    files: Mapping[str, TableFile], table: str, entry: Entry, rows: list[Row], warnings: list[str]
) -> None:
    found = (checked(row, table, entry.place, warnings) for row in rows)
    files[table].add_rows([row for row in found if row is not None])


def _wanted(storage: Storage, campaigns: list[str] | None) -> list[str]:
    if isinstance(storage.folder, LocalFolder) and not storage.folder.root.is_dir():
        raise InputError(f"{storage.folder}: no such folder. Give the folder that the run's --storage named.")
    storage.check()
    known = storage.campaigns()
    if not known:
        raise InputError(
            f"{storage.folder}: no campaigns in this folder. Give the folder that --storage named when "
            "'autoreid campaign run' ran."
        )
    return known if campaigns is None else campaigns


def _stale(folder: Folder, known: list[str], collected: list[str]) -> list[str]:
    """A warning for every campaign whose tables in the storage were not written by this collection."""
    warnings = []
    for name in with_tables(folder):
        if name in collected:
            continue
        reason = "the campaign was left out" if name in known else "the storage does not hold this campaign"
        warnings.append(
            f"{folder}/{file_of('trials', name)}: tables of an earlier collection: {reason}. Remove the "
            f"files {name}.parquet below {folder}/tables if they are not wanted."
        )
    return warnings


def collect(
    storage: Storage | Where, output: Where | None = None, campaigns: list[str] | None = None
) -> Collected:
    """Write the tables of all campaigns, or of the named ones, to `<output or storage>/tables/`.

    Each file is replaced whole, so that a reader sees the old one or the new one. What is damaged or missing
    is said in the warnings and costs only its own rows; so are tables in the storage that an earlier
    collection left. A missing storage, one without campaigns or without one that can be read, and a named
    campaign that cannot be read are an InputError.
    """
    source = storage if isinstance(storage, Storage) else Storage(storage)
    names = _wanted(source, campaigns)
    target = output_folder(source.folder if output is None else output)
    warnings: list[str] = []
    files: list[str] = []
    collected: list[str] = []
    for name in names:
        try:
            campaign = Planned(source, name, warnings)
        except InputError as error:
            if campaigns is not None or len(names) == 1:
                raise
            warnings += [f"campaign {name} is left out: {problem}" for problem in error.problems]
            continue
        files += [f"{target}/{file}" for file in write(campaign, target)]
        collected.append(name)
    if not collected:
        raise InputError(*warnings)
    if campaigns is None and output is None:
        warnings += _stale(target, names, collected)
    return Collected(tuple(collected), tuple(files), tuple(dict.fromkeys(warnings)))
