"""The grid of a campaign: lists of values for fields of the recipes."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoreid.errors import Problems
from tune_runs.yaml_places import Document, Leaf

KINDS = ("search", "pretrain", "train")
# Fields that the papers have names for, and that take one value together.
NAMED: dict[str, tuple[str, ...]] = {
    "lambda": ("search.objective.lambda", "search.alpha_objective.lambda"),
    "C": ("search.channels",),
    "l": ("search.layers",),
    "k": ("search.k",),
    "T0": (
        "search.objective.temperature.start",
        "search.alpha_objective.temperature.start",
        "train.objective.temperature.start",
    ),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: the fields that take each of its values together, such as `search.k`, and its label in names
    of arms. `prefix` stands in front of a field in messages, and the label too where the axis is `named`."""

    fields: tuple[str, ...]
    label: str
    values: tuple[Any, ...]
    prefix: str
    named: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of recipes that it changes: an arm that lacks one of them is not crossed with it."""
        return tuple(dict.fromkeys(field.partition(".")[0] for field in self.fields))

    @property
    def place(self) -> str:
        return f"{self.prefix}{self.label if self.named else ', '.join(self.fields)}"

    def leaves(self, kind: str, value: Any) -> dict[str, Leaf]:
        """One of its values at the fields of a kind."""
        start = f"{kind}."
        names = [field.removeprefix(start) for field in self.fields if field.startswith(start)]
        before = f"{self.place}: {start}" if self.named else f"{self.prefix}{start}"
        return {name: Leaf(name, value, before) for name in names}

    def words(self, value: Any, recipes: Mapping[str, object]) -> str:
        """A value in the name of an arm, as the recipe holds it: `1e-3` and `0.001` read alike."""
        kind, _, name = self.fields[0].partition(".")
        recipe = recipes[kind]
        if recipe is not None:
            # A spelling is no attribute; nor is a field that is not there, which has been noted.
            with contextlib.suppress(AttributeError):
                value = functools.reduce(getattr, name.split("."), recipe)
        if isinstance(value, float):
            value = f"{value:g}" if float(f"{value:g}") == value else str(value)
        if isinstance(value, tuple):
            value = list(value)
        return f"{self.label}={str(value).lower() if isinstance(value, bool) else value}"


def labels_of(keys: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What names of arms call the fields of each key: the shortest ends that no other key has, or a name of
    `NAMED`.

    >>> fields = ("search.k", "search.optimizer.learning_rate", "search.alpha_optimizer.learning_rate")
    >>> list(labels_of({field: (field,) for field in fields}).values())
    ['k', 'optimizer.learning_rate', 'alpha_optimizer.learning_rate']
    >>> labels_of({"both": ("search.epochs", "train.epochs"), "lambda": NAMED["lambda"]})
    {'both': 'epochs', 'lambda': 'lambda'}
    """

    def ends(key: str) -> Iterator[str]:
        if key in NAMED:
            yield key
            return
        split = [field.split(".") for field in keys[key]]
        for length in range(1, max(map(len, split)) + 1):
            yield "/".join(dict.fromkeys(".".join(parts[-length:]) for parts in split))

    every = {key: list(ends(key)) for key in keys}
    taken = Counter(end for found in every.values() for end in found)
    return {key: next((end for end in found if taken[end] == 1), found[-1]) for key, found in every.items()}


def read_axes(document: Document, problems: Problems) -> list[Axis]:
    """The axes in the order of the file; mistakes go into `problems`.

    A key may name several fields, with commas, or be one of `NAMED`: they take each value together.
    """
    axes: list[Axis] = []
    leaves = document.leaves(("grid",), problems)
    keys = {key: NAMED.get(key) or tuple(field.strip() for field in key.split(",")) for key in leaves}
    labels, known = labels_of(keys), set[str]()
    for key, fields in keys.items():
        leaf = leaves[key]
        wrong = [field for field in fields if field.split(".")[0] not in KINDS or "." not in field]
        if wrong:
            message = "an axis is a field of search, pretrain or train, such as search.k, or one of "
            problems.add(leaf.place, f"{message}{', '.join(NAMED)}.")
        elif any(field.startswith("pretrain.data") for field in fields):
            problems.add(leaf.place, "one data set serves all arms. Give it under 'pretrain:' at the top.")
        elif len(set(fields)) < len(fields) or known & set(fields):
            problems.add(leaf.place, "a field is in the grid twice. Remove one of them.")
        elif not isinstance(leaf.value, list) or not leaf.value:
            problems.add(leaf.place, f"{leaf.value!r} is not a list of values. Write for example [1, 2].")
        elif _repeated(leaf.value):
            problems.add(leaf.place, "a value is listed twice. Remove one.")
        else:
            axes.append(Axis(fields, labels[key], tuple(leaf.value), leaf.prefix, named=key in NAMED))
        known.update(fields)
    return axes


def _repeated(values: list[Any]) -> bool:
    """Whether a value is listed twice; 1 and true are two values."""
    typed = [(type(value), value) for value in values]
    return any(typed.count(value) > 1 for value in typed)
