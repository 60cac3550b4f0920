"""The parquet tables: their schemas, a reader, and the data dictionary.

Files lie at `<folder>/tables/<table>/<campaign>.parquet`, one for every table and campaign. The folder is a
storage or another one, on a disk or at an address such as s3://bucket/prefix. Columns are declared in
`autoreid.records` and nowhere else; units and descriptions travel in the files.
"""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autoreid.columns import Column
from autoreid.errors import InputError, unknown
from autoreid.folders import Folder, LocalFolder, open_folder
from autoreid.records import SCHEMA_VERSION, SINCE, TABLES

Where = Folder | Path | str

TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}

# Keys of the metadata of a file. VERSION_KEY says by which declaration of the columns it was written;
# CAMPAIGN_FACTS_KEY is in `trials` only: what the campaign claims and how it was planned, as JSON.
VERSION_KEY = "autoreid_schema_version"
TABLE_KEY = "autoreid_table"
CAMPAIGN_KEY = "autoreid_campaign"
CAMPAIGN_FACTS_KEY = "autoreid_campaign_facts"

# Tables that a report can be without: what rests on them is missing, and nothing else is untrue for it.
DETAILS = ("epochs", "alphas", "evaluations", "costs", "latencies")

PURPOSES = {
    "trials": "Every job of the campaign, whatever became of it: status, seeds, inputs, cost, machine.",
    "epochs": "One row for each epoch of each search, pretraining and training: losses, accuracy, learning "
    "rates, speed.",
    "genotypes": "One row for each finished search or random search: the genotype that it found, and what it "
    "took; and for each finished training of an architecture that was drawn or given.",
    "retrains": "One row for each finished training: its scores on the test set, and the network's size.",
    "pretrains": "One row for each finished pretraining: its accuracy, and the network's size.",
    "points": "One row for each point that a sweep asked for: its values, and figures on validation data.",
    "alphas": "One row for each alpha of each search after an epoch: at most 60 epochs of a search, evenly "
    "spaced, the first and the last among them.",
    "evaluations": "One row for each evaluation that a finished job made: of the trained network, of the "
    "same network before its training, of every candidate of a selection or a random search.",
    "costs": "What each job took, by phase and device, failed and interrupted attempts included.",
    "latencies": "One row for each network and size of its batches that a finished job timed: all of a "
    "campaign in one run, side by side. A network that several repeats train stands under the first.",
}


def columns_of(table: str) -> tuple[Column, ...]:
    """The declared columns of a table; InputError for a table that does not exist."""
    if table not in TABLES:
        raise InputError(unknown("table", table, TABLES))
    return TABLES[table]


@functools.cache
def schema(table: str) -> pa.Schema:
    """The arrow schema of a table, with `unit`, `description` and `measured` as metadata of each field.

    >>> field = schema("retrains").field("mAP")
    >>> str(field.type), field.nullable, field.metadata[b"unit"].decode()
    ('double', False, 'fraction')
    """
    fields = [
        pa.field(
            column.name,
            TYPES[column.kind],
            nullable=column.nullable,
            metadata={
                "unit": column.unit,
                "description": column.description,
                "measured": "true" if column.measured else "false",
            },
        )
        for column in columns_of(table)
    ]
    return pa.schema(fields, metadata={VERSION_KEY: str(SCHEMA_VERSION), TABLE_KEY: table})


def folder_of(where: Where) -> Folder:
    """The folder at a path or address; a folder is itself."""
    return open_folder(where) if isinstance(where, (Path, str)) else where


def output_folder(where: Where) -> Folder:
    """The folder to write to, which need not exist; InputError where a file stands in its way."""
    folder = folder_of(where)
    if isinstance(folder, LocalFolder):
        standing = next(place for place in (folder.root, *folder.root.parents) if place.exists())
        if not standing.is_dir():
            raise InputError(f"{folder}: {standing} is a file. Name a folder: the files are written into it.")
    return folder


def file_of(table: str, campaign: str) -> str:
    """Where the file of a table and a campaign lies below a storage or another output folder."""
    return f"tables/{table}/{campaign}.parquet"


def campaigns(where: Where) -> list[str]:
    """Names of the campaigns that have been collected below a folder, sorted."""
    names = folder_of(where).children("tables/trials")
    return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]


def _metadata(file_schema: pa.Schema) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (file_schema.metadata or {}).items()}


def _check(path: str, table: str, file_schema: pa.Schema) -> None:
    version = _metadata(file_schema).get(VERSION_KEY, "")
    if not version.isdigit() or _metadata(file_schema).get(TABLE_KEY) != table:
        raise InputError(
            f"{path}: not a {table} table that 'autoreid tables collect' wrote. Move the file elsewhere."
        )
    if int(version) > SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version}; this release reads up to {SCHEMA_VERSION}. Use the release "
            "that wrote it, or collect the tables again with this one."
        )


def _is_older(folder: Folder, campaign: str, table: str) -> bool:
    """Whether a campaign's tables were collected by a release that did not know the table."""
    if table not in SINCE:
        return False
    held = _read_file(folder, "trials", campaign).schema
    return int(_metadata(held)[VERSION_KEY]) < SINCE[table]


def _read_file(folder: Folder, table: str, campaign: str) -> pa.Table:
    name = file_of(table, campaign)
    path = f"{folder}/{name}"
    try:
        with pq.ParquetFile(io.BytesIO(folder.read(name))) as file:
            _check(path, table, file.schema_arrow)
            return file.read()
    except FileNotFoundError:
        known_campaigns(folder, campaign)
        if _is_older(folder, campaign, table):
            return schema(table).empty_table()
        raise InputError(f"{path}: no such file. Run 'autoreid tables collect' on the storage.") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: cannot be read as parquet ({reason}). It may be cut short: run 'autoreid tables "
            "collect' again, which replaces it."
        ) from None


