from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_storage import partial_campaign

from analysis.collect import collect
from analysis.report import report
from analysis.tables import campaign_facts, describe, describe_markdown, file_of, read, schema
from autoreid.errors import InputError
from autoreid.records import SCHEMA_VERSION, SINCE, TABLES

OLD = Path(__file__).parent / "version_1"
ARROW = {"string": "string", "int64": "int64", "float64": "double", "bool": "bool"}


@pytest.mark.parametrize("table", TABLES)
def test_a_file_holds_types_units_descriptions_and_version(collected: Path, table: str) -> None:
    written = pq.read_schema(collected / file_of(table, "two-arms"))
    assert written.metadata[b"autoreid_schema_version"] == str(SCHEMA_VERSION).encode()
    assert written.metadata[b"autoreid_table"] == table.encode()
    assert written.metadata[b"autoreid_campaign"] == b"two-arms"
    assert written.names == [column.name for column in TABLES[table]]
    for column in TABLES[table]:
        field = written.field(column.name)
        assert (str(field.type), field.nullable) == (ARROW[column.kind], column.nullable)
        assert field.metadata[b"unit"].decode() == column.unit
        assert field.metadata[b"description"].decode() == column.description
        assert field.metadata[b"measured"] == (b"true" if column.measured else b"false")


def test_pandas_and_duckdb_read_all_campaigns_of_a_table(tmp_path: Path) -> None:
    partial_campaign(tmp_path, "one")
    partial_campaign(tmp_path, "two")
    collect(tmp_path)
    by_pandas = pd.read_parquet(tmp_path / "tables" / "retrains")
    expected = {"one": 5, "two": 5}
    assert by_pandas["campaign"].value_counts().to_dict() == expected
    query = "SELECT campaign, count(*), avg(mAP) FROM read_parquet(?) GROUP BY campaign ORDER BY campaign"
    by_duckdb = duckdb.execute(query, [str(tmp_path / "tables/retrains/*.parquet")]).fetchall()
    mean = (0.36 + 0.39 + 0.37 + 0.40 + 0.31) / 5
    assert by_duckdb == [("one", 5, pytest.approx(mean)), ("two", 5, pytest.approx(mean))]


def test_whole_numbers_stay_whole_where_a_column_has_gaps(collected: Path) -> None:
    trials = read(collected, "trials")
    assert str(trials["seed_train"].dtype) == "Int64" and str(trials["repeat"].dtype) == "int64"
    assert trials["seed_train"].isna().sum() == 8
    assert read(collected, "trials", "two-arms").equals(trials)


def test_the_plan_travels_with_the_trials(collected: Path) -> None:
    facts = campaign_facts(collected, "two-arms")
    assert (facts["baseline"], facts["repeats"], facts["data"]["set"]) == ("top-2", 4, "rendered")
    assert facts["claim"].startswith("Two relaxations") and "created" not in facts


def test_a_file_of_a_newer_release_is_refused(collected: Path) -> None:
    path = collected / file_of("retrains", "two-arms")
    table = pq.read_table(path)
    newer = table.schema.metadata | {b"autoreid_schema_version": str(SCHEMA_VERSION + 1).encode()}
    pq.write_table(table.replace_schema_metadata(newer), path)
    with pytest.raises(InputError, match=f"two-arms.parquet: schema version {SCHEMA_VERSION + 1}"):
        read(collected, "retrains")


def test_a_column_that_an_older_file_lacks_is_empty_or_named(collected: Path) -> None:
    path = collected / file_of("trials", "two-arms")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["recipe_json"]), path)
    assert read(collected, "trials")["recipe_json"].isna().all()
    pq.write_table(table.drop_columns(["status"]), path)
    with pytest.raises(InputError, match=r"two-arms\.parquet: the column status is missing"):
        read(collected, "trials")


def test_a_file_cut_short_is_named(collected: Path) -> None:
    path = collected / file_of("epochs", "two-arms")
    whole = path.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"epochs/two-arms\.parquet: cannot be read as parquet"):
            read(collected, "epochs")


def test_damage_inside_a_file_is_named(collected: Path) -> None:
    path = collected / file_of("epochs", "two-arms")
    whole = bytearray(path.read_bytes())
    whole[4:600] = bytes(596)
    path.write_bytes(bytes(whole))
    with pytest.raises(InputError, match=r"epochs/two-arms\.parquet: cannot be read as parquet"):
        read(collected, "epochs")


def test_alien_and_missing_files_are_refused(collected: Path) -> None:
    path = collected / file_of("genotypes", "two-arms")
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="not a genotypes table"):
        read(collected, "genotypes")
    path.unlink()
    with pytest.raises(InputError, match=r"two-arms\.parquet: no such file"):
        read(collected, "genotypes")


def test_unknown_tables_campaigns_and_folders_are_refused(collected: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'trials'"):
        read(collected, "trails")
    with pytest.raises(InputError, match="no campaign 'two-harms'"):
        read(collected, "trials", "two-harms")
    with pytest.raises(InputError, match="Run 'autoreid tables collect"):
        read(tmp_path / "void", "trials")


@pytest.mark.parametrize("table", TABLES)
def test_descriptions_name_every_column(table: str) -> None:
    text, page = describe(table), describe_markdown()
    for column in TABLES[table]:
        assert f"  {column.name} " in text and column.description in text
        assert f"| `{column.name}` | {column.kind} |" in page
    assert len(schema(table)) == len(TABLES[table])


class TestOlderVersions:
    """`version_1` holds what the first release's columns gave, a few rows of each table."""

    ROWS: ClassVar = {"trials": 16, "epochs": 3, "genotypes": 3, "retrains": 3, "pretrains": 2, "points": 3}

    @pytest.mark.parametrize("table", ROWS)
    def test_a_table_of_version_1_is_read(self, table: str) -> None:
        written = pq.read_schema(OLD / file_of(table, "old"))
        assert written.metadata[b"autoreid_schema_version"] == b"1"
        frame = read(OLD, table)
        assert list(frame.columns) == [column.name for column in TABLES[table]]
        assert len(frame) == self.ROWS[table]
        kept = pq.read_table(OLD / file_of(table, "old")).to_pandas()
        for name in kept:
            assert frame[name].isna().equals(kept[name].isna())
            assert frame[name].dropna().tolist() == kept[name].dropna().tolist()
        assert all(frame[name].isna().all() for name in set(frame) - set(kept))

    @pytest.mark.parametrize("table", sorted(TABLES.keys() - ROWS.keys()))
    def test_a_table_that_version_1_did_not_know_is_empty(self, table: str, tmp_path: Path) -> None:
        frame = read(OLD, table)
        assert frame.empty and list(frame.columns) == [column.name for column in TABLES[table]]
        root = Path(shutil.copytree(OLD, tmp_path / "new"))
        path = root / file_of("trials", "old")
        trials = pq.read_table(path)
        metadata = trials.schema.metadata | {b"autoreid_schema_version": str(SCHEMA_VERSION).encode()}
        pq.write_table(trials.replace_schema_metadata(metadata), path)
        with pytest.raises(InputError, match=rf"{table}/old\.parquet: no such file"):
            read(root, table)

    def test_every_table_is_of_some_version(self) -> None:
        assert SINCE.keys() == TABLES.keys() - self.ROWS.keys()
        assert set(SINCE.values()) <= set(range(2, SCHEMA_VERSION + 1))

    def test_a_report_is_made_of_version_1(self, tmp_path: Path) -> None:
        assert "old" in Path(report(OLD, tmp_path)[0]).read_text()
