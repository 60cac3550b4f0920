"""What is wrong with the form of a file of features that another program wrote. Free of torch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = "1"


def _is_size(text: str) -> bool:
    return re.fullmatch("[1-9][0-9]{0,5}", text) is not None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# The metadata: what each may be, in words, and whether a text is that.
METADATA: dict[str, tuple[str, Callable[[str], bool]]] = {
    "version": (VERSION, lambda text: text == VERSION),
    "model": ("a text that stands for what makes the features, such as a digest of the weights", bool),
    "genotype": ("JSON; {} where there is none", _is_json),
    "height": ("pixels, a whole number from 1 to 999999", _is_size),
    "width": ("pixels, a whole number from 1 to 999999", _is_size),
    "flip": ("true or false", lambda text: text in ("true", "false")),
    "precision": ("a word such as fp32", bool),
    "normalised": ("true", lambda text: text == "true"),
}


def column_problems(found: pa.Schema, expected: pa.Schema) -> Iterator[str]:
    """What the columns of a file are not, each with what was expected."""
    for field in expected:
        wanted = _words(field)
        if found.names.count(field.name) > 1:
            yield f"column {field.name}: there is more than one. Keep one."
        elif field.name not in found.names:
            yield f"column {field.name}: missing. Expected: {wanted}."
        elif not found.field(field.name).equals(field):
            yield f"column {field.name}: {_words(found.field(field.name))}. Expected: {wanted}."
    for name in dict.fromkeys(name for name in found.names if name not in expected.names):
        yield f"column {name}: not one of a file of features. Leave it out."
    if sorted(found.names) == sorted(expected.names) and found.names != expected.names:
        yield f"columns: {', '.join(found.names)}. Expected in this order: {', '.join(expected.names)}."


def _words(field: pa.Field) -> str:
    """The type of a column for people. A list of one number stands for that of any dimension.

    >>> import pyarrow as pa
    >>> _words(pa.field("camera", pa.int64())), _words(pa.field("name", pa.string(), nullable=False))
    ('int64, may be null', 'string, never null')
    """
    kind = str(field.type).replace("[1]", "[dimension]")
    return f"{kind}, {'may be' if field.nullable else 'never'} null"


def metadata_problems(found: Mapping[str, str], prefix: str) -> Iterator[str]:
    """What the metadata of a file do not say, each with what was expected. found: without the prefix.

    >>> said = {name: "1" for name in METADATA if name != "flip"}
    >>> list(metadata_problems(said | {"normalised": "true"}, ""))
    ['metadata flip: missing. Expected: true or false.']
    """
    for name, (words, fits) in METADATA.items():
        if name not in found:
            yield f"metadata {prefix}{name}: missing. Expected: {words}."
        elif not fits(found[name]):
            yield f"metadata {prefix}{name}: {found[name]!r}. Expected: {words}."
