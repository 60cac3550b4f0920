"""Ctrl-C, SIGTERM and SIGUSR1 during a launch, and the end of its time."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Container, Iterator
from types import FrameType
from typing import Any

from autoreid.cli import INTERRUPTED
from tune_runs.processes import end_descendants

# Ctrl-C; what schedulers send at the end of the time; what they can be asked to send before it.
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# How long an orderly stop may take. Without its daemons Ray would wait for a minute or more.
DEADLINE_SECONDS = 20.0


def _in_main_thread() -> bool:
    """Only the main thread may set signal handlers."""
    return threading.current_thread() is threading.main_thread()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _tell(line: str) -> None:
    """A line on stderr from within a signal handler, which may have interrupted another line."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGUSR1 interrupt like Ctrl-C; afterwards the handlers from before are back.

    Ray and Tune install handlers of their own and leave them behind.
    """
    if not _in_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGUSR1, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def time_limit(hours: float | None, write: Callable[[str], None]) -> Iterator[None]:
    """After so many hours this process gets SIGUSR1, as if it had been sent from outside.

    Within `interruptible` alone, and as there in the main thread alone.
    """
    if hours is None or not _in_main_thread():
        yield
        return

    def end() -> None:
        write(f"the {hours:g} hours are over")
        os.kill(os.getpid(), signal.SIGUSR1)

    timer = threading.Timer(3600 * hours, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_by_force(spared: Container[int]) -> None:
    """The end of a launch that does not stop in time: what is on disk is whole, and can be continued."""
    _tell("stopped by force. Run the same command again to continue.")
    end_descendants(spared)
    os._exit(INTERRUPTED)


class Stop:
    """Counts the requests to stop a Tune run: the first is followed in order, the second at once.

    `force` ends everything when the order takes longer than `deadline` seconds.
    """

    def __init__(self, force: Callable[[], None], deadline: float = DEADLINE_SECONDS) -> None:
        self.asked = 0
        self.force = force
        self._timer = threading.Timer(deadline, force)
        self._timer.daemon = True

    def _note(self) -> None:
        self.asked += 1
        if self.asked == 1:
            _tell("stopping: running jobs write a checkpoint (once more: stop at once)")
            self._timer.start()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Whatever a stop breaks within, its end is an interruption; the deadline ends here too."""
        try:
            yield
        except (Exception, SystemExit):
            if self.asked:
                raise KeyboardInterrupt from None
            raise
        finally:
            self._timer.cancel()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A signal within is followed at the end: what is imported or started here cannot be cut in two.

        Handlers that others set within are ignored: Ray's exit from wherever the process is. Processes
        that are started within do not feel SIGTERM and SIGUSR1: one that goes to the whole process group
        must leave Ray's daemons alive, without which no trial can be stopped in order.
        """
        if not _in_main_thread():
            yield
            return
        set_handler = signal.signal
        before: dict[int, Any] = {number: set_handler(number, self._on_held) for number in NUMBERS}

        def keep_ours(number: int, handler: Any) -> Any:
            return signal.getsignal(number) if number in before else set_handler(number, handler)

        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        signal.signal = keep_ours  # type: ignore[assignment]
        try:
            yield
        finally:
            signal.signal = set_handler
            for ours in NUMBERS:
                # Ray's core has set one below Python, which aborts; it must be gone when SIGTERM comes in.
                signal.signal(ours, self._on_held)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.asked:
            raise KeyboardInterrupt

    def _on_held(self, number: int, frame: FrameType | None) -> None:
        self._note()
        if self.asked > 1:
            self.force()

    def follow(self) -> None:
        """From now on the first signal is counted, and the second one ends the Tune run at once."""
        if _in_main_thread():
            for number in NUMBERS:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._note()
        if self.asked > 1:
            raise KeyboardInterrupt
