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
# advance; from how many bytes on a piece is asked of the system by itself; how many of these there may be.
TRIM, AHEAD, PIECE, PIECES = -1, -2, -3, -4
KEEPING = {TRIM: 2**31 - 1, AHEAD: 2**28, PIECES: 0}
# Where glibc's own settings end up by themselves once large tensors have been given back.
OWN = {PIECE: 2**25, TRIM: 2**26, AHEAD: 2**17, PIECES: 2**16}


@contextlib.contextmanager
def kept_memory(execution: Execution) -> Iterator[None]:
    """Within, this process keeps its memory where the execution asks for that; afterwards what is free goes
    back."""
    libc = _glibc()
    if libc is None or not execution.keep_memory:
        yield
        return
    keep_memory(True)
    try:
        yield
    finally:
        keep_memory(False)
        libc.malloc_trim(0)


def keep_memory(keep: bool) -> None:
    """Choose what this process does from now on; nothing where the system has no glibc."""
    if (libc := _glibc()) is not None:
        for name, value in (KEEPING if keep else OWN).items():
            libc.mallopt(name, value)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
