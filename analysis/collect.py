"""From the records on disk to the parquet tables: what became of every planned job.

The manifest's entries are the rows; results are joined onto them from the left. A failed, waiting or damaged
job is a row with a status, never a hole. Equal records give equal bytes: rows stand in the manifest's order,
and nothing of the present moment enters a file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.jobs import Seen, look, part
from analysis.tables import CAMPAIGN_FACTS_KEY, CAMPAIGN_KEY, file_of, output_folder, schema
from analysis.tables import campaigns as with_tables
from autoreid.errors import InputError
from autoreid.records import TABLES, Column, fit
from autoreid.storage import LocalFolder, Storage

Row = dict[str, Any]

# What of a manifest the report needs; times of its writing stay out, so that equal records give equal bytes.
CAMPAIGN_FACTS = ("name", "claim", "baseline", "repeats", "file", "settings", "data", "data_fingerprint")

PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "int64": int,
    "float64": (int, float),
    "bool": bool,
}


@dataclass(frozen=True, slots=True)
class Collected:
    """The campaigns that were collected, their files, and what was found damaged or missing on the way."""

    campaigns: tuple[str, ...]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One planned job of a campaign beside what the storage holds of it."""

    keys: Row
    job: Mapping[str, Any]
    seen: Seen
    search: Mapping[str, Any]

    @property
    def place(self) -> str:
        """The job in a warning; repeats are counted from 1 there, as people do."""
        campaign, arm, repeat, kind = (self.keys[name] for name in ("campaign", "arm", "repeat", "kind"))
        number = repeat + 1 if isinstance(repeat, int) else repeat
        return f"{campaign}: {arm}, repeat {number}, {kind}"


def _mistake(column: Column, value: Any) -> str | None:
    if value is None:
        return None if column.nullable else "is missing"
    wrong = isinstance(value, bool) and column.kind != "bool"
    if wrong or not isinstance(value, PYTHON_TYPES[column.kind]):
        return f"holds {value!r:.60}, which is not {column.kind}"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "holds a number of more than 64 bits"
    return None


def checked(row: Row, table: str, place: str, warnings: list[str]) -> Row | None:
    """The row as the table's columns ask for it; None where a column that is never empty cannot be filled."""
    result = fit(row, TABLES[table])
    for column in TABLES[table]:
        mistake = _mistake(column, result[column.name])
        if mistake is None:
            continue
        if not column.nullable:
            warnings.append(f"{place}: no row in {table}: {column.name} {mistake}.")
            return None
        warnings.append(f"{place}: {column.name} {mistake}; left empty in {table}.")
        result[column.name] = None
    return result


