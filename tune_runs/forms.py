"""JSON Schemas of value classes: their fields with types, bounds and what is said of them."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from autoreid.values import Spelling, fields_of, plain
from search_spaces.macro import Macro

Schema = dict[str, Any]
# Values of a class by the names of the recipes that hold them.
Examples = Mapping[str, Any]
SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}
SENTENCE = re.compile(r"(?<=[.;])\s+(?=[a-zA-Z`])")


def group(kind: type[Any], examples: Examples, place: str) -> Schema:
    """A group of the fields of a value class; `place` is where the schema will stand, as a JSON pointer.

    Fields of nested groups have their dotted names too. Their descriptions end with the examples' values.
    """
    properties: dict[str, Schema] = {}
    for name, (inner, field) in fields_of(kind).items():
        values = {example: getattr(value, name) for example, value in examples.items()}
        below = f"{place}/properties/{name}"
        if not dataclasses.is_dataclass(inner):
            properties[name] = leaf(kind, name, field, inner, values)
            continue
        assert isinstance(inner, type)
        properties[name] = group(inner, values, below)
        for path in properties[name]["properties"]:
            properties[f"{name}.{path}"] = {"$ref": f"{below}/properties/{path}"}
    spellings: Mapping[str, Spelling] = getattr(kind, "spellings", {})
    for name, spelling in spellings.items():
        words = f"Stands for {' and '.join(spelling.fields(0))}."
        bounds = {"minimum": spelling.low, "maximum": spelling.high}
        properties[name] = {"type": "number", **bounds, "description": words}
    return {
        # A group whose fields are all left out, as in 'search:', is read as an empty one.
        "type": ["object", "null"],
        "description": about(kind),
        "properties": properties,
        "additionalProperties": False,
    }


def leaf(kind: type[Any], name: str, field: dataclasses.Field[Any], inner: Any, values: Examples) -> Schema:
    """One field that is no group."""
    form = of_type(inner, field.metadata.get("low"), field.metadata.get("high"))
    words = " ".join(part for part in (about(kind, name), in_examples(values)) if part)
    if not values and field.default is not dataclasses.MISSING:
        form["default"] = plain(field.default)
    return {**form, "description": words} if words else form


def of_type(kind: Any, low: float | None = None, high: float | None = None) -> Schema:
    """A type of a field, with the bounds of its numbers.

    >>> of_type(tuple[int, ...], 1)
    {'type': 'array', 'items': {'type': 'integer', 'minimum': 1}}
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": of_type(arguments[0], low, high)}
    if origin is typing.Union or isinstance(kind, types.UnionType):
        return {"anyOf": [of_type(option, low, high) for option in arguments]}
    if kind is types.NoneType:
        return {"type": "null"}
    form: Schema = {"type": SCALARS[kind]}
    if kind in (int, float):
        form |= {} if low is None else {"minimum": low}
        form |= {} if high is None else {"maximum": high}
    return form


def about(kind: type[Any], name: str = "") -> str:
    """What the docstring of a class says of a field, or, without a name, of the class: its first sentence.

    >>> about(Macro, "drop_path")
    '`drop_path` is the probability that a cell network in training drops a connection.'
    """
    text = " ".join((inspect.getdoc(kind) or "").partition(">>>")[0].split())
    sentences = SENTENCE.split(text)
    if not name:
        return sentences[0].rstrip(";")
    mentioned = re.compile(rf"`{name}[`:]")
    found = " ".join(sentence for sentence in sentences if mentioned.search(sentence))
    if not found and kind is not Macro and name in fields_of(Macro):
        return about(Macro, name)
    return f"{found.rstrip(';.')}." if found else ""


def in_examples(values: Examples) -> str:
    """The value of a field in every example; those that agree together.

    >>> in_examples({"cdnet": 240, "auto-reid": 200, "kdas": 200})
    'In cdnet: 240; in auto-reid, kdas: 200.'
    """
    same: dict[str, list[str]] = {}
    for example, value in values.items():
        shown = plain(value)
        if shown is not None and shown != [] and shown != "":
            words = str(shown).lower() if isinstance(shown, bool) else str(shown)
            same.setdefault(words if len(words) <= 40 else f"{words[:40]}...", []).append(example)
    parts = [f"in {', '.join(names)}: {words}" for words, names in same.items()]
    return f"I{'; '.join(parts)[1:]}." if parts else ""
