"""Ctrl-C and SIGTERM during a launch."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from autoreid.cli import say


def _in_main_thread() -> bool:
    """Only the main thread may set signal handlers."""
    return threading.current_thread() is threading.main_thread()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM interrupts like Ctrl-C; afterwards the handlers from before are back.

    Ray and Tune install handlers of their own and leave them behind.
    """
    if not _in_main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def stop_tune_on_signals() -> None:
    """The first Ctrl-C or SIGTERM ends the Tune run in order, the second one at once.

    Tune ends in order on SIGUSR1, whose handler it installs itself.
    """
    if not _in_main_thread():
        return
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1 or not callable(signal.getsignal(signal.SIGUSR1)):
            raise KeyboardInterrupt
        say("stopping: running jobs keep their last checkpoint (once more: stop at once)")
        signal.raise_signal(signal.SIGUSR1)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
