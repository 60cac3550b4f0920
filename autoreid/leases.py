"""Leases: who works on an attempt at this moment. Free of torch.

A lease only saves computation. Where two processes hold the same job all the same, since a clock was wrong
or a network was away, both end with the same result, and the lower attempt counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autoreid.folders import Folder, to_json

FILE = "lease.json"
# A lease is renewed every RENEWAL_SECONDS and holds for TERM_SECONDS: a few renewals may be lost.
RENEWAL_SECONDS = 20.0
TERM_SECONDS = 120.0


def process_table() -> str:
    """Names the table in which a process number of here means this process: machine, boot and container."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):  # there on Linux alone
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


def birth(pid: int) -> str | None:
    """When a process of here began, in the system's own unit; None when there is no such process.

    Together with the number it names one process: numbers are used again.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


@dataclass(frozen=True, slots=True)
class Lease:
    """A process that works on an attempt. `renewed` is in seconds since 1970."""

    host: str
    table: str
    pid: int
    born: str | None
    renewed: float

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}"

    @classmethod
    def of_this_process(cls) -> Lease:
        """A lease of this process, renewed now."""
        return cls(platform.node(), process_table(), os.getpid(), birth(os.getpid()), time.time())

    @classmethod
    def from_plain(cls, plain: Any) -> Lease:
        """Read what `write` wrote; TypeError or ValueError where it is something else."""
        return cls(
            str(plain["host"]),
            str(plain["table"]),
            int(plain["pid"]),
            plain["born"],
            float(plain["renewed"]),
        )

    @property
    def is_local(self) -> bool:
        """Whether its process number means a process of here."""
        return self.table == process_table()

    def holds(self, now: float | None = None) -> bool:
        """Whether its process works still, as far as can be told: a process of here is looked at."""
        age = (time.time() if now is None else now) - self.renewed
        # A clock that is far ahead is no better than a lease that has run out.
        if abs(age) > TERM_SECONDS:
            return False
        return not self.is_local or self.born is None or birth(self.pid) == self.born

    def is_of_this_process(self) -> bool:
        return self.is_local and self.pid == os.getpid()

    def write(self, folder: Folder) -> None:
        folder.write(FILE, to_json(asdict(self)))


def read_lease(folder: Folder) -> Lease | None:
    """The lease in an attempt's folder, or None where there is none or it is damaged."""
    try:
        return Lease.from_plain(json.loads(folder.read(FILE)))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
