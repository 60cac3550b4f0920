"""A YAML file as plain values, with the file and line of every one of them.

Only scalars, lists and mappings are read: a file can name no code. Keys are texts. Anchors, aliases and merge
keys work; a key given twice is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from autoreid.errors import InputError, Problems

Path = tuple[str, ...]
SETTING = "--set "
_PLAIN_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value below some section, by its dotted name, and what stands in front of that name in messages."""

    name: str
    value: Any
    prefix: str

    @property
    def place(self) -> str:
        return f"{self.prefix}{self.name}"


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values, and where each came from: `origins` maps a path to the words before its dotted name."""

    values: dict[str, Any]
    file: str = ""
    origins: dict[Path, str] = field(default_factory=dict)

    def prefix(self, path: Path) -> str:
        """What stands before the dotted name of `path`: file and line of its nearest known part."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return f"{self.file}: "

    def place(self, path: Path) -> str:
        """The place of a value, as messages name it.

        >>> document = read_document("arms:\\n  cds:\\n    search: {k: 9}\\n", "demo.yaml")
        >>> document.place(("arms", "cds", "search", "k"))
        'demo.yaml:3: arms.cds.search.k'
        """
        return f"{self.prefix(path)}{'.'.join(path)}" if path else self.file

    def at(self, path: Path) -> Any:
        """The value at a path, or None."""
        value: Any = self.values
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def leaves(self, path: Path, problems: Problems | None = None) -> dict[str, Leaf]:
        """Everything below a section by dotted name; nested and dotted spellings come out alike.

        A name spelt twice in the file is noted in `problems`; one that `--set` gives wins over the file.

        >>> document = read_document("search: {optimizer: {momentum: 0}, optimizer.name: sgd}", "a.yaml")
        >>> list(document.leaves(("search",)))
        ['optimizer.momentum', 'optimizer.name']
        """
        found: dict[str, Leaf] = {}
        section = self.at(path)
        for name, value, below in _walk(section, path) if isinstance(section, Mapping) else ():
            leaf = Leaf(name, value, self.prefix(below) + ".".join((*path, "")))
            other = found.get(name)
            if other is None or leaf.prefix.startswith(SETTING):
                found[name] = leaf
            elif problems is not None and not other.prefix.startswith(SETTING):
                problems.add(leaf.place, f"given twice; the first is {other.place}. Remove one.")
        return found


def _walk(section: Mapping[str, Any], path: Path, before: str = "") -> Iterator[tuple[str, Any, Path]]:
    for key, value in section.items():
        below = (*path, key)
        if isinstance(value, Mapping):
            yield from _walk(value, below, f"{before}{key}.")
        else:
            yield f"{before}{key}", value, below


def read_document(text: str, file: str) -> Document:
    """Read a YAML text whose top is a mapping; every mistake of form is reported with file and line."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{file}:{line}: not YAML: {error.problem or error}.") from None
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not YAML: {error}.") from None
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{file}:1: expected a mapping of keys to values, such as 'name: my-campaign'.")
    reader = _Reader(loader, file)
    values = reader.mapping(node, ())
    reader.problems.raise_if_any()
    return Document(values, file, reader.origins)


class _Reader:
    """Turns nodes into plain values, and notes their lines and mistakes."""

    def __init__(self, loader: yaml.SafeLoader, file: str) -> None:
        self.loader = loader
        self.file = file
        self.origins: dict[Path, str] = {}
        self.problems = Problems()
        self._open: list[yaml.Node] = []

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._note_duplicates(node, path)
        try:
            self.loader.flatten_mapping(node)
        except yaml.MarkedYAMLError as error:
            self._problem(path, node, f"{error.problem}.")
            return {}
        result: dict[str, Any] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(path, key, "a key must be a text.")
                continue
            below = (*path, str(key.value))
            self.origins[below] = self._origin(key)
            result[below[-1]] = self._value(child, below)
        return result

    def _value(self, node: yaml.Node, path: Path) -> Any:
        if any(node is parent for parent in self._open):
            self._problem(path, node, "an alias of something that contains it.")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in _PLAIN_TAGS:
            self._problem(path, node, f"the tag {node.tag!r} is not read. Write plain values.")
            return None
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            return [self._value(item, path) for item in node.value]
        finally:
            self._open.pop()

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        try:
            value = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._problem(path, node, f"{node.value!r} with the tag {node.tag!r} is not read.")
            return None
        return value if value is None or isinstance(value, (bool, int, float, str)) else str(node.value)

    def _note_duplicates(self, node: yaml.MappingNode, path: Path) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in first:
                    message = f"given twice; the first is on line {first[key.value]}. Remove one."
                    self._problem((*path, str(key.value)), key, message)
                first.setdefault(key.value, line)

    def _origin(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}: "

    def _problem(self, path: Path, node: yaml.Node, message: str) -> None:
        self.problems.add(f"{self._origin(node)}{'.'.join(path)}".removesuffix(": "), message)


def with_settings(document: Document, settings: tuple[str, ...]) -> Document:
    """The document with `NAME=VALUE` settings laid over it, as if they were written in the file.

    >>> document = with_settings(read_document("search: {k: 2}", "a.yaml"), ("search.k=3",))
    >>> document.values, document.place(("search", "k"))
    ({'search': {'k': 3}}, '--set search.k')
    """
    problems = Problems()
    values: dict[str, Any] = _copy(document.values)
    origins = dict(document.origins)
    for setting in settings:
        name, sign, text = setting.partition("=")
        name = name.strip()
        if not sign or not all(name.split(".")):
            problems.add(f"--set {setting}", "not NAME=VALUE. Write for example --set search.epochs=2.")
            continue
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        path = _put(values, name, value)
        origins = {known: origin for known, origin in origins.items() if known[: len(path)] != path}
        origins[path] = SETTING
    problems.raise_if_any()
    return Document(values, document.file, origins)


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value


def _put(values: dict[str, Any], name: str, value: Any) -> Path:
    """Set a dotted name, along keys that are there where they fit (a key may itself hold dots)."""
    known = [key for key in values if name == key or name.startswith(f"{key}.")]
    key = max(known, key=len) if known else name.split(".")[0]
    rest = name[len(key) + 1 :]
    if not rest:
        values[key] = value
        return (key,)
    below = values.get(key)
    if not isinstance(below, dict):
        below = values[key] = {}
    return (key, *_put(below, rest, value))