def known_campaigns(where: Where, campaign: str | None = None) -> list[str]:
    """The named campaign, or all that were collected; InputError where there is none of them."""
    folder = folder_of(where)
    known = campaigns(folder)
    if not known:
        raise InputError(f"{folder}: no tables in this folder. Run 'autoreid tables collect {where}' first.")
    if campaign is not None and campaign not in known:
        raise InputError(f"{folder}: {unknown('campaign', campaign, known)}")
    return known if campaign is None else [campaign]


def sound_campaigns(where: Where) -> tuple[list[str], list[str]]:
    """The campaigns that can be reported, and why others, or tables of details, are left out; InputError,
    with all reasons, where none can."""
    folder, sound, damaged = folder_of(where), [], []
    for name in known_campaigns(folder):
        found = {table: problems for table in TABLES if (problems := _problems(folder, table, name))}
        whole = [problem for table, problems in found.items() if table not in DETAILS for problem in problems]
        details = [problem for table, problems in found.items() if table in DETAILS for problem in problems]
        if whole:
            damaged += [f"campaign {name} is left out: {problem}" for problem in whole]
            continue
        sound.append(name)
        damaged += [f"campaign {name}: what rests on a table is left out: {problem}" for problem in details]
    if not sound:
        raise InputError(*damaged)
    return sound, damaged


def _problems(folder: Folder, table: str, campaign: str) -> tuple[str, ...]:
    """Why a table of a campaign cannot be read, if it cannot."""
    try:
        _completed(f"{folder}/{file_of(table, campaign)}", _read_file(folder, table, campaign), table)
    except InputError as error:
        return error.problems
    return ()


def read_details(where: Where, table: str, campaign: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One of the tables of details, and why it could not be read: it is without rows then."""
    try:
        return read(where, table, campaign), ()
    except InputError as error:
        return _frame(schema(table).empty_table(), columns_of(table)), error.problems


def _frame(read: pa.Table, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Whole numbers stay whole numbers: `Int64` where a column may be empty, else `int64`; so do booleans."""
    types = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = read.to_pandas(types_mapper=types.get)
    return frame.astype({c.name: "int64" for c in columns if c.kind == "int64" and not c.nullable})


def _completed(path: str, part: pa.Table, table: str) -> pa.Table:
    """The file's rows with the declared columns; one that an older release did not know is empty."""
    columns = []
    for field in schema(table).remove_metadata():
        if field.name in part.column_names:
            columns.append(part[field.name].cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(part.num_rows, field.type))
        else:
            raise InputError(
                f"{path}: the column {field.name} is missing. Run 'autoreid tables collect' on the storage."
            )
    return pa.table(columns, schema=schema(table).remove_metadata())


def read(where: Where, table: str, campaign: str | None = None) -> pd.DataFrame:
    """One table of one campaign, or of all campaigns that were collected, in the order of the files.

    `where` is the storage, or the folder that `tables collect --out` named. Missing tables, a file cut
    short, and a file of a newer schema version are an InputError that names the file.
    """
    folder, columns = folder_of(where), columns_of(table)
    names = known_campaigns(folder) if campaign is None else [campaign]
    parts = [
        _completed(f"{folder}/{file_of(table, name)}", _read_file(folder, table, name), table)
        for name in names
    ]
    return _frame(pa.concat_tables(parts), columns)


def campaign_facts(where: Where, campaign: str) -> dict[str, Any]:
    """What the manifest said: name, claim, baseline, repeats, file (YAML text), settings (the overrides of
    the command line), data, data_fingerprint."""
    held = _read_file(folder_of(where), "trials", campaign).schema
    facts: dict[str, Any] = json.loads(_metadata(held).get(CAMPAIGN_FACTS_KEY, "{}"))
    return facts


def describe(table: str) -> str:
    """The columns of one table as text for a terminal."""
    rows = [(c.name, c.kind, c.unit or "-", c.description + _remarks(c)) for c in columns_of(table)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{table}: {PURPOSES[table]}", ""]
    lines += ["  " + "  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]) for row in rows]
    return "\n".join(lines)


def _remarks(column: Column) -> str:
    marks = [] if column.nullable else ["never empty"]
    marks += ["measured"] if column.measured else []
    return f" ({', '.join(marks)})" if marks else ""


DICTIONARY_HEAD = f"""\
# The tables, column by column

This page is written by `autoreid tables describe --markdown` from the declarations in `autoreid/records.py`.

`autoreid tables collect DIR` puts one parquet file for every table and campaign at
`DIR/tables/<table>/<campaign>.parquet` and replaces it whole. The schema version is {SCHEMA_VERSION}. The \
files carry it in their metadata as `{VERSION_KEY}`, beside `{TABLE_KEY}` and `{CAMPAIGN_KEY}`; every column \
carries its `unit`, its `description`, and whether it is `measured`. [reports.md](reports.md) shows how to \
read them.

Fractions lie between 0 and 1. A column marked *measured* holds what a clock or a machine gave: it may differ
between two runs that are otherwise equal.
"""


def describe_markdown() -> str:
    """The data dictionary: all tables as one Markdown page (docs/tables.md)."""
    parts = [DICTIONARY_HEAD]
    for table in TABLES:
        parts += [f"## {table}", "", PURPOSES[table], "", "| column | type | unit | empty | what it says |"]
        parts.append("|---|---|---|---|---|")
        for column in columns_of(table):
            mark = " *measured*" if column.measured else ""
            empty = "may be" if column.nullable else "never"
            parts.append(
                f"| `{column.name}` | {column.kind} | {column.unit} | {empty} | {column.description}{mark} |"
            )
        parts.append("")
    return "\n".join(parts)
