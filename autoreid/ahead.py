"""The next step's batch, prepared while a step runs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """`prepare(step)` for one step after the other; that of the next step is computed in a thread meanwhile.

    `prepare` is a pure function of the step and holds no reference to this object. What it raises in the
    thread is raised by the call that asks for that step. The thread ends with this object or the interpreter.

    >>> squares = Ahead(lambda step: step * step)
    >>> squares(3), squares(4), squares(9)
    (9, 16, 81)
    """

    def __init__(self, prepare: Callable[[int], T]) -> None:
        self.prepare = prepare
        # Ends its thread where nobody refers to it any more, and waits for it when the interpreter ends.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="next-batch")
        self._next: tuple[int, Future[T]] | None = None

    def __call__(self, step: int) -> T:
        """What `prepare` gives for a step; the next one is begun."""
        begun, self._next = self._next, None
        if begun is not None and begun[0] == step:
            found = begun[1].result()
        else:  # the first, or another step than the next one: its thread may still be at work
            if begun is not None:
                begun[1].cancel()
            found = self.prepare(step)
        self._next = step + 1, self._pool.submit(self.prepare, step + 1)
        return found
