"""From the records on disk to the parquet tables: what became of every planned job.

The manifest's entries are the rows; results are joined onto them from the left. A failed, waiting or damaged
job is a row with a status, never a hole. Equal records give equal bytes: rows stand in the manifest's order,
and nothing of the present moment enters a file.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.jobs import Seen, look, part
from analysis.rows import ROWS, Choice, Entry, Row, checked, compact, point_rows
from analysis.tables import CAMPAIGN_FACTS_KEY, CAMPAIGN_KEY, Where, file_of, output_folder, schema
from analysis.tables import campaigns as with_tables
from analysis.words import SHORT
from autoreid.errors import InputError
from autoreid.folders import Folder, LocalFolder
from autoreid.records import TABLES
from autoreid.storage import Storage

# What of a manifest the report needs; times of its writing stay out, so that equal records give equal bytes.
CAMPAIGN_FACTS = (
    "name",
    "claim",
    "baseline",
    "repeats",
    "file",
    "settings",
    "data",
    "data_fingerprint",
    "classes",
    "classes_fingerprint",
)


@dataclass(frozen=True, slots=True)
class Collected:
    """The campaigns that were collected, the paths or addresses of their files, and what was found damaged or
    missing on the way."""

    campaigns: tuple[str, ...]
    files: tuple[str, ...]
    warnings: tuple[str, ...]


class Campaign:
    """The planned jobs of one manifest, joined with what the storage holds of them."""

    def __init__(self, storage: Storage, name: str, known: dict[str, Seen], warnings: list[str]) -> None:
        self.storage, self.name, self.known, self.warnings = storage, name, known, warnings
        self.manifest = storage.read_manifest(name)
        self.jobs = part(self.manifest, "jobs")
        entries = self.manifest.get("entries")
        self.planned = entries if isinstance(entries, list) else []
        points = self.manifest.get("points")
        given = (part({"point": point}, "point") for point in (points if isinstance(points, list) else ()))
        self.of_points = {str(job) for point in given for job in point.get("jobs") or ()}
        unwanted = self.manifest.get("given_up")
        self.given_up = frozenset(map(str, unwanted if isinstance(unwanted, list) else ()))

    def describe(self, job_id: str) -> Mapping[str, Any]:
        """The job's recipe, seeds and inputs: of the manifest, else of job.json."""
        plain = self.jobs.get(job_id)
        if isinstance(plain, Mapping):
            return plain
        try:
            plain = json.loads(self.storage.job(job_id).folder.read("job.json"))
        except (OSError, ValueError):
            plain = None
        if isinstance(plain, Mapping):
            return plain
        self.warnings.append(f"{self.name}: job {job_id}: neither the manifest nor job.json describes it.")
        return {}

    def see(self, job_id: str) -> Seen:
        """What became of the job; one whose input failed or was skipped, and that never began, is skipped."""
        if job_id not in self.known:
            seen, found = look(self.storage.job(job_id), f"job {job_id}")
            self.warnings += found
            if job_id in self.given_up and not seen.done:
                seen = dataclasses.replace(seen, status="skipped", error="its point of the sweep was pruned")
            self.known[job_id] = seen
            for source in self.needs(job_id):
                if self.known[job_id].status == "waiting":
                    self.known[job_id] = seen.after(source, self.see(source))
        return self.known[job_id]

    def needs(self, job_id: str) -> list[str]:
        """The jobs that a job starts from."""
        inputs = part(self.describe(job_id), "inputs")
        several = inputs.get("jobs")
        found = [
            *(several if isinstance(several, list) else ()),
            inputs.get("job"),
            inputs.get("pretraining"),
            inputs.get("teacher"),
        ]
        # A teacher may be a file, which no job made.
        return [source for source in found if isinstance(source, str) and ":" not in source]

    def choices(self) -> dict[str, Choice]:
        """What was selected, by arm."""
        found = {}
        for given in self.planned:
            if isinstance(given, Mapping) and given.get("kind") == "select":
                job_id = str(given.get("job"))
                choice = Choice.read(job_id, self.see(job_id).result)
                # Of a sweep's point it is the scores that count: nothing was selected.
                choice = dataclasses.replace(choice, search=None) if job_id in self.of_points else choice
                found[str(given.get("arm"))] = choice
        return found

    def teacher(self, job: Mapping[str, Any]) -> str | None:
        """What guides a job: the arm that trains it, the beginning of a file's digest, else a job's id."""
        given = part(job, "inputs").get("teacher")
        if not isinstance(given, str):
            return None
        if ":" in given:
            return given[: given.index(":") + 1 + SHORT]
        planned = (entry for entry in self.planned if isinstance(entry, Mapping))
        return str(next((entry.get("arm") for entry in planned if entry.get("job") == given), given))

    def entries(self) -> Iterable[Entry]:
        choices = self.choices()
        for number, given in enumerate(self.planned):
            try:
                keys = {name: given[name] for name in ("job", "kind", "arm", "repeat")}
                keys = {"campaign": self.name, **keys}
                job = self.describe(keys["job"])
                choice = choices.get(keys["arm"])
                source = part(job, "inputs").get("job")
                if choice is not None and source == choice.job:
                    source = choice.search
                data = "classes" if keys["kind"] == "pretrain" else "data"
                search = self.describe(source) if source else {}
                seen = self.see(keys["job"])
                keys["data_set"] = part(self.manifest, data).get("set")
                teacher = self.teacher(job)
                yield Entry(keys, job, seen, search, source, choice, given.get("sampled"), teacher)
            except (KeyError, TypeError) as error:
                self.warnings.append(f"{self.name}: manifest.json: entry {number} is damaged ({error!r}).")

    def rows(self) -> dict[str, list[Row]]:
        """The rows of all tables, by table, in the manifest's order."""
        tables: dict[str, list[Row]] = {table: [] for table in TABLES}
        for entry in self.entries():
            for table, make in ROWS.items():
                found = (checked(row, table, entry.place, self.warnings) for row in make(entry))
                tables[table] += [row for row in found if row is not None]
        tables["points"] = point_rows(self.name, self.manifest, self.warnings)
        return tables

    def facts(self) -> str:
        return compact({name: self.manifest.get(name) for name in CAMPAIGN_FACTS})


def to_parquet(table: str, campaign: str, rows: list[Row], facts: str | None = None) -> bytes:
    """The parquet file of one table and campaign; `facts` goes into its metadata."""
    declared = schema(table)
    metadata = {**declared.metadata, CAMPAIGN_KEY: campaign}
    metadata |= {CAMPAIGN_FACTS_KEY: facts} if facts is not None else {}
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(rows, schema=declared.with_metadata(metadata)), buffer, compression="zstd"
    )
    return buffer.getvalue()


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
    known: dict[str, Seen] = {}
    files: list[str] = []
    collected: list[str] = []
    for name in names:
        try:
            campaign = Campaign(source, name, known, warnings)
        except InputError as error:
            if campaigns is not None or len(names) == 1:
                raise
            warnings += [f"campaign {name} is left out: {problem}" for problem in error.problems]
            continue
        for table, rows in campaign.rows().items():
            facts = campaign.facts() if table == "trials" else None
            target.write(file_of(table, name), to_parquet(table, name, rows, facts))
            files.append(f"{target}/{file_of(table, name)}")
        collected.append(name)
    if not collected:
        raise InputError(*warnings)
    if campaigns is None and output is None:
        warnings += _stale(target, names, collected)
    return Collected(tuple(collected), tuple(files), tuple(dict.fromkeys(warnings)))
