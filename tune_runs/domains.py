"""What a sweep may choose a field from: a range or a list of values, for fields or for a name of theirs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from autoreid.errors import InputError, Problems, unknown
from autoreid.values import canonical_json, fields_of, override, plain
from tune_runs.grid import KINDS, NAMED, Axis, labels_of
from tune_runs.yaml_places import Document

# A value of a range is rounded to so many digits: names of arms stay readable, and two values that nobody
# could tell apart are one.
DIGITS = 4
# More points, or numbers of one range, are not listed: a sampler does not run into them twice either.
MOST_LISTED = 2000


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included: in steps, on a logarithmic scale, or whole ones only."""

    low: float = math.nan
    high: float = math.nan
    step: float = 0.0
    log: bool = False
    whole: bool = False

    def rounded(self, value: float) -> float:
        """The value as it is used: a whole number, a step, or to `DIGITS` digits, and within the range.

        >>> Range(0, 1).rounded(0.123456), Range(0, 1, 1 / 32).rounded(0.28)
        (0.1235, 0.28125)
        """
        if self.step:
            value = self.low + round((value - self.low) / self.step) * self.step
        value = float(f"{value:.{12 if self.step else DIGITS}g}")
        return int(value) if self.whole else min(max(value, self.low), self.high)

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        if self.whole and not float(value).is_integer():
            return False
        return not self.step or math.isclose(self.rounded(value), value, rel_tol=1e-9)

    def numbers(self) -> tuple[float, ...] | None:
        """All of its numbers, where these are steps, and not too many."""
        if not self.step or self.log:
            return None
        count = round((self.high - self.low) / self.step)
        if count >= MOST_LISTED:
            return None
        return tuple(self.rounded(self.low + place * self.step) for place in range(count + 1))

    def __str__(self) -> str:
        """
        >>> print(Range(1, 9, step=2, whole=True), "|", Range(1e-4, 1, log=True))
        1 to 9 in steps of 2 | 0.0001 to 1, logarithmic
        """
        steps = f" in steps of {self.step:g}" if self.step and self.step != 1 else ""
        return f"{self.low:g} to {self.high:g}{steps}{', logarithmic' if self.log else ''}"

    def ends(self) -> tuple[float, ...]:
        """What stands for the range when it is held against a recipe."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes as (field, message)."""
        if math.isnan(self.low) or math.isnan(self.high):
            missing = "low" if math.isnan(self.low) else "high"
            yield missing, "missing. Write {low: NUMBER, high: NUMBER}, or a list of values."
        elif not self.low < self.high:
            yield "high", f"{self.high:g} is not above low, {self.low:g}."
        elif self.log and self.low <= 0:
            yield "low", f"{self.low:g} has no logarithm. Use a number above 0, or leave 'log' out."
        elif self.log and self.step:
            yield "step", "a logarithmic range has none. Leave one of the two out."
        elif self.step < 0:
            yield "step", f"{self.step:g} is negative."
        elif self.step:
            # As they are written: Optuna refuses an end that is missed by the last digit.
            low, high, step = (Decimal(str(end)).normalize() for end in (self.low, self.high, self.step))
            beyond = (high - low) % step
            if beyond:
                reached = (high - beyond).normalize()
                yield "high", f"{high:f} is not reached in steps of {step:f}. Use {reached:f}."


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, which need not be numbers."""

    values: tuple[Any, ...]

    @property
    def labels(self) -> tuple[Any, ...]:
        """The values as Optuna takes them: a list is its JSON."""
        return tuple(canonical_json(value) if isinstance(value, list) else value for value in self.values)

    def __contains__(self, value: object) -> bool:
        return canonical_json(value) in map(canonical_json, self.values)

    def __str__(self) -> str:
        """
        >>> print(Choice((1, [2, 2], "all")))
        1, [2,2], all
        """
        return ", ".join(canonical_json(value).strip('"') for value in self.values)

    def ends(self) -> tuple[Any, ...]:
        """What is held against a recipe: all of it."""
        return self.values

    def numbers(self) -> tuple[Any, ...]:
        """All of its values."""
        return self.values


@dataclass(frozen=True, slots=True)
class Domain:
    """What a sweep chooses for some fields, which take the value together.

    `name` is what the file calls it, and the key of its values; `axis` holds the fields, and the label in
    names of arms and in texts. With `when` it is chosen only where the domains of these names, which come
    before it, took one of the values.
    """

    name: str
    axis: Axis
    values: Range | Choice
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def applies(self, chosen: Mapping[str, Any]) -> bool:
        """Whether there is a choice, after those that were made."""
        return all(name in chosen and chosen[name] in Choice(values) for name, values in self.when)

    def plain(self) -> dict[str, Any]:
        """The domain as JSON values."""
        values = self.values
        found = {"values": list(values.values)} if isinstance(values, Choice) else plain(values)
        when = {name: list(allowed) for name, allowed in self.when}
        names = {"name": self.name, "label": self.axis.label, "fields": list(self.axis.fields)}
        return {**names, "when": when, **found}

    @classmethod
    def from_plain(cls, given: Mapping[str, Any]) -> Domain:
        """Read what `plain` wrote."""
        listed = given.get("values")
        known = {name: given[name] for name in fields_of(Range) if name in given}
        return cls(
            given["name"],
            Axis(tuple(given["fields"]), given.get("label", given["name"]), (), ""),
            override(Range(), known) if listed is None else Choice(tuple(listed)),
            tuple((name, tuple(allowed)) for name, allowed in given["when"].items()),
        )

    def __str__(self) -> str:
        conditions = (f"{name} = {Choice(values)}" for name, values in self.when)
        where = f" where {' and '.join(conditions)}" if self.when else ""
        return f"{self.axis.label} {'from' if isinstance(self.values, Range) else 'of'} {self.values}{where}"


# What a name alone stands for; the papers' own values, and what lies around them.
DEFAULTS: dict[str, Range | Choice] = {
    "lambda": Range(0.0, 1.0),
    "C": Choice((8, 16, 24, 32)),
    "l": Choice(([1, 1, 1, 1], [2, 2, 2, 2], [3, 4, 6, 3])),
    "k": Choice((1, 2, 3, 4, "all")),
    "T0": Range(1.0, 8.0, log=True),
}


def read_domains(document: Document, path: tuple[str, ...], problems: Problems) -> tuple[Domain, ...]:
    """The domains of a sweep in the order of the file; mistakes go into `problems`.

    They are a group of names or fields with what is chosen from, or a list of names.
    """
    given = document.at(path)
    if isinstance(given, list):
        given = dict.fromkeys(map(str, given))
    if not isinstance(given, Mapping) or not given:
        message = (
            "names no domain. Write for example 'over: {lambda: {low: 0, high: 1}}', or 'over: [lambda]'."
        )
        problems.add(document.place(path), message)
        return ()
    found: list[Domain] = []
    every = {name: NAMED.get(name) or tuple(field.strip() for field in name.split(",")) for name in given}
    labels = labels_of(every)
    for name, fields in every.items():
        prefix = f"{document.prefix((*path, name))}{'.'.join(path)}."
        axis = Axis(fields, labels[name], (), prefix, named=name in NAMED)
        wrong = [field for field in fields if field.split(".")[0] not in KINDS or "." not in field]
        taken = {field for domain in found for field in domain.axis.fields} & set(fields)
        if wrong:
            known = f"{', '.join(NAMED)}, or a field such as search.optimizer.learning_rate"
            problems.add(axis.place, f"is neither a name nor a field. Known: {known}.")
        elif taken:
            problems.add(axis.place, f"{', '.join(sorted(taken))} is in the sweep twice. Remove one of them.")
        else:
            spec = given[name]
            group = dict(spec) if isinstance(spec, Mapping) else {"values": spec}
            when = _conditions(axis, group.pop("when", None), found, problems)
            values = _read_values(axis, group, problems)
            found += [] if values is None else [Domain(name, axis, values, when)]
    return tuple(found)


def _read_values(axis: Axis, group: dict[str, Any], problems: Problems) -> Range | Choice | None:
    """What is chosen from: {low, high, step, log}, {values}, or nothing for a name's own."""
    listed = group.pop("values", None)
    if listed is not None and group:
        problems.add(f"{axis.place}.{next(iter(group))}", "a list of values has no other field. Remove it.")
        return None
    if listed is not None:
        if not isinstance(listed, list) or not listed:
            message = f"{listed!r} is no list of values and no range. Write [1, 2], or {{low: 0, high: 1}}."
            problems.add(axis.place, message)
            return None
        if any(isinstance(value, float) and not math.isfinite(value) for value in listed):
            problems.add(axis.place, "a value is not a finite number. Remove it.")
            return None
        values = [canonical_json(value) for value in listed]
        if len(set(values)) < len(values):
            problems.add(axis.place, "a value is listed twice. Remove one.")
            return None
        return Choice(tuple(listed))
    if not group:
        if axis.named:
            return DEFAULTS[axis.label]
        problems.add(axis.place, "nothing to choose from. Write a list of values, or {low: 0, high: 1}.")
        return None
    return _read_range(axis, group, problems)


