"""The processes below this one, by their numbers. Read from /proc: on other systems none is found."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Container, Iterator
from pathlib import Path

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h
PATIENCE_SECONDS = 3.0


def descendants(root: int | None = None) -> list[int]:
    """Numbers of all living processes below `root`, which is this process unless given."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            # After the name, which may hold anything: state and parent.
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(entry.parent.name))
    found = list(children.get(os.getpid() if root is None else root, ()))
    for number in found:  # grows while it is read
        found += children.get(number, ())
    return found


def end_descendants(spared: Container[int] = ()) -> None:
    """Kill every process below this one but those in `spared`, and wait a moment for their ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := [number for number in descendants() if number not in spared]:
        for number in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


@contextlib.contextmanager
def no_descendants_left() -> Iterator[None]:
    """Processes that were started within are ended with it, also those whose parents died before."""
    before = set(descendants())
    _adopt_orphans(True)
    try:
        yield
    finally:
        try:
            end_descendants(spared=before)
        finally:
            _adopt_orphans(False)


@contextlib.contextmanager
def ended_when_terminated() -> Iterator[None]:
    """Processes below this one that hold SIGTERM back are killed as soon as it is sent to them.

    Who ends them would else wait for each in vain. Those to which it was sent before are left alone.
    """
    before = {number for number in descendants() if _holds_back(number, signal.SIGTERM)}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for number in descendants():
                if number not in before and _holds_back(number, signal.SIGTERM):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _holds_back(number: int, wanted: signal.Signals) -> bool:
    """Whether a signal was sent to a process that blocks it."""
    try:
        lines = Path(f"/proc/{number}/status").read_text(errors="replace").splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd:")]
    return any(mask >> (wanted - 1) & 1 for mask in masks)


def _adopt_orphans(wanted: bool) -> None:
    """Whether processes below this one become its children when their own parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, int(wanted), 0, 0, 0)
