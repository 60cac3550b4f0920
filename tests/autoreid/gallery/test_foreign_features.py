"""Files of features that another program wrote: the documented form, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from random_galleries import random_features, write_features

Run = Callable[..., tuple[int, str, str]]
Told = Callable[..., Any]

DOCUMENT = Path(__file__).parents[3] / "docs" / "galleries.md"


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the example of docs/galleries.md writes."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    return tmp_path / "features.parquet"


def test_the_documented_example_is_evaluated_built_added_and_searched(
    told: Told, foreign: Path, tmp_path: Path
) -> None:
    scores = told("evaluate-features", foreign)
    assert (scores["mAP"], scores["queries"]) == (1.0, 1)
    assert told("gallery", "build", "--features", foreign, "--out", tmp_path / "g")["count"] == 3
    found = told("gallery", "search", tmp_path / "g", foreign, "--top", 1)
    assert [query["matches"][0]["distance"] for query in found["queries"]] == [0, 0, 0]
    assert told("gallery", "remove", tmp_path / "g", found["queries"][0]["name"])["count"] == 2


def test_all_columns_and_metadata_that_do_not_fit_are_named_together(
    run: Run, foreign: Path, tmp_path: Path
) -> None:
    table = parquet.read_table(foreign)
    features = pa.array(list(np.eye(3)), pa.list_(pa.float64()))
    table = table.drop(["camera", "feature"])
    table = table.append_column("feature", features).append_column("row", features)
    table = table.set_column(2, "identity", pa.array(["7", "7", "8"]))
    said = {b"autoreid.flip": b"no", b"autoreid.height": b"0", b"autoreid.genotype": b"cdnet"}
    said |= {b"autoreid.model": b"mine", b"autoreid.version": b"1", b"autoreid.width": b"128"}
    parquet.write_table(table.replace_schema_metadata(said), foreign)
    for line in (
        ["evaluate-features", foreign],
        ["gallery", "build", "--features", foreign, "--out", tmp_path / "g"],
    ):
        code, _, complaints = run(*line)
        lines = [line.partition(f"{foreign}: ")[2] for line in complaints.splitlines()]
        assert code == 2 and lines == [
            "column identity: string, may be null. Expected: int64, may be null.",
            "column camera: missing. Expected: int64, may be null.",
            "column feature: list<element: double>, may be null. Expected: "
            "fixed_size_list<element: float not null>[dimension], never null.",
            "column row: not one of a file of features. Leave it out.",
            "metadata autoreid.genotype: 'cdnet'. Expected: JSON; {} where there is none.",
            "metadata autoreid.height: '0'. Expected: pixels, a whole number from 1 to 999999.",
            "metadata autoreid.flip: 'no'. Expected: true or false.",
            "metadata autoreid.precision: missing. Expected: a word such as fp32.",
            "metadata autoreid.normalised: missing. Expected: true.",
            "Write it with 'autoreid embed', or in the form that docs/galleries.md tells.",
        ]


def test_columns_in_another_order_and_a_parquet_of_something_else(run: Run, foreign: Path) -> None:
    table = parquet.read_table(foreign)
    parquet.write_table(table.select(["feature", *table.column_names[:-1]]), foreign)
    code, _, complaints = run("evaluate-features", foreign)
    assert code == 2 and "columns: feature, name, folder, identity, camera, split. Expected" in complaints
    parquet.write_table(pa.table({"a": [1]}), foreign)
    code, _, complaints = run("evaluate-features", foreign)
    assert code == 2 and complaints.count(": missing. Expected: ") == 6 + 8


def test_a_newer_form_is_told_as_such(run: Run, foreign: Path) -> None:
    table = parquet.read_table(foreign)
    said = dict(table.schema.metadata) | {b"autoreid.version": b"2"}
    parquet.write_table(table.replace_schema_metadata(said).drop(["camera"]), foreign)
    code, _, complaints = run("evaluate-features", foreign)
    assert code == 2 and "version '2' of the format of features; this release reads 1" in complaints


def test_features_that_do_not_fit_are_no_index_file_of_queries(run: Run, tmp_path: Path) -> None:
    """Without its metadata a file of features is one all the same."""
    write_features(tmp_path / "a.parquet", random_features(9, 8))
    assert run("gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "g")[0] == 0
    table = parquet.read_table(tmp_path / "a.parquet").replace_schema_metadata(None)
    parquet.write_table(table, tmp_path / "q.parquet")
    code, _, complaints = run("gallery", "search", tmp_path / "g", tmp_path / "q.parquet")
    assert code == 2 and "metadata autoreid.model: missing" in complaints
    write_features(tmp_path / "none.parquet", random_features(1, 8)[:0])
    code, _, complaints = run("gallery", "search", tmp_path / "g", tmp_path / "none.parquet")
    assert code == 2 and "none.parquet: no features, so there is nothing to look for" in complaints


def test_people_without_identity_or_camera_are_not_evaluated(run: Run, foreign: Path) -> None:
    table = parquet.read_table(foreign)
    place = table.column_names.index("camera")
    unknown = table.set_column(place, table.schema.field("camera"), pa.array([1, None, None], pa.int64()))
    parquet.write_table(unknown.replace_schema_metadata(table.schema.metadata), foreign)
    code, _, complaints = run("evaluate-features", foreign)
    assert code == 2 and "column camera: null for 2 images of query and gallery. Say it of all." in complaints
    assert "column identity" not in complaints


def test_two_columns_of_features_are_told(run: Run, foreign: Path) -> None:
    table = parquet.read_table(foreign)
    fields = [*table.schema, table.schema.field("feature")]
    twice = pa.schema(fields, metadata=table.schema.metadata)
    parquet.write_table(pa.Table.from_arrays([*table.columns, table["feature"]], schema=twice), foreign)
    code, _, complaints = run("evaluate-features", foreign)
    assert code == 2 and complaints.splitlines()[0].endswith(
        "features.parquet: column feature: there is more than one. Keep one."
    )


def test_a_size_beyond_all_images_is_told(run: Run, foreign: Path) -> None:
    table = parquet.read_table(foreign)
    said = table.schema.metadata | {b"autoreid.width": b"1" * 5000}
    parquet.write_table(table.replace_schema_metadata(said), foreign)
    code, _, complaints = run("evaluate-features", foreign)
    assert code == 2 and "Expected: pixels, a whole number from 1 to 999999." in complaints
