"""Memory that a run on a processor keeps between its steps.

A step asks for the same large tensors as the one before, and gives all of them back. glibc then gives the
memory to the system and asks for it again at the next step: 15% of a step of CDNet, as was measured
(benchmarks/training_step.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

from autoreid.execution import Execution

# Numbers of glibc's settings (malloc.h): bytes at the end of the heap that are given back; bytes asked for in
# advance; how many pieces may be asked of the system one by one. Of each what a run takes, and glibc's own.
TRIM, AHEAD, PIECES = -1, -2, -4
KEEPING = {TRIM: 2**31 - 1, AHEAD: 2**28, PIECES: 0}
OWN = {TRIM: 2**17, AHEAD: 2**17, PIECES: 2**16}


@contextlib.contextmanager
def kept_memory(execution: Execution) -> Iterator[None]:
    """Within, this process keeps its memory, where the execution asks for it and the system is glibc;
    afterwards what is free goes back."""
    if not execution.keep_memory or platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    _set(libc, KEEPING)
    try:
        yield
    finally:
        _set(libc, OWN)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, settings: dict[int, int]) -> None:
    for name, value in settings.items():
        libc.mallopt(name, value)
