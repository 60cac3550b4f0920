"""The result tables of the three papers as printed: what there is, one table, its rows.

One CSV for each table lies in `analysis/papers/<paper>/`, and `tables.csv` lists them. Figures are kept as
they are printed, to the digit: `94.1` and `94.10` differ. docs/papers.md says how to add a table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

from analysis.words import NOTHING
from autoreid.errors import InputError, Problems, unknown

PAPERS = {"auto-reid": "Auto-ReID", "cdnet": "CDNet", "kdas-reid": "KDAS-ReID"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of printed figures: its label, its unit, and where a campaign's tables have the same.

    A recorded value times `scale` plus `offset` is in the printed unit. `column` is empty where the table's
    convention names it, `table` where nothing of the kind is recorded. What is `timed` is the machine's.
    """

    label: str
    unit: str
    table: str = "retrains"
    column: str = ""
    scale: float = 1.0
    offset: float = 0.0
    timed: bool = False

    @property
    def is_score(self) -> bool:
        """Whether it is a percentage, of which a difference is one in points."""
        return self.unit == "%"


METRICS = {
    "mAP_percent": Metric("mAP", "%", column="mAP", scale=100),
    "rank_1_percent": Metric("rank-1", "%", column="rank_1", scale=100),
    "rank_5_percent": Metric("rank-5", "%", column="rank_5", scale=100),
    "rank_10_percent": Metric("rank-10", "%", column="rank_10", scale=100),
    "top_1_percent": Metric("top-1", "%", "pretrains", "top_1", 100),
    "error_percent": Metric("error", "%", "pretrains", "top_1", -100, 100),
    "parameters_millions": Metric("parameters", "millions", scale=1e-6),
    "multiply_adds_billions": Metric("multiply-adds", "billions", scale=1e-9),
    "multiply_adds_millions": Metric("multiply-adds", "millions", scale=1e-6),
    "feature_length": Metric("length of the feature", "numbers", column="feature_dim"),
    "search_milliseconds": Metric(
        "search time per image", "ms", "genotypes", "milliseconds_per_image", timed=True
    ),
    "inference_seconds": Metric("time of inference", "s", "latencies", "pass_seconds", timed=True),
}


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set's name for people, and its queries under the standard protocol; 0 where it has none."""

    title: str
    queries: int


DATA_SETS = {
    "market1501": DataSet("Market-1501", 3368),
    "dukemtmc": DataSet("DukeMTMC-reID", 2228),
    "cuhk03-labeled": DataSet("CUHK03, labeled, 767/700", 1400),
    "cuhk03-detected": DataSet("CUHK03, detected, 767/700", 1400),
    "msmt17": DataSet("MSMT17", 11659),
    "cifar100": DataSet("CIFAR-100", 0),
    "imagenet": DataSet("ImageNet", 0),
}


@dataclass(frozen=True, slots=True)
class Printed:
    """A figure as it is printed.

    >>> Printed("94.10").number, Printed("94.10").decimals, Printed(">25.1").sign, Printed("-").number
    (94.1, 2, '>', None)
    """

    text: str

    @property
    def sign(self) -> str:
        """`>` or `~` where the paper gives a bound or a rough figure."""
        return self.text[0] if self.text[0] in ">~" else ""

    @property
    def number(self) -> float | None:
        """The figure as a number; None where the paper has none."""
        return None if self.text == NOTHING else float(self.text.removeprefix(self.sign))

    @property
    def decimals(self) -> int:
        return len(self.text.partition(".")[2])


@dataclass(frozen=True, slots=True)
class PrintedRow:
    """One printed row on one data set.

    `row` counts the table's rows from 1; None for a figure that the text prints beside the table. `method` is
    the row's name without its citation. `arms` are arms of shipped campaigns that repeat it, `network` a
    published network that it is of. `pretraining` is "none", "imagenet" or "", where nothing is said;
    `reranking` "none", "k-reciprocal" or "". Height and width are in pixels. `settings` are fields of
    recipes, such as `train.channels`, with the printed values as text. `parameters` and `multiply_adds` say
    how the row counts where it does not as its table. It is the best of `best_of` searches, or one `repeat`.
    """

    row: int | None
    method: str
    data_set: str
    venue: str
    backbone: str
    arms: tuple[str, ...]
    network: str
    pretraining: str
    reranking: str
    height: int | None
    width: int | None
    settings: Mapping[str, str]
    parameters: str
    multiply_adds: str
    best_of: int | None
    repeat: int | None
    figures: Mapping[str, Printed]
    note: str


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table of a paper: where it is printed, what it shows, how it counts, and its rows.

    `parameters` and `multiply_adds` are conventions: "backbone", "inference" (what inference runs),
    "training", "classifier" (backbone and one linear classifier), or "" where it is not known. `campaigns`
    are the shipped campaigns that repeat it.
    """

    name: str
    paper: str
    printed: str
    elsewhere: str
    shows: str
    parameters: str
    multiply_adds: str
    campaigns: tuple[str, ...]
    rows: tuple[PrintedRow, ...]

    @property
    def title(self) -> str:
        return f"{self.paper}, {self.printed}"

    def counted(self, row: PrintedRow) -> dict[str, str]:
        """The conventions by which a row counts its parameters and multiply-adds."""
        return {
            "parameters": row.parameters or self.parameters,
            "multiply_adds": row.multiply_adds or self.multiply_adds,
        }

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(self.rows[0].figures)


def _read(name: str) -> list[dict[str, str]]:
    text = files("analysis").joinpath("papers", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _settings(text: str) -> dict[str, str]:
    """`a=1; b=2` as a mapping."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _whole(text: str) -> int | None:
    return int(text) if text else None


