"""What goes on beside the work of an attempt: the lease is renewed, and work that stands still is ended.

A thread of the process does both. A lease says that the process lives; the watchdog asks whether it gets on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import TracebackType

from autoreid.attempts import Attempt
from autoreid.cli import INTERRUPTED, say
from autoreid.errors import StorageError
from autoreid.leases import FILE, RENEWAL_SECONDS, Lease

# How long writing down why a process is ended may take, before it is ended without a word.
LAST_WORDS_SECONDS = 30.0


class Keeper:
    """Keeps the lease of an attempt, which was written before, while it is entered, and watches over its
    progress.

    `on_stall` is given the words of the end, and writes them down; then the process is ended.
    """

    def __init__(
        self, attempt: Attempt, stall_seconds: float, on_stall: Callable[[str], None], tick: float = 1.0
    ) -> None:
        self.attempt, self.stall_seconds, self.on_stall, self.tick = attempt, stall_seconds, on_stall, tick
        self._left = threading.Event()
        self._watched: int | None = None
        self._idle = 0.0
        self._resting = False

    def __enter__(self) -> Keeper:
        self._watched = threading.get_ident()
        self.progress()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()
        with contextlib.suppress(StorageError):  # it will run out
            self.attempt.folder.remove(FILE)

    def progress(self) -> None:
        """A step was done."""
        self._idle = 0.0

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Within, no progress is expected: the work is in someone else's hands."""
        self._resting = True
        try:
            yield
        finally:
            self.progress()
            self._resting = False

    def _keep(self) -> None:
        renewed = woken = time.monotonic()
        while not self._left.wait(self.tick):
            now = time.monotonic()
            # A process that was suspended has not stood still: of a long sleep a few ticks count.
            self._idle += min(now - woken, 5 * self.tick)
            woken = now
            if self.stall_seconds and not self._resting and self._idle > self.stall_seconds:
                self._end(self._idle)
            if now - renewed > RENEWAL_SECONDS:
                renewed = now
                with contextlib.suppress(StorageError):  # tried again in a while
                    Lease.of_this_process().write(self.attempt.folder)

    def _end(self, idle: float) -> None:
        """End the process: what it waits for cannot be interrupted in any other way."""
        last = threading.Timer(LAST_WORDS_SECONDS, os._exit, (INTERRUPTED,))
        last.daemon = True
        last.start()
        frame = sys._current_frames().get(self._watched or 0)
        where = "".join(traceback.format_stack(frame)) if frame else ""
        reason = f"no progress for {idle / 60:.1f} minutes: the process was ended"
        self.attempt.log(f"{reason}. It was here:\n{where}")
        try:
            self.on_stall(reason)
            say(reason)
        finally:
            os._exit(INTERRUPTED)
