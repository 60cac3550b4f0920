"""The papers' tables against slips of transcription: complete, in range, and equal where repeated."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pandas as pd
import pytest

from analysis.paper_tables import DATA_SETS, METRICS, PAPERS, PrintedRow, chosen, frame, names, table
from autoreid.errors import InputError
from search_spaces.published import PUBLISHED

# Printed rows by the number of the table. CDNet's Tables 2 and 8 print genotypes: search_spaces.published.
ROWS = {
    "auto-reid": {1: 7, 2: 16, 3: 18, 4: 10, 5: 6},
    "cdnet": {1: 8, 3: 17, 4: 7, 5: 5, 6: 3, 7: 3, 9: 3, 10: 16, 11: 9, 12: 4},
    "kdas-reid": {1: 17, 2: 19, 3: 11, 4: 7},
}
SCORES = ("mAP_percent", "rank_1_percent", "rank_5_percent", "rank_10_percent")


def rows() -> Iterator[tuple[str, PrintedRow]]:
    for name in names():
        for row in table(name).rows:
            yield name, row


def figure(name: str, method: str, metric: str, data_set: str = "", place: int = 0) -> float:
    """A printed figure by the method's name; of several rows of that name by their place."""
    fitting = [row for row in table(name).rows if row.method == method and data_set in ("", row.data_set)]
    number = fitting[place].figures[metric].number
    assert number is not None
    return number


def test_every_table_with_results_is_there() -> None:
    assert names() == [f"{paper}/table{number}" for paper, numbers in ROWS.items() for number in numbers]
    assert [table(name).printed for name in names()] == [
        f"Table {number}" for numbers in ROWS.values() for number in numbers
    ]
    assert {"cnet-top1", "cdnet-top4"} <= set(PUBLISHED)


@pytest.mark.parametrize("name", names())
def test_every_printed_row_is_there_once_for_each_data_set(name: str) -> None:
    paper, _, number = name.partition("/table")
    found = [(row.row, row.method, row.data_set) for row in table(name).rows]
    assert len(set(found)) == len(found)
    numbers = {row for row, _, _ in found if row is not None}
    assert numbers == set(range(1, ROWS[paper][int(number)] + 1))


@pytest.mark.parametrize("name", names())
def test_figures_are_written_as_numbers_and_in_range(name: str) -> None:
    for row in table(name).rows:
        for metric, printed in row.figures.items():
            assert re.fullmatch(r"-|[>~]?\d+(\.\d+)?", printed.text), (row.method, metric, printed)
            if METRICS[metric].is_score and printed.number is not None:
                assert 0 < printed.number < 100, (row.method, metric)
                assert printed.decimals == (2 if metric == "error_percent" else 1), (row.method, metric)
        assert any(printed.number is not None for printed in row.figures.values()), row.method


def test_ranks_rise_and_no_map_lies_above_rank_1() -> None:
    for name, row in rows():
        found = [row.figures[metric].number for metric in SCORES if metric in row.figures]
        present = [number for number in found if number is not None]
        assert present == sorted(present), (name, row.method, row.data_set)


def test_columns_hold_what_is_known() -> None:
    for name, row in rows():
        assert row.data_set in DATA_SETS and row.method, name
        assert row.pretraining in ("none", "imagenet", "") and row.reranking in ("none", "k-reciprocal", "")
        assert bool(row.reranking) == (row.data_set not in ("cifar100", "imagenet")), (name, row.method)
        assert not row.network or row.network in PUBLISHED
        assert (row.height is None) == (row.width is None)
        assert set(row.figures) <= set(METRICS)
        assert not row.settings or row.arms or row.network, (name, row.method)
        about = re.findall(r"(\w+_(?:percent|millions|billions|seconds|milliseconds|length)):", row.note)
        assert set(about) <= set(row.figures), (name, row.method, row.note)
        assert not row.repeat or row.method.endswith(f" {row.repeat}")


