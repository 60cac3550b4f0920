"""`autoreid tables show`: conditions, groups, order."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pandas as pd
import pytest
from fake_storage import ARMS, MAP

from analysis.conditions import parse
from analysis.listing import SUMMARISED, Wish, listed
from autoreid.cli import main
from autoreid.columns import Column
from autoreid.errors import InputError
from autoreid.records import TABLES

FIRST, SECOND = ARMS
COLUMNS = (
    Column("name", "string", "", ""),
    Column("count", "int64", "", ""),
    Column("share", "float64", "", ""),
    Column("good", "bool", "", ""),
)
FRAME = pd.DataFrame(
    {
        "name": pd.Series(["a", "A.b", None, "c=d"], dtype="str"),
        "count": pd.array([1, 2, None, -4], dtype="Int64"),
        "share": [0.5, None, 0.25, 1.0],
        "good": pd.array([True, None, False, True], dtype="boolean"),
    }
)


def held(text: str) -> list[int]:
    return [int(row) for row in FRAME.index[parse(text, COLUMNS).holds(FRAME)]]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("name=a", [0]),
        ("name==a", [0]),
        (" name = a ", [0]),
        ("name=c=d", [3]),
        ("name!=a", [1, 2, 3]),
        ("name~a", [0, 1]),
        ("name~.", [1]),
        ("name!~A", [2, 3]),
        ("name>b", [3]),
        ("name=", [2]),
        ("name!=", [0, 1, 3]),
        ("count=1", [0]),
        ("count=1.0", [0]),
        ("count>=1", [0, 1]),
        ("count<0", [3]),
        ("count!=1", [1, 2, 3]),
        ("count=", [2]),
        ("share>0.25", [0, 3]),
        ("share<=2.5e-1", [2]),
        ("share=", [1]),
        ("good=true", [0, 3]),
        ("good=False", [2]),
        ("good!=true", [1, 2]),
        ("good=", [1]),
    ],
)
def test_conditions_hold_for_rows(text: str, rows: list[int]) -> None:
    assert held(text) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name", "no condition. Write COLUMN"),
        ("=a", "no condition"),
        ("nam=a", "no column 'nam'. Did you mean 'name'?"),
        ("count=two", "count is int64, and 'two' is no number"),
        ("share>nan", "share is float64, and 'nan' is no number"),
        ("count~1", "count is int64, and ~ looks for a part of a text"),
        ("good>true", "good is true or false"),
        ("good=yes", "good is true or false"),
        ("share>", "no value. Give one; share= and share!= ask for empty cells"),
        ("__import__('os').system('true')=1", "no condition"),
    ],
)
def test_what_is_no_condition_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError) as found:
        parse(text, COLUMNS)
    assert str(found.value).startswith(f"--where {text!r}: ") and message in str(found.value)


def test_several_conditions_hold_together(collected: Path) -> None:
    wish = Wish(where=[f"arm={FIRST}", "mAP>0.365", "repeat<3"], columns="repeat,mAP", sort="mAP:desc")
    frame, count = listed(collected, "retrains", None, wish)
    assert frame.to_numpy().tolist() == [[1, 0.39], [2, 0.37]] and count == 2


def test_order_is_by_several_columns_with_the_empty_ones_last(collected: Path) -> None:
    frame, _ = listed(collected, "trials", None, Wish(sort="status,wall_seconds:desc,repeat"))
    assert frame["status"].is_monotonic_increasing
    done = frame[frame["status"] == "done"]
    assert done["wall_seconds"].is_monotonic_decreasing
    assert done[done["kind"] == "train"]["repeat"].is_monotonic_increasing
    frame, _ = listed(collected, "trials", None, Wish(sort="wall_seconds"))
    assert frame["wall_seconds"].tail(5).isna().all() and frame["wall_seconds"].head(11).notna().all()


def test_groups_have_the_statistics_of_their_rows(collected: Path) -> None:
    frame, _ = listed(collected, "retrains", None, Wish(group_by="arm", columns="mAP,queries"))
    assert frame[["arm", "rows", "column", "values"]].to_numpy().tolist() == [
        [FIRST, 4, "mAP", 4],
        [FIRST, 4, "queries", 4],
        [SECOND, 1, "mAP", 1],
        [SECOND, 1, "queries", 1],
    ]
    first, _, second, _ = frame.to_dict("records")
    values = MAP[FIRST]
    assert (first["min"], first["max"]) == (min(values), max(values))
    assert first["mean"] == pytest.approx(statistics.mean(values))
    assert first["sd"] == pytest.approx(statistics.stdev(values))
    assert second["mean"] == MAP[SECOND][0] and pd.isna(second["sd"])


def test_empty_cells_are_a_group_and_no_values(collected: Path) -> None:
    wish = Wish(group_by="teacher,status", columns="wall_seconds", sort="mean:desc")
    frame, _ = listed(collected, "trials", None, wish)
    assert frame["teacher"].isna().all() and frame["rows"].sum() == 16
    by_status = frame.set_index("status")
    assert by_status.loc["waiting", ["values"]].tolist() == [0] and pd.isna(by_status.loc["waiting", "mean"])
    assert frame["status"].iloc[0] == "done"


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_columns_for_its_groups(table: str, collected: Path) -> None:
    kinds = {column.name: column.kind for column in TABLES[table]}
    assert {kinds[name] for name in SUMMARISED[table]} <= {"float64", "int64"}
    frame, _ = listed(collected, table, None, Wish(group_by="arm"))
    assert len(frame) == frame["arm"].nunique() * len(SUMMARISED[table])


def test_everything_that_is_wrong_is_said_at_once(collected: Path) -> None:
    wish = Wish(["arn=a", "repeat=x"], "armm", "mAPP,network", "deviation", 0)
    with pytest.raises(InputError) as found:
        listed(collected, "retrains", None, wish)
    places = [problem.split(":")[0] for problem in found.value.problems]
    assert places == [
        *(
            "--where 'arn=a'",
            "--where 'repeat=x'",
            "--group-by",
            "--columns",
            "--columns",
            "--sort",
            "--limit",
        )
    ]
    assert "network is text" in str(found.value)
    with pytest.raises(InputError, match="--sort: no column is named"):
        listed(collected, "retrains", None, Wish(sort=","))
    with pytest.raises(InputError, match="Did you mean 'retrains'"):
        listed(collected, "retrain", None, Wish())


def test_the_command_says_how_many_rows_there_were(
    collected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show = ["tables", "show", "retrains", "--storage", str(collected)]
    assert main([*show, "--where", f"arm={FIRST}", "--limit", "2", "--columns", "repeat,mAP"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 of 4 rows"
    assert main([*show, "--group-by", "arm", "--columns", "mAP", "--sort", "mean", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["arm"], row["rows"], row["sd"] is None) for row in rows] == [
        (SECOND, 1, True),
        (FIRST, 4, False),
    ]
    assert main([*show, "--where", "arm=nobody", "--group-by", "arm"]) == 0
    assert capsys.readouterr().out == "no rows\n"
