"""Only kernels that give the same bits every time: on a GPU, at some cost; a processor gives them anyway.

Of what networks here are made of, torch has such a kernel for everything on a GPU: convolutions by cuDNN's
deterministic algorithms, the gradients of poolings, of picked rows and of cross-entropy. An operation of a
plug-in that has none is an error, by torch, that names it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from torch.utils import deterministic

from autoreid.errors import InputError
from autoreid.execution import Execution

# Matrix products of CUDA repeat their bits with a fixed workspace, which cuBLAS reads from the environment.
VARIABLE, WORKSPACES = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")


@contextlib.contextmanager
def repeatable(execution: Execution) -> Iterator[None]:
    """Within, only deterministic kernels, where the execution asks for them; afterwards all is as before.

    InputError where CUDA has begun in this process without the workspace that this takes.
    """
    if not execution.deterministic:
        yield
        return
    _fix_workspace()
    cudnn, mode = torch.backends.cudnn, torch.get_deterministic_debug_mode()
    before = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        with _unfilled():
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        cudnn.deterministic, cudnn.benchmark = before


@contextlib.contextmanager
def _unfilled() -> Iterator[None]:
    """Nothing here reads memory that it has not written: filling it would only take time."""
    before: bool = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        deterministic.fill_uninitialized_memory = before  # type: ignore[attr-defined]


def _fix_workspace() -> None:
    """Set the variable of cuBLAS, as long as CUDA has not read it."""
    given = os.environ.get(VARIABLE)
    if given in WORKSPACES:
        return
    if given is None and not torch.cuda.is_initialized():
        os.environ[VARIABLE] = WORKSPACES[0]
        return
    said = "is not set, and CUDA has begun in this process" if given is None else f"is {given!r}"
    raise InputError(
        f"deterministic: {VARIABLE} {said}. Set it to {WORKSPACES[0]} before the process starts, or leave "
        "deterministic out."
    )
