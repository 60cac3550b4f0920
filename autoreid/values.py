"""Frozen values made of typed fields: read, override, check and hash them. Free of torch.

A value is a frozen dataclass whose fields are bool, int, float, str, a `Literal`, a tuple of these, or
another value. A field's metadata may hold `low` and `high` (inclusive bounds) and `added`: the
ENGINE_REVISION-independent mark of a field that joined later, which stays out of the canonical form while it
holds its default, so that ids of older work do not change.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from search_spaces.errors import InputError, Problems, unknown

Value = TypeVar("Value")
# Asked for first: most of what a campaign of thousands of jobs holds is one of these.
LEAVES = (str, int, float)


def bounded(default: Any, low: float | None = None, high: float | None = None, *, added: bool = False) -> Any:
    """A dataclass field with inclusive bounds, checked by `override` and `from_plain`."""
    metadata: dict[str, Any] = {"low": low, "high": high, "added": added}
    return dataclasses.field(default=default, metadata=metadata)


def fields_of(kind: Any) -> Mapping[str, tuple[Any, dataclasses.Field[Any]]]:
    """The fields of a value class by name, each with its resolved type."""
    return _fields_of(kind)


@functools.cache  # resolving the types of one class takes longer than hashing a whole recipe
def _fields_of(kind: Any) -> Mapping[str, tuple[Any, dataclasses.Field[Any]]]:
    hints = typing.get_type_hints(kind)
    found = {field.name: (hints[field.name], field) for field in dataclasses.fields(kind)}
    return types.MappingProxyType(found)


def plain(value: Any) -> Any:
    """The value as JSON values; every field is included."""
    if isinstance(value, LEAVES):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in fields_of(type(value))}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def canonical(value: Any) -> Any:
    """Like `plain`, without later-added fields that still hold their default: what enters an id."""
    if isinstance(value, LEAVES):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        result = {}
        for name, (_, field) in fields_of(type(value)).items():
            item = getattr(value, name)
            if not (field.metadata.get("added") and item == _default(field)):
                result[name] = canonical(item)
        return result
    if isinstance(value, tuple):
        return [canonical(item) for item in value]
    return value


def canonical_plain(kind: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical form of the value whose plain form is given, without reading it as one.

    Fields come in their order, whatever that of the file is. What another release wrote, or a hand altered,
    stays as it is: fields that `kind` does not know, values out of bounds.
    """
    known = fields_of(kind)
    result = {}
    for name in dict.fromkeys([*(name for name in known if name in given), *given]):
        item = given[name]
        inner, field = known.get(name, (None, None))
        if field is not None and field.metadata.get("added") and item == plain(_default(field)):
            continue
        result[name] = _canonical_below(inner, item)
    return result


def _canonical_below(kind: Any, item: Any) -> Any:
    """A field's value in canonical form: groups, and lists of groups, as far as `kind` knows them."""
    if dataclasses.is_dataclass(kind) and isinstance(item, Mapping):
        return canonical_plain(kind, item)
    if typing.get_origin(kind) is tuple and isinstance(item, list):
        return [_canonical_below(typing.get_args(kind)[0], one) for one in item]
    return item


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def canonical_json(item: Any) -> str:
    """JSON with sorted keys and no spaces; NaN and infinity are refused.

    >>> canonical_json({"b": 0.1, "a": [1, True]})
    '{"a":[1,true],"b":0.1}'
    """
    return json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(item: Any) -> str:
    """64 hexadecimal digits: SHA-256 of the canonical JSON of plain values."""
    return hashlib.sha256(canonical_json(item).encode()).hexdigest()