def _row(given: Mapping[str, str], shared: Mapping[str, str]) -> PrintedRow:
    """A line of a CSV; a column that the file lacks is empty. `shared` are settings of all own rows."""
    text = {name: given.get(name) or "" for name in PrintedRow.__dataclass_fields__}
    arms = tuple(arm.strip() for arm in given.get("arm", "").split("|") if arm.strip())
    own = bool(arms or text["network"])
    return PrintedRow(
        row=_whole(text["row"]),
        method=text["method"],
        data_set=text["data_set"],
        venue=text["venue"],
        backbone=text["backbone"],
        arms=arms,
        network=text["network"],
        pretraining=text["pretraining"],
        reranking=text["reranking"],
        height=_whole(text["height"]),
        width=_whole(text["width"]),
        settings={**(shared if own else {}), **_settings(text["settings"])},
        parameters=text["parameters"],
        multiply_adds=text["multiply_adds"],
        best_of=_whole(text["best_of"]),
        repeat=_whole(text["repeat"]),
        figures={name: Printed(given[name]) for name in METRICS if name in given},
        note=text["note"],
    )


@cache
def _index() -> dict[str, dict[str, str]]:
    return {line["table"]: line for line in _read("tables.csv")}


def names() -> list[str]:
    """The names of all tables.

    >>> names()[0], names()[-1], len(names())
    ('auto-reid/table1', 'kdas-reid/table4', 19)
    """
    return list(_index())


@cache
def table(name: str) -> PaperTable:
    """One table by its name; InputError with the nearest name for one that does not exist.

    >>> row = table("cdnet/table1").rows[5]
    >>> row.method, row.figures["mAP_percent"].text, row.network
    ('CDNet, top-2', '83.7', 'cdnet-top2')
    >>> table("cdnet/tabel1")
    Traceback (most recent call last):
        ...
    search_spaces.errors.InputError: no table of a paper 'cdnet/tabel1'. Did you mean 'cdnet/table1'? ...
    """
    if name not in _index():
        raise InputError(unknown("table of a paper", name, names()))
    facts = _index()[name]
    shared = _settings(facts["settings"])
    return PaperTable(
        name,
        PAPERS[name.partition("/")[0]],
        facts["printed"],
        facts["elsewhere"],
        facts["shows"],
        facts["parameters"],
        facts["multiply_adds"],
        tuple(part.strip() for part in facts["campaigns"].split(";") if part.strip()),
        tuple(_row(line, shared) for line in _read(f"{name}.csv")),
    )


def frame(name: str, printed: bool = False) -> pd.DataFrame:
    """One table as a frame: a line for each row and data set, figures as numbers, or as printed text.

    `arms` and `settings` are text, as in the files. InputError for a table that does not exist.

    >>> found = frame("kdas-reid/table1")
    >>> repeats = found[found["repeat"].notna()]
    >>> repeats.groupby("arms", sort=False)["mAP_percent"].mean().round(2).to_list()
    [71.9, 75.18, 76.4]
    >>> list(frame("cdnet/table7", printed=True)["parameters_millions"])
    ['1.80', '1.79', '1.61']
    """
    found = table(name)
    rows = [
        {
            **{field: getattr(row, field) for field in PrintedRow.__dataclass_fields__ if field != "figures"},
            "arms": " | ".join(row.arms),
            "settings": "; ".join(f"{key}={value}" for key, value in row.settings.items()),
            **{key: figure.text if printed else figure.number for key, figure in row.figures.items()},
        }
        for row in found.rows
    ]
    whole = dict.fromkeys(("row", "height", "width", "best_of", "repeat"), "Int64")
    numbers = {} if printed else dict.fromkeys(found.metrics, "float64")
    return pd.DataFrame(rows).astype(whole | numbers)


def chosen(given: Iterable[str]) -> list[PaperTable]:
    """The tables that an option names, each text one name or several with commas; each table once.

    All unknown names are one InputError.

    >>> [found.title for found in chosen(["auto-reid/table1,cdnet/table10", "cdnet/table10"])]
    ['Auto-ReID, Table 1', 'CDNet, Table 10']
    """
    wanted = dict.fromkeys(name.strip() for text in given for name in text.split(",") if name.strip())
    problems = Problems()
    for name in wanted:
        if name not in _index():
            problems.add("--paper", unknown("table of a paper", name, names()))
    problems.raise_if_any()
    return [table(name) for name in wanted]