# Sums over the columns in the order of the file, taken when every cell had been held against the print: a
# digit that changes is seen.
SUMS = {
    "auto-reid/table1": (478.4, 610.4, 667.8, 678.8, 101.7, 16.1),
    "auto-reid/table2": (973.7, 1327.9, 49.8),
    "auto-reid/table3": (2393.7, 2736.4, 1612.8, 1156.7, 631.7),
    "auto-reid/table4": (790.3, 856.5),
    "auto-reid/table5": (227.8, 388.1, 470.9, 498.9),
    "cdnet/table1": (663.7, 746.8, 12.9, 506.8),
    "cdnet/table3": (2841.7, 3518.9, 496.04),
    "cdnet/table4": (137.69, 38.6),
    "cdnet/table5": (413.6, 467.2, 3840.0),
    "cdnet/table6": (242.4, 277.8, 1792.0),
    "cdnet/table7": (245.4, 278.5, 5.2),
    "cdnet/table9": (245.6, 279.2, 6.1),
    "cdnet/table10": (2467.1, 2905.5, 30.8, 7027.18),
    "cdnet/table11": (670.1, 39.8, 5791.0),
    "cdnet/table12": (330.0, 373.5, 33.1, 7096.6, 697.6),
    "kdas-reid/table1": (1228.4, 1505.9, 1631.0, 1657.2, 245.1),
    "kdas-reid/table2": (1559.2, 1734.7, 401.2),
    "kdas-reid/table3": (1032.0, 1111.5),
    "kdas-reid/table4": (284.0, 468.9, 559.7, 590.6),
}


def test_columns_add_up() -> None:
    found = {name: tuple(frame(name)[list(table(name).metrics)].sum().round(2)) for name in names()}
    assert found == SUMS


# Rows of different names that are one network, trained and evaluated in one way.
SAME = {
    ("auto-reid/table1", "Retrieval + ReID Search Space"): "Auto-ReID",
    ("cdnet/table1", "CNet, top-2"): "CNet",
    ("cdnet/table1", "CDNet, top-2"): "CDNet",
    ("cdnet/table5", "partition 0"): "+BLNeck",
    ("cdnet/table5", "partition 2"): "CDNet",
    ("cdnet/table6", "+FBLNeck"): "CDNet",
    ("cdnet/table9", "+FBLNeck"): "OSNet with FBLNeck",
    ("cdnet/table10", "CDNet, beta=1.0, gamma=1.0"): "CDNet",
    ("cdnet/table10", "OSNet, beta=1.0, gamma=1.0"): "OSNet",
    ("cdnet/table12", "BagofTrick"): "BagofTricks",
    ("cdnet/table3", "PCB(+RPP)"): "PCB",
}
# What two tables print differently: docs/fidelity.md and the notes of the rows say what is known.
CONTRADICTIONS = {
    ("Auto-ReID", "parameters_millions"),
    ("+BLNeck", "mAP_percent"),
    ("CDNet", "multiply_adds_millions"),
    ("OSNet", "multiply_adds_millions"),
    ("BagofTricks", "parameters_millions"),
    *(("PCB", metric) for metric in ("mAP_percent", "rank_1_percent", "parameters_millions")),
    *(("ResNet-34", metric) for metric in ("mAP_percent", "rank_1_percent", "rank_10_percent")),
    *(("ResNet-50", metric) for metric in SCORES),
    *(("DARTS", metric) for metric in SCORES),
}


def test_what_is_printed_twice_is_equal_or_a_known_contradiction() -> None:
    held: dict[tuple[str, ...], set[float]] = {}
    times: dict[tuple[str, ...], int] = {}
    for name, row in rows():
        system = SAME.get((name, row.method), row.method.removesuffix(" (RK)").rstrip("*"))
        for metric, printed in row.figures.items():
            if printed.number is None:
                continue
            key = (system, metric, row.data_set, row.pretraining, row.reranking)
            held.setdefault(key, set()).add(_rounded(printed.number, metric))
            times[key] = times.get(key, 0) + 1
    assert sum(count > 1 for count in times.values()) > 80
    assert {key[:2] for key, numbers in held.items() if len(numbers) > 1} == CONTRADICTIONS


def _rounded(number: float, metric: str) -> float:
    """Parameters are printed with one digit or two."""
    return math.floor(number * 10 + 0.5) / 10 if metric == "parameters_millions" else number