def compact(item: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _seeds(job: Mapping[str, Any]) -> Row:
    return {f"seed_{name}": value for name, value in part(job, "seeds").items()}


def trial_rows(entry: Entry) -> list[Row]:
    """One row, whatever became of the job; what nothing describes is "" or 0, and was warned about."""
    seen, job = entry.seen, entry.job
    return [
        {
            **{name: value for name, value in seen.facts.items() if name != "wall_seconds"},
            **entry.keys,
            **_seeds(job),
            "status": seen.status,
            "recipe": job.get("recipe_digest") or "",
            "recipe_json": compact(recipe) if (recipe := part(job, "recipe")) else None,
            "data_fingerprint": job.get("data") or "",
            "engine_revision": job.get("engine_revision") or 0,
            "inputs": compact(part(job, "inputs")),
            "attempts": seen.attempts,
            "epochs": seen.epoch_count,
            "wall_seconds": seen.facts.get("wall_seconds") if seen.done else None,
            "started": seen.facts.get("started") if seen.done else None,
            "failed_seconds": seen.failed_seconds,
            "error": seen.error,
        }
    ]


def epoch_rows(entry: Entry) -> list[Row]:
    """The epochs of the attempt that counts, else of the newest attempt."""
    return [{**row, **entry.keys} for row in entry.seen.epochs]


def genotype_rows(entry: Entry) -> list[Row]:
    """One row for a finished search."""
    if not (entry.seen.done and entry.keys["kind"] == "search"):
        return []
    result = entry.seen.result
    genotype = part(result, "genotype")
    found = {
        "genotype": result.get("genotype_digest"),
        "space": genotype.get("space"),
        "choices": compact(part(genotype, "choices")),
    }
    return [{**result, **entry.keys, **_seeds(entry.job), **found}]


def retrain_rows(entry: Entry) -> list[Row]:
    """One row for a finished training."""
    if not (entry.seen.done and entry.keys["kind"] == "train"):
        return []
    result = entry.seen.result
    evaluation, complexity, untrained = (part(result, n) for n in ("evaluation", "complexity", "untrained"))
    recipe = part(entry.job, "recipe")
    adds = part(complexity, "multiply_adds")
    row = {f"params_{name}": value for name, value in part(complexity, "params").items()}
    row |= {f"multiply_adds_{name}": value for name, value in adds.items()}
    row |= {f"untrained_{name}": untrained.get(name) for name in ("mAP", "rank_1")}
    row |= {name: recipe.get(name) for name in ("height", "width", "width_multiplier")}
    row |= {name: result.get(name) for name in ("network", "train_seconds", "evaluation_seconds")}
    return [
        {
            **evaluation,
            **row,
            **entry.keys,
            **_seeds(entry.job),
            "protocol": compact(part(evaluation, "protocol")),
            "feature_dim": complexity.get("feature_dim"),
            "genotype": result.get("genotype_digest"),
            "space": part(result, "genotype").get("space"),
            "search_job": part(entry.job, "inputs").get("job"),
            "seed_search": part(entry.search, "seeds").get("search"),
        }
    ]


ROWS: dict[str, Callable[[Entry], list[Row]]] = {
    "trials": trial_rows,
    "epochs": epoch_rows,
    "genotypes": genotype_rows,
    "retrains": retrain_rows,
}


class Campaign:
    """The planned jobs of one manifest, joined with what the storage holds of them."""

    def __init__(self, storage: Storage, name: str, known: dict[str, Seen], warnings: list[str]) -> None:
        self.storage, self.name, self.known, self.warnings = storage, name, known, warnings
        self.manifest = storage.read_manifest(name)
        self.jobs = part(self.manifest, "jobs")

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
            self.known[job_id] = seen
            source = part(self.describe(job_id), "inputs").get("job")
            if seen.status == "waiting" and isinstance(source, str):
                self.known[job_id] = seen.after(source, self.see(source))
        return self.known[job_id]

    def entries(self) -> Iterable[Entry]:
        planned = self.manifest.get("entries")
        for number, given in enumerate(planned if isinstance(planned, list) else []):
            try:
                keys = {name: given[name] for name in ("job", "kind", "arm", "repeat")}
                keys = {"campaign": self.name, **keys}
                job = self.describe(keys["job"])
                source = part(job, "inputs").get("job")
                data_set = part(self.manifest, "data").get("set")
                search = self.describe(source) if source else {}
                yield Entry({**keys, "data_set": data_set}, job, self.see(keys["job"]), search)
            except (KeyError, TypeError) as error:
                self.warnings.append(f"{self.name}: manifest.json: entry {number} is damaged ({error!r}).")

    def rows(self) -> dict[str, list[Row]]:
        """The rows of all tables, by table, in the manifest's order."""
        tables: dict[str, list[Row]] = {table: [] for table in TABLES}
        for entry in self.entries():
            for table, make in ROWS.items():
                found = (checked(row, table, entry.place, self.warnings) for row in make(entry))
                tables[table] += [row for row in found if row is not None]
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
    known = storage.campaigns()
    if not known:
        raise InputError(
            f"{storage.folder}: no campaigns in this folder. Give the folder that --storage named when "
            "'autoreid campaign run' ran."
        )
    return known if campaigns is None else campaigns


def _stale(folder: Path, known: list[str], collected: list[str]) -> list[str]:
    """A warning for every campaign whose tables in the storage were not written by this collection."""
    warnings = []
    for name in with_tables(folder):
        if name in collected:
            continue
        reason = "the campaign was left out" if name in known else "the storage does not hold this campaign"
        warnings.append(
            f"{file_of(folder, 'trials', name)}: tables of an earlier collection: {reason}. Remove the files "
            f"{name}.parquet below {folder / 'tables'} if they are not wanted."
        )
    return warnings


def collect(
    storage: Storage | Path | str, output: Path | str | None = None, campaigns: list[str] | None = None
) -> Collected:
    """Write the tables of all campaigns, or of the named ones, to `<output or storage>/tables/`.

    Each file is replaced whole, so that a reader sees the old one or the new one. What is damaged or missing
    is said in the warnings and costs only its own rows; so are tables in the storage that an earlier
    collection left. A missing storage, one without campaigns or without one that can be read, and a named
    campaign that cannot be read are an InputError.
    """
    source = storage if isinstance(storage, Storage) else Storage(storage)
    names = _wanted(source, campaigns)
    target = output_folder(output if output is not None else str(source.folder))
    warnings: list[str] = []
    known: dict[str, Seen] = {}
    files: list[Path] = []
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
            path = file_of(target.root, table, name)
            facts = campaign.facts() if table == "trials" else None
            target.write(path.relative_to(target.root).as_posix(), to_parquet(table, name, rows, facts))
            files.append(path)
        collected.append(name)
    if not collected:
        raise InputError(*warnings)
    if campaigns is None and output is None:
        warnings += _stale(target.root, names, collected)
    return Collected(tuple(collected), tuple(files), tuple(dict.fromkeys(warnings)))
