"""Signals that ask a single run to stop. Free of torch."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from autoreid.cli import say

# Ctrl-C; what schedulers send at the end of the time; what they can be asked to send before it.
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Whether a signal has asked to stop, as a function; a second one interrupts at once.

    Handlers from before are back afterwards. Outside the main thread, which alone may set them, nothing asks.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt
        say("stopping: a checkpoint is written (once more: stop at once)")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in NUMBERS}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
