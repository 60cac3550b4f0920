"""Looking at a storage again and again: a screen where stdout is a terminal, else lines of what is new."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from autoreid.errors import StorageError
from autoreid.storage import Storage
from tune_runs.standings import Memory
from tune_runs.status import counts_text, is_open, progress_text, status_plain, status_text
from tune_runs.words import clock, counted

Plain = dict[str, Any]
# Terminals on which nothing can be drawn.
NO_SCREEN = ("", "dumb", "unknown", None)


class Display(Protocol):
    """Shows what a look found, or why there was nothing to see."""

    def show(self, plain: Plain) -> None: ...

    def note(self, problem: str) -> None: ...


def watch(
    memory: Memory,
    seconds: float,
    display: Display,
    wait: Callable[[float], None] = time.sleep,
) -> Plain:
    """Look at a storage every so many seconds until no job is left that runs or waits; the last look.

    A storage that cannot be read for a while is said, and looked at again. InputError or StorageError where
    the first look fails.
    """
    plain = status_plain(memory.storage, memory)
    display.show(plain)
    while any(map(is_open, plain["campaigns"])):
        wait(seconds)
        try:
            plain = status_plain(memory.storage, memory)
        except StorageError as error:
            display.note(str(error))
        else:
            display.show(plain)
    return plain


class Lines:
    """A line for every campaign that has got on since the last look, and for every job that has failed."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write
        self._said: set[str] = set()
        self._known: dict[str, Any] = {}

    def show(self, plain: Plain) -> None:
        for problem in plain["problems"]:
            self._once(problem)
        for campaign in plain["campaigns"]:
            name = campaign["campaign"]
            for failure in (found for found in campaign["failures"] if found["status"] == "failed"):
                which = f"{failure['kind']} {failure['arm']}, repeat {failure['repeat'] + 1}"
                tries = counted(failure["attempts"], "attempt")
                words = f"failed after {tries}: {failure['error']}"
                self._once(f"{name}: job {failure['job']} ({which}) {words}")
            for problem in campaign["problems"]:
                self._once(problem)
            now = (campaign["jobs"], campaign["epochs_done"])
            if self._known.get(name) != now:
                self._known[name] = now
                self._say(f"{name}: {counts_text(campaign)}; {progress_text(campaign)}")

    def note(self, problem: str) -> None:
        self._say(problem)

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def _say(self, line: str) -> None:
        self.write(f"{clock()} {line}")


class Values:
    """One JSON value a look."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write

    def show(self, plain: Plain) -> None:
        self.write(json.dumps(plain, allow_nan=False))

    def note(self, problem: str) -> None:
        self.write(json.dumps({"campaigns": [], "problems": [problem]}))


def watch_storage(storage: Storage, seconds: float, *, as_json: bool) -> None:
    """Watch a storage on stdout, until nothing is left to run or Ctrl-C."""

    def write(line: str) -> None:
        print(line, flush=True)

    memory = Memory(storage)
    with contextlib.suppress(KeyboardInterrupt):
        if as_json:
            watch(memory, seconds, Values(write))
        elif not sys.stdout.isatty() or os.environ.get("TERM") in NO_SCREEN:
            watch(memory, seconds, Lines(write))
        else:
            from tune_runs.screens import on_screen  # deferred: loads rich

            status_plain(storage, memory)  # what is wrong with it is said before the screen is taken
            with on_screen() as display:
                plain = watch(memory, seconds, display)
            # The screen is gone; what it said last stays.
            write(status_text(plain))