def _name_of(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        return f"a list, each item {_name_of(typing.get_args(kind)[0])}"
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return " or ".join(_name_of(option) for option in typing.get_args(kind))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def _coerce_scalar(kind: type, given: Any) -> Any:
    if kind is bool:
        words = {"true": True, "yes": True, "false": False, "no": False}
        result = given if isinstance(given, bool) else words.get(str(given).lower())
        if result is None:
            raise ValueError
        return result
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise ValueError
    if kind is int:
        number = float(given)
        if not number.is_integer():
            raise ValueError
        return (
            int(given) if isinstance(given, (int, str)) and str(given).lstrip("+-").isdigit() else int(number)
        )
    if kind is float:
        number = float(given)
        if not math.isfinite(number):
            raise ValueError
        return number
    return str(given)


def coerce(kind: Any, given: Any) -> Any:
    """`given` as the field type `kind`; ValueError where it cannot be.

    >>> coerce(float, "1e-3"), coerce(tuple[int, ...], "80,160"), coerce(int, 3.0)
    (0.001, (80, 160), 3)
    """
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        choices = typing.get_args(kind)
        if given not in choices:
            raise ValueError
        return given
    if isinstance(kind, types.UnionType) or origin is typing.Union:
        for option in typing.get_args(kind):
            try:
                return coerce(option, given)
            except ValueError:
                continue
        raise ValueError
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return from_plain(kind, given)
    if origin is tuple:
        if isinstance(given, str):
            given = [item for item in given.strip("[]() ").split(",") if item.strip()]
        if not isinstance(given, (list, tuple)):
            raise ValueError
        return tuple(coerce(typing.get_args(kind)[0], item) for item in given)
    return _coerce_scalar(kind, given.strip() if isinstance(given, str) else given)


def _bounds_problem(field: dataclasses.Field[Any], value: Any) -> str | None:
    low, high = field.metadata.get("low"), field.metadata.get("high")
    items = value if isinstance(value, tuple) else (value,)
    for item in items:
        if isinstance(item, str) or item is None:
            continue
        if low is not None and item < low:
            return f"{item} is too small. Use {low} or more."
        if high is not None and item > high:
            return f"{item} is too large. Use {high} or less."
    return None


@dataclasses.dataclass(frozen=True, slots=True)
class Spelling:
    """A name in [low, high] that stands for several fields, such as one that Python cannot name.

    A value class lists its spellings in the class variable `spellings`.
    """

    low: float
    high: float
    fields: Callable[[float], Mapping[str, Any]]


def _spell(value: Any, spelling: Spelling, given: Any, place: str, problems: Problems) -> Any:
    try:
        number = coerce(float, given)
    except (ValueError, TypeError):
        problems.add(place, f"{given!r} is not a number.")
        return value
    if not spelling.low <= number <= spelling.high:
        problems.add(place, f"{number:g} is not between {spelling.low:g} and {spelling.high:g}.")
        return value
    return dataclasses.replace(value, **spelling.fields(number))


def _set_field(value: Any, path: list[str], given: Any, place: str, problems: Problems) -> Any:
    known = fields_of(type(value))
    name = path[0]
    spellings: Mapping[str, Spelling] = getattr(type(value), "spellings", {})
    if path == [name] and name in spellings:
        return _spell(value, spellings[name], given, place, problems)
    if name not in known:
        problems.add(place, unknown("field", name, [*known, *spellings]))
        return value
    kind, field = known[name]
    if dataclasses.is_dataclass(kind):
        child = getattr(value, name)
        if len(path) > 1:
            return dataclasses.replace(value, **{name: _set_field(child, path[1:], given, place, problems)})
        if isinstance(given, Mapping):
            for key, item in given.items():
                child = _set_field(child, [str(key)], item, f"{place}.{key}", problems)
            return dataclasses.replace(value, **{name: child})
        problems.add(place, f"{given!r} is not a group of fields. Known: {', '.join(fields_of(kind))}.")
        return value
    if len(path) > 1:
        problems.add(place, f"{name} has no fields of its own.")
        return value
    try:
        result = coerce(kind, given)
    except (ValueError, TypeError):
        problems.add(place, f"{given!r} is not {_name_of(kind)}.")
        return value
    problem = _bounds_problem(field, result)
    if problem:
        problems.add(place, problem)
        return value
    return dataclasses.replace(value, **{name: result})


def override(
    value: Value, changes: Mapping[str, Any], place: str = "", problems: Problems | None = None
) -> Value:
    """The value with fields replaced; names are dotted, values are coerced to the fields' types.

    All mistakes are collected: into `problems` where it is given, else raised as one `InputError`.
    `place` goes in front of the field's name in messages.
    """
    found = Problems() if problems is None else problems
    for name, given in changes.items():
        value = _set_field(value, str(name).split("."), given, f"{place}{name}", found)
    if problems is None:
        found.raise_if_any()
    return value


def check(value: object, kind: type, place: str, problems: Problems) -> None:
    """Add what a value that is to be of this value class has wrong: its class, or fields that were given to
    the class itself, which checks none and changes none."""
    if not isinstance(value, kind):
        problems.add(place, f"expected {kind.__name__}, not {type(value).__name__}.")
        return
    before = len(problems.found)
    read = override(kind(), plain(value), f"{place}.", problems)
    told = problems.found[before:]
    for name in fields_of(kind):
        given, field = getattr(value, name), f"{place}.{name}"
        if given != getattr(read, name) and not any(words.startswith(field) for words in told):
            problems.add(field, f"{given!r} is not of the field's type. `override` reads such values.")


def from_plain(kind: type[Value], given: object, place: str = "") -> Value:
    """Read what `plain` wrote: the defaults of `kind` with the given fields over them."""
    if not isinstance(given, Mapping):
        raise InputError(f"{place or kind.__name__}: expected a JSON object, not {type(given).__name__}.")
    return override(kind(), given, f"{place}." if place else "")
