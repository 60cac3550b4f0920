"""Where the data of a campaign comes from, as its file says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeVar

from autoreid.data.source import ClassSource, DataSource
from autoreid.errors import InputError, Problems
from autoreid.folders import expanded
from tune_runs.arm_recipes import CLASS_DATA
from tune_runs.protocol import pretrains
from tune_runs.yaml_places import SETTING, Document

Source = TypeVar("Source", DataSource, ClassSource)


def read_source(
    kind: type[Source], document: Document, folder: Path | None, path: tuple[str, ...], problems: Problems
) -> Source | None:
    """Where data comes from, as a group of the file says; None where it says nothing, or has mistakes, which
    are noted. A path in the file starts at the file, one on the command line where the command was given."""
    if document.at(path) is None:
        return None
    try:
        source: Source = kind.from_plain(document.at(path), ".".join(path))
    except InputError as error:
        for problem in error.problems:
            name, _, message = problem.partition(": ")
            problems.add(document.place(tuple(name.split("."))), message)
        return None
    if source.root is None:
        return source
    base = Path() if folder is None or document.prefix((*path, "root")) == SETTING else folder
    return dataclasses.replace(source, root=str((base / expanded(source.root)).absolute()))


def read_classes(document: Document, folder: Path | None, problems: Problems) -> ClassSource | None:
    """What networks are pretrained on; only where an arm has a pretraining."""
    if not pretrains(document):
        if document.at(("pretrain",)) is not None:
            message = "no arm is pretrained. Write 'pretrain: {}' in those that are, or remove it."
            problems.add(document.place(("pretrain",)), message)
        return None
    if document.at(CLASS_DATA) is None:
        message = "missing. Write 'data: {set: imagefolder, root: DIR}' below 'pretrain:' at the top."
        problems.add(document.place(CLASS_DATA), message)
        return None
    return read_source(ClassSource, document, folder, CLASS_DATA, problems)