# Differences and ratios that the papers print in their text.
DIFFERENCES = [
    ("auto-reid/table1", "Baseline + ReID Search Space", "Baseline", "mAP_percent", "", 2.8),
    ("auto-reid/table1", "Baseline + ReID Search Space", "Baseline", "rank_1_percent", "", 3.0),
    (
        "auto-reid/table1",
        "Retrieval + ReID Search Space",
        "Baseline + ReID Search Space",
        "mAP_percent",
        "",
        1.4,
    ),
    ("auto-reid/table3", "Auto-ReID (RK)", "PCB (RK)", "mAP_percent", "market1501", 2.3),
    ("auto-reid/table3", "Auto-ReID", "Mancs", "mAP_percent", "dukemtmc", 3.3),
    ("auto-reid/table3", "Auto-ReID", "Mancs", "rank_1_percent", "dukemtmc", 3.6),
    ("auto-reid/table5", "Auto-ReID", "PCB", "rank_1_percent", "", 10.0),
    ("auto-reid/table5", "Auto-ReID", "PCB", "mAP_percent", "", 12.1),
    ("cdnet/table3", "CNet", "Auto-ReID", "rank_1_percent", "market1501", 3.9),
    ("cdnet/table3", "CNet", "Auto-ReID", "mAP_percent", "market1501", 10.8),
    ("cdnet/table4", "OSNet", "CDNet", "error_percent", "", 1.38),  # printed in the text as 1.83
    ("cdnet/table6", "+BLNeck", "+BNNeck", "rank_1_percent", "", 2.1),
    ("cdnet/table6", "+BLNeck", "+BNNeck", "mAP_percent", "", 3.5),
    ("cdnet/table11", "CDNet", "MobileNetV2", "top_1_percent", "", 2.1),
    ("cdnet/table11", "CDNet", "GDAS", "top_1_percent", "", 1.1),
    ("cdnet/table11", "CDNet", "DARTS", "top_1_percent", "", 1.8),
]


@pytest.mark.parametrize(("name", "first", "second", "metric", "data_set", "printed"), DIFFERENCES)
def test_printed_differences(
    name: str, first: str, second: str, metric: str, data_set: str, printed: float
) -> None:
    found = figure(name, first, metric, data_set) - figure(name, second, metric, data_set)
    assert round(found, 2) == printed


def test_printed_ratios() -> None:
    times = {
        method: figure("cdnet/table1", method, "search_milliseconds")
        for method in ("CNet, top-2", "CNet, all branches", "CDNet, top-2", "CDNet, all branches")
    }
    assert round(times["CNet, all branches"] / times["CNet, top-2"], 1) == 2.5
    assert round(times["CDNet, all branches"] / times["CDNet, top-2"], 1) == 3.3
    teacher = figure("kdas-reid/table2", "Teacher Model", "parameters_millions")
    assert 0.43 < 1 - figure("kdas-reid/table2", "KDAS-ReID", "parameters_millions") / teacher < 0.44
    assert round(figure("cdnet/table4", "CDNet", "parameters_millions"), 1) == 2.3


def test_the_best_of_four_is_the_network_of_the_next_table() -> None:
    runs = [row for row in table("kdas-reid/table1").rows if row.method.startswith("Distillation +")]
    best = max(runs, key=lambda row: row.figures["mAP_percent"].number or 0)
    (best_params,) = {
        row.figures["parameters_millions"].text
        for row in table("kdas-reid/table2").rows
        if row.method == "KDAS-ReID"
    }
    assert best.figures["parameters_millions"].text == best_params


def test_a_frame_has_numbers_or_what_is_printed() -> None:
    numbers, printed = frame("auto-reid/table3"), frame("auto-reid/table3", printed=True)
    assert numbers["rank_10_percent"].dtype == "float64" and pd.isna(numbers["rank_10_percent"][0])
    assert printed["rank_10_percent"][0] == "-" and printed["parameters_millions"][1] == ">25.1"
    assert numbers["parameters_millions"][1] == 25.1
    assert str(numbers["height"].dtype) == "Int64" and len(numbers) == len(printed) == 31


def test_digits_are_kept() -> None:
    assert figure("cdnet/table7", "CDNet", "parameters_millions") == 1.8
    assert table("cdnet/table7").rows[0].figures["parameters_millions"].text == "1.80"
    assert table("cdnet/table10").rows[15].figures["multiply_adds_millions"].text == "4.88"


def test_unknown_tables_are_named_all_at_once_with_the_nearest_name() -> None:
    with pytest.raises(InputError) as caught:
        chosen(["auto-reid/tabel1,kdas-reid/table1", "cdnet/table2"])
    first, second = caught.value.problems
    assert first.startswith(
        "--paper: no table of a paper 'auto-reid/tabel1'. Did you mean 'auto-reid/table1'?"
    )
    assert "'cdnet/table2'" in second
    with pytest.raises(InputError, match=r"Did you mean 'cdnet/table10'\?"):
        frame("cdnet/tabl10")


def test_chosen_keeps_the_order_and_drops_repetitions() -> None:
    assert [found.name for found in chosen(["cdnet/table1, auto-reid/table1", "cdnet/table1"])] == [
        "cdnet/table1",
        "auto-reid/table1",
    ]
    assert chosen([]) == [] and {table(name).paper for name in names()} == set(PAPERS.values())
