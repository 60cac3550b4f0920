"""The cache on node-local disk: where it is, whole files, one builder at a time. Free of torch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from autoreid.errors import InputError
from autoreid.folders import expanded
from autoreid.whole_files import PART, STALE_SECONDS, whole_file

LONGEST_BUILD_SECONDS = 3600.0


def default_cache() -> Path:
    """The cache folder: $AUTOREID_CACHE, else ~/.cache/autoreid.

    It must be on a disk of this machine: decoded images are memory-mapped from it, and over a network file
    system every batch would be a burst of small remote reads.
    """
    given = os.environ.get("AUTOREID_CACHE")
    return expanded(given).absolute() if given else Path.home() / ".cache" / "autoreid"


def writable_folder(folder: Path) -> Path:
    """Make `folder` where it is missing; InputError where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"{folder}: the cache cannot be written ({reason}). "
            "Set AUTOREID_CACHE to a folder on a local disk of this machine."
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see all of it or what was there before. Raises OSError."""
    with whole_file(path) as file:
        file.write(data)


def sweep(folder: Path) -> None:
    """Remove what killed builders left behind a day ago or earlier."""
    for path in folder.glob(f"{PART}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < STALE_SECONDS:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def one_builder(path: Path, longest_seconds: float = LONGEST_BUILD_SECONDS) -> Iterator[None]:
    """Hold the right to build `path`; others wait, and find it built afterwards.

    The lock only saves work. A process that dies lets go of it; one that hangs is passed over after
    `longest_seconds`; without locks on this file system everybody builds, and the last rename wins.
    """
    with path.with_name(f".{path.name}.lock").open("ab") as file:
        end = time.monotonic() + longest_seconds
        while time.monotonic() < end:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
            except OSError:
                break
        yield


def thread_count() -> int:
    """Threads for reading and decoding: the processors that this process may use, 16 at most."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(16, available))
