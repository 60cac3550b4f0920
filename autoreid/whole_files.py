"""Files that are whole or not there, and what killed processes leave of them. Free of torch."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from autoreid.errors import StorageError

# How the names of temporary files and folders begin.
PART = ".part-"
STALE_SECONDS = 86400.0
# Bytes of a name that a temporary one repeats: file systems take 255 in all.
REPEATED_BYTES = 200


def temporary_beside(path: Path) -> Path:
    """A name that no other process uses, in the folder of `path`, so that a rename stays on one disk."""
    return path.parent / f"{_beginning(path)}{uuid.uuid4().hex[:12]}"


def _beginning(path: Path) -> str:
    """How the temporary names for a path begin."""
    return f"{PART}{os.fsdecode(os.fsencode(path.name)[:REPEATED_BYTES])}-"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears at `path` when all of it is on the disk; after an error what was there
    before stays. Its folder is made. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{PART}{uuid.uuid4().hex}"  # by which storages know what broke off
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def claimed_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which is gone afterwards. Raises OSError.

    While this process lives it is locked, so that `remove_left` of another process passes it over.
    """
    temporary, descriptor = _claimed(path)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(descriptor)


def _claimed(path: Path) -> tuple[Path, int]:
    while True:
        # Until it is locked another process may take it for a killed one's.
        temporary = temporary_beside(path)
        temporary.mkdir(parents=True)
        try:
            descriptor = os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with contextlib.suppress(OSError):  # without locks on this file system the age alone decides
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def remove_left_of(path: Path) -> None:
    """Remove what killed processes left of temporary files for `path`, as `remove_left` does."""
    remove_left(path.parent, _beginning(path))


def remove_left(folder: Path, beginning: str = PART) -> None:
    """Remove what killed processes left in a folder of temporary files, whose names begin with `beginning`.

    What another process has claimed stays; where the file system has no locks, what is younger than a day.
    """
    for path in folder.glob(f"{glob.escape(beginning)}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if _is_left(path, descriptor):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


def _is_left(path: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - path.stat().st_mtime >= STALE_SECONDS
    return True


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """A file that a command writes: as `whole_file`, and what killed commands left of it is removed first.

    StorageError where it cannot be written.
    """
    remove_left_of(path)
    try:
        with claimed_folder(path) as folder:
            with whole_file(folder / path.name) as file:
                yield file
            (folder / path.name).replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{path}: cannot be written: {reason}. Free space, or choose another place."
        ) from error