def _read_range(axis: Axis, group: Mapping[str, Any], problems: Problems) -> Range | None:
    known = ("low", "high", "step", "log")
    for name in (name for name in group if name not in known):
        problems.add(f"{axis.place}.{name}", unknown("field", name, (*known, "values", "when")))
    try:
        found = override(Range(), {name: group[name] for name in known if name in group}, f"{axis.place}.")
    except InputError as error:
        problems.extend(error.problems)
        return None
    for name, message in found.problems():
        problems.add(f"{axis.place}.{name}", message)
    return None if any(found.problems()) else found


def _conditions(
    axis: Axis, given: Any, before: list[Domain], problems: Problems
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """The conditions of a domain, on domains that come before it."""
    if given is None:
        return ()
    place = f"{axis.place}.when"
    if not isinstance(given, Mapping) or not given:
        problems.add(place, f"{given!r} is no condition. Write {{NAME: VALUE}}, or {{NAME: [VALUE, VALUE]}}.")
        return ()
    known = {domain.name: domain for domain in before}
    found = []
    for name, value in given.items():
        values = tuple(value) if isinstance(value, list) and value else (value,)
        if name not in known:
            problems.add(f"{place}.{name}", unknown("domain before this one", name, known))
        elif known[name].values.numbers() is None:
            problems.add(f"{place}.{name}", "any number of a range may be chosen. Give it a list of values.")
        elif not all(item in known[name].values for item in values):
            problems.add(f"{place}.{name}", f"{value!r} is never chosen: {known[name].values}.")
        else:
            found.append((name, values))
    return tuple(found)
