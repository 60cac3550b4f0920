"""Errors that name the place, the value and the remedy. Free of torch.

`InputError` is a mistake in what the user gave, found before any work starts; it carries every problem at
once. `RunError` is work that started and could not be finished, `InterruptionError` work that was asked to
stop.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any


class AutoreidError(Exception):
    """Anything that ends a command with a clear message instead of a traceback."""

    exit_code = 1


class InputError(AutoreidError, ValueError):
    """One or several mistakes in what the user gave, one line each.

    >>> str(InputError("epochs: 0 is too small. Use 1 or more."))
    'epochs: 0 is too small. Use 1 or more.'
    """

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TooLittleMemoryError(InputError):
    """A bound on memory that is too small for what is to be done; the message says what is enough."""


class RunError(AutoreidError):
    """Work that started and failed for good, such as a loss that became NaN."""


class DivergedError(RunError):
    """Numbers that became NaN or infinite: the same work would come to the same end."""


class OutOfMemoryError(RunError):
    """More memory wanted than the device or the machine has: the same work would want as much again."""


class StorageError(RunError):
    """A storage that could not be read or written at this moment: a full disk, a network that is away.

    The same work may well succeed when it is tried again.
    """


class HeldError(RunError):
    """Work that another process does at this moment, or has done in this moment."""


class InterruptionError(AutoreidError):
    """Work that was asked to stop, and did so in order: the same command continues it, or begins anew."""

    exit_code = 75


class Problems:
    """Collects the problems of one input, so that all of them are reported together.

    >>> problems = Problems()
    >>> problems.add("a.yaml:3: epochs", "-1 is too small. Use 1 or more.")
    >>> problems.found
    ['a.yaml:3: epochs: -1 is too small. Use 1 or more.']
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, place: str, message: str) -> None:
        self.found.append(f"{place}: {message}" if place else message)

    def extend(self, problems: Iterable[str]) -> None:
        self.found.extend(problems)

    def raise_if_any(self) -> None:
        if self.found:
            raise InputError(*self.found)


def read_together(*readings: Callable[[], Any]) -> list[Any]:
    """What each of the readings gives; one InputError with the problems of all where some raise one.

    >>> read_together(lambda: int("3"), lambda: [4])
    [3, [4]]
    """
    problems, found = Problems(), []
    for reading in readings:
        try:
            found.append(reading())
        except InputError as error:
            problems.extend(error.problems)
    problems.raise_if_any()
    return found


def unknown(what: str, value: object, known: Iterable[str]) -> str:
    """The message for a name that is none of the known ones, with the nearest of them, whatever its case.

    >>> unknown("space", "CD-V1", ["cs-v1", "cds-v1"])
    "no space 'CD-V1'. Did you mean 'cds-v1'? Known: cds-v1, cs-v1."
    """
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(str(value).casefold(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    return f"no {what} {str(value)!r}.{hint} Known: {', '.join(names) or 'none'}."
