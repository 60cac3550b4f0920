"""What the epochs of a job recorded, as columns: its rows of the tables `epochs` and `alphas`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.jobs import part, read_epochs
from analysis.rows import PYTHON_TYPES, Entry, Row, checked
from analysis.tables import TYPES, schema
from autoreid.columns import Column
from autoreid.records import TABLES
from search_spaces.places import PLACES

# So many epochs of a search are in the table `alphas`: enough for a picture of how they moved.
ALPHA_EPOCHS = 60
# Kinds whose records tell of no epochs of their own: those of short trainings are left there.
WITHOUT_EPOCHS = ("select", "random-search", "evaluate", "latency")

Places = dict[str, list[str]]


def histories(entry: Entry, warnings: list[str]) -> dict[str, pa.Table]:
    """The rows of `epochs` and `alphas` of one job: of the attempt that counts, else of the newest one."""
    rows: tuple[Row, ...] = ()
    if entry.seen.recorded is not None and entry.keys["kind"] not in WITHOUT_EPOCHS:
        rows, damaged = read_epochs(entry.seen.recorded, f"job {entry.keys['job']}")
        warnings += damaged
    return {"epochs": _epochs(entry, rows, warnings), "alphas": _alphas(entry, rows, warnings)}


def _plain_types(column: Column) -> set[type]:
    given = PYTHON_TYPES[column.kind]
    found = set(given) if isinstance(given, tuple) else {given}
    return found | {type(None)} if column.nullable else found


PLAIN_TYPES = {column.name: _plain_types(column) for column in TABLES["epochs"]}


def _array(values: list[Any], column: Column) -> pa.Array:
    """The values as they are; TypeError or OverflowError where one of them is no value of the column."""
    kinds = set(map(type, values))
    if not kinds <= PLAIN_TYPES[column.name]:
        raise TypeError
    if column.kind == "float64" and int in kinds:
        if any(type(value) is int and not -(2**63) <= value < 2**63 for value in values):
            raise OverflowError
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, TYPES[column.kind])


def _epochs(entry: Entry, rows: tuple[Row, ...], warnings: list[str]) -> pa.Table:
    """All epochs. Whole columns are looked at together; row by row only where something is wrong."""
    names, keys = schema("epochs"), entry.keys
    try:
        arrays = [
            _array([keys[column.name]] * len(rows), column)
            if column.name in keys
            else _array([row.get(column.name) for row in rows], column)
            for column in TABLES["epochs"]
        ]
        return pa.table(arrays, schema=names)
    except (TypeError, OverflowError, pa.ArrowException):
        merged = (checked({**row, **keys}, "epochs", entry.place, warnings) for row in rows)
        return pa.Table.from_pylist([row for row in merged if row is not None], schema=names)


def _alphas(entry: Entry, rows: tuple[Row, ...], warnings: list[str]) -> pa.Table:
    """The alphas of some epochs of a search, and the last ones as its result holds them."""
    try:
        given = {row["epoch"]: row["alphas"] for row in rows if "alphas" in row}
        final = part(entry.seen.result, "alphas") if entry.keys["kind"] == "search" else None
        if final:
            given[rows[-1]["epoch"] if rows else entry.seen.epoch_count] = final
        if not given:
            return schema("alphas").empty_table()
        epochs = _spread(list(given))
        places = _places(entry, rows)
        values = [np.array([given[epoch][place] for epoch in epochs], float) for place in places]
        for name, found in zip(places, values, strict=True):
            if found.shape != (len(epochs), len(places[name])) or not np.isfinite(found).all():
                raise ValueError(f"place {name}")
        return _table(entry.keys, np.array(epochs, np.int64), places, values)
    except (KeyError, TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        warnings.append(f"{entry.place}: its alphas are damaged ({error!r:.80}); left out.")
        return schema("alphas").empty_table()


def _spread(epochs: list[int]) -> list[int]:
    """At most ALPHA_EPOCHS of the epochs, evenly spaced, the first and the last among them.

    >>> found = _spread(list(range(1, 241)))
    >>> len(found), found[:3], found[-1]
    (60, [1, 5, 9], 240)
    """
    if len(epochs) <= ALPHA_EPOCHS:
        return epochs
    return [epochs[place] for place in np.linspace(0, len(epochs) - 1, ALPHA_EPOCHS).round().astype(int)]


def _places(entry: Entry, rows: tuple[Row, ...]) -> Places:
    """The options of each place: by the records, else those of the built-in space."""
    said = part(rows[0], "options") if rows else {}
    space = part(entry.job, "recipe").get("space")
    options: Mapping[str, Any] = said or (PLACES.get(space, {}) if isinstance(space, str) else {})
    if not options:
        raise ValueError("the options of its places are not recorded")
    return {place: list(options[place]) for place in sorted(options)}


def _table(keys: Row, epochs: np.ndarray, places: Places, values: list[np.ndarray]) -> pa.Table:
    """By epoch, place and option. `values` are arrays (epochs, options), one for each place."""
    weights = [np.exp(of_place - of_place.max(1, keepdims=True)) for of_place in values]
    weights = [of_place / of_place.sum(1, keepdims=True) for of_place in weights]
    each = sum(map(len, places.values()))
    count = len(epochs) * each
    names = [place for place, options in places.items() for _ in options]
    options = [option for of_place in places.values() for option in of_place]
    again = pa.array(np.tile(np.arange(each), len(epochs)))
    columns = {
        **{name: pa.repeat(pa.scalar(value), count) for name, value in keys.items()},
        "epoch": pa.array(np.repeat(epochs, each)),
        "place": pa.array(names, pa.string()).take(again),
        "option": pa.array(options, pa.string()).take(again),
        "alpha": pa.array(np.concatenate(values, 1).ravel()),
        "weight": pa.array(np.concatenate(weights, 1).ravel()),
    }
    declared = schema("alphas")
    return pa.table([columns[name] for name in declared.names], schema=declared)


def stamp_of(entry: Entry) -> str:
    """Stands for all that a job's rows in these tables are made of; empty while it is not done."""
    said = [entry.seen.stamp, entry.keys, part(entry.job, "recipe").get("space")]
    return json.dumps(said, sort_keys=True) if entry.seen.stamp else ""
