"""Signals that ask a single run to stop. Free of torch."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from autoreid.cli import say
from autoreid.errors import InterruptionError

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
    with _handled(note):
        yield lambda: bool(asked)


@contextlib.contextmanager
def begins_anew() -> Iterator[None]:
    """What stores no progress ends in order on a signal: what it has begun to write is removed, and an
    InterruptionError tells that the same command begins anew.

    Also a decorator of what runs a command: `@begins_anew()`.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        with _handled(interrupt):
            yield
    except KeyboardInterrupt:
        raise InterruptionError(
            "interrupted, and what was begun is removed. The same command begins anew."
        ) from None


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in NUMBERS}
    try:
        yield
    finally:
        for number, intact in before.items():
            signal.signal(number, intact)
