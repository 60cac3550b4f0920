"""Conditions on rows, as the command line takes them: `arm=top-2`, `mAP>0.4`, `error~memory`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from autoreid.columns import Column
from autoreid.errors import InputError, Problems, unknown

CONDITION = re.compile(r"\s*([A-Za-z_][\w-]*)\s*(!=|!~|<=|>=|==|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a column with a value; None stands for an empty cell."""

    column: str
    sign: str
    value: str | float | bool | None

    def holds(self, frame: pd.DataFrame) -> pd.Series[bool]:
        """For which rows it holds. An empty cell is unequal to every value, and holds nothing else."""
        cells = frame[self.column]
        if self.sign in ORDERS:
            return self._of_filled(cells, lambda filled: ORDERS[self.sign](filled, self.value))
        if self.value is None:
            equal = cells.isna()
        elif self.sign in ("~", "!~"):
            # As it stands: it is no pattern.
            text = str(self.value)
            equal = self._of_filled(cells, lambda filled: filled.str.contains(text, case=False, regex=False))
        else:
            equal = self._of_filled(cells, lambda filled: filled == self.value)
        return ~equal if self.sign.startswith("!") else equal

    @staticmethod
    def _of_filled(cells: pd.Series[Any], compare: Callable[[Any], Any]) -> pd.Series[bool]:
        found = pd.Series(False, index=cells.index)
        filled = cells.dropna()
        if len(filled):
            found[filled.index] = compare(filled).astype(bool)
        return found


def parse(text: str, columns: Iterable[Column]) -> Condition:
    """A condition on a table of these columns; InputError for one that cannot be.

    >>> parse("mAP>=0.4", [Column("mAP", "float64", "fraction", "")])
    Condition(column='mAP', sign='>=', value=0.4)
    """
    known = {column.name: column for column in columns}
    match = CONDITION.fullmatch(text)
    if match is None:
        words = "no condition. Write COLUMN, one of = != < <= > >= ~ !~, and a value."
        raise InputError(f"--where {text!r}: {words}")
    name, sign = match[1], match[2].replace("==", "=")
    if name not in known:
        raise InputError(f"--where {text!r}: {unknown('column', name, known)}")
    value, mistake = _value(known[name], sign, match[3])
    if mistake:
        raise InputError(f"--where {text!r}: {mistake}")
    return Condition(name, sign, value)


def _value(column: Column, sign: str, text: str) -> tuple[str | float | bool | None, str]:
    """What the text stands for in a column, and what is wrong with it."""
    if not text:
        words = f"no value. Give one; {column.name}= and {column.name}!= ask for empty cells."
        return None, "" if sign in ("=", "!=") else words
    if column.kind == "string":
        return text, ""
    if sign in ("~", "!~"):
        return None, f"{column.name} is {column.kind}, and {sign} looks for a part of a text. Use = or <."
    if column.kind == "bool":
        if sign in ORDERS or text.lower() not in TRUTHS:
            return None, f"{column.name} is true or false. Write {column.name}=true or {column.name}=false."
        return TRUTHS[text.lower()], ""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        return None, f"{column.name} is {column.kind}, and {text!r} is no number."
    return number, ""


def parse_all(texts: Iterable[str], columns: Iterable[Column], problems: Problems) -> list[Condition]:
    """The conditions that can be understood; what is wrong with the others goes to the problems."""
    found, known = [], tuple(columns)
    for text in texts:
        try:
            found.append(parse(text, known))
        except InputError as error:
            problems.extend(error.problems)
    return found


def rows_where(frame: pd.DataFrame, conditions: Iterable[Condition]) -> pd.DataFrame:
    """The rows for which all conditions hold, in their order."""
    for condition in conditions:
        frame = frame[condition.holds(frame)]
    return frame
