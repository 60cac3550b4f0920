"""What enters a job's id, by the names of the fields, and how two jobs differ in them.

Jobs come in their plain form, as job.json and manifests hold them, from this release or another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoreid.errors import InputError
from autoreid.jobs import RECIPES
from autoreid.values import canonical_plain, digest

QUESTION = ("kind", "recipe", "inputs", "seeds", "data", "engine_revision")
GROUPS = ("recipe", "inputs", "seeds")
LONG_DIGEST = re.compile(r"[0-9a-f]{32,}")


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two jobs differ, by its dotted name; None where a job has no such field.

    >>> str(Difference("recipe.epochs", 20, 30))
    'recipe.epochs 20 -> 30'
    """

    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.field} {in_words(self.old)} -> {in_words(self.new)}"

    def plain(self) -> dict[str, Any]:
        return {"field": self.field, "old": self.old, "new": self.new}


def in_words(value: Any) -> str:
    """A value for people; of a long digest the first digits.

    >>> in_words([80, 160]), in_words("cds-v1"), in_words("a" * 32), in_words(None)
    ('[80, 160]', 'cds-v1', 'aaaaaaaaaaaa', '-')
    """
    if isinstance(value, list):
        return f"[{', '.join(map(in_words, value))}]"
    if isinstance(value, str):
        return value[:12] if LONG_DIGEST.fullmatch(value) else value
    return "-" if value is None else json.dumps(value)


def question(plain: Mapping[str, Any], place: str = "job") -> dict[str, Any]:
    """What enters the id of a job: its recipe in canonical form, and the other parts as they are."""
    try:
        asked = {name: plain[name] for name in QUESTION}
        groups = [asked[name] for name in GROUPS]
        recipe = RECIPES.get(asked["kind"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{place}: not the description of a job ({error!r}).") from None
    if not all(isinstance(group, Mapping) for group in groups):
        raise InputError(f"{place}: not the description of a job: no groups {', '.join(GROUPS)}.")
    if recipe is not None:
        asked["recipe"] = canonical_plain(recipe, asked["recipe"])
    return asked


def id_of(asked: Mapping[str, Any]) -> str:
    """The id that a question has: 32 hexadecimal digits."""
    return digest(asked)[:32]


def named_fields(asked: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every field of nested groups by its dotted name.

    >>> named_fields({"kind": "search", "recipe": {"epochs": 2, "neck": {"name": "blneck"}}})
    {'kind': 'search', 'recipe.epochs': 2, 'recipe.neck.name': 'blneck'}
    """
    return dict(_leaves(asked, prefix))


def _leaves(group: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, item in group.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def field_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """The fields in which two sets of named fields differ, in the new one's order, gone ones last."""
    return [
        Difference(name, old.get(name), new.get(name))
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    ]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """The fields in which two jobs differ, given in their plain form; none where both have one id."""
    return field_differences(named_fields(question(old)), named_fields(question(new)))
