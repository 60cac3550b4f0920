"""Named bytes below one prefix: all that storage needs of a file system. Free of torch."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from autoreid.errors import InputError, StorageError
from autoreid.whole_files import PART, whole_file

CHUNK_BYTES = 5 * 2**20


@dataclass(frozen=True, slots=True)
class File:
    """A file's bytes, and when it was last changed, in seconds since 1970 by its file system's clock."""

    bytes: int
    changed: float


class Folder(Protocol):
    """Named bytes below one prefix: the only thing that storage needs of a file system."""

    @property
    def address(self) -> str:
        """What `open_folder` opens as this folder, in other processes too."""
        ...

    def read(self, name: str) -> bytes:
        """The bytes, or FileNotFoundError."""
        ...

    def write(self, name: str, data: bytes | BinaryIO) -> None:
        """Put the bytes, or those of an open file from where it stands, whole: a reader sees all of them or
        the ones before."""
        ...

    def remove(self, name: str) -> None:
        """Remove one file; nothing happens when it is not there. An emptied folder may be listed or not."""
        ...

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """Bytes of every file whose name begins with `prefix`, by name, sorted."""
        ...

    def files(self, below: str = "") -> dict[str, File]:
        """All files below a folder by name, sorted, also those of writes that broke off."""
        ...

    def children(self, prefix: str = "") -> list[str]:
        """The first name parts below the folder `prefix`, sorted."""
        ...

    def child(self, name: str) -> Folder:
        """The folder `name` below this one."""
        ...


class LocalFolder:
    """A folder of the local file system."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def __str__(self) -> str:
        return str(self.root)

    @property
    def address(self) -> str:
        return str(self.root)

    def read(self, name: str) -> bytes:
        path = self.root / name
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise
        except OSError as error:
            raise StorageError(f"{path}: cannot be read: {error.strerror or error}.") from error

    def write(self, name: str, data: bytes | BinaryIO) -> None:
        path = self.root / name
        try:
            with whole_file(path) as file:
                for chunk in chunks(data):
                    file.write(chunk)
        except OSError as error:
            raise _unwritable(path, error) from error

    def remove(self, name: str) -> None:
        path = self.root / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from error
        # A folder is there as long as there is something in it.
        for parent in path.relative_to(self.root).parents[:-1]:
            try:
                (self.root / parent).rmdir()
            except OSError:
                return

    def sizes(self, prefix: str = "") -> dict[str, int]:
        # Only the folder that the prefix lies in is walked.
        found = self.files(prefix.rpartition("/")[0]).items()
        return {name: file.bytes for name, file in found if name.startswith(prefix) and not is_part(name)}

    def files(self, below: str = "") -> dict[str, File]:
        found = _walk(str(self.root / below), f"{below}/" if below else "")
        return dict(sorted((name, File(stat.st_size, stat.st_mtime)) for name, stat in found))

    def children(self, prefix: str = "") -> list[str]:
        base = self.root / prefix
        if not base.is_dir():
            return []
        return sorted(path.name for path in base.iterdir() if not path.name.startswith(PART))

    def child(self, name: str) -> LocalFolder:
        return LocalFolder(self.root / name)


def chunks(data: bytes | BinaryIO) -> Iterator[bytes]:
    """The bytes as they are; those of an open file in pieces, so that they are never all in memory."""
    if isinstance(data, bytes):
        yield data
    else:
        yield from iter(lambda: data.read(CHUNK_BYTES), b"")


def is_part(name: str) -> bool:
    """Whether a file is that of a write that has not ended, or broke off."""
    return name.startswith(PART, name.rfind("/") + 1)


def _walk(place: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """The names of all files below a place, and what is known of each.

    In texts: paths as objects take several times as long, which counts where thousands of jobs are looked at.
    """
    try:
        entries = list(os.scandir(place))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(f"{place}: cannot be listed: {error.strerror or error}.") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file():
            with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                yield f"{prefix}{entry.name}", entry.stat()


# What helps against an error of writing; else there may be no space.
REMEDIES = dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS), "Get the right to write there"
) | dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "Make the folder")


def _unwritable(path: Path, error: OSError) -> StorageError:
    remedy = REMEDIES.get(error.errno or 0, "Free space")
    return StorageError(
        f"{path}: cannot be written: {error.strerror or error}. {remedy} or choose another storage."
    )


def open_folder(where: Path | str) -> Folder:
    """The folder at a path, or below the address of an object store such as s3://bucket/prefix."""
    if "://" in str(where):
        from autoreid.remote import open_remote  # deferred: most storages are folders

        return open_remote(str(where))
    # Absolute: a launch leaves the working directory.
    path = expanded(where).absolute()
    standing = existing(path)
    if not standing.is_dir():
        raise InputError(f"{standing}: a file. Give a folder, or an address such as s3://bucket/prefix.")
    return LocalFolder(path)


def expanded(given: Path | str) -> Path:
    """A path as people write it: `~` and `~name` at its beginning are home folders. Of a name that nobody has
    it stays as it is, and is looked for like any other.

    >>> str(expanded("~no-such-name/a"))
    '~no-such-name/a'
    """
    return Path(os.path.expanduser(given))  # noqa: PTH111 - pathlib's raises a RuntimeError for such a name


def existing(path: Path) -> Path:
    """The path itself, else the nearest folder above it that there is."""
    return next(place for place in (path, *path.parents) if place.exists())


def amount(size: float) -> str:
    """A number of bytes for people.

    >>> amount(0), amount(2048), amount(3 * 2**29)
    ('0.0 MiB', '0.0 MiB', '1.5 GiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def to_json(item: Any) -> bytes:
    """Readable JSON with sorted keys; NaN and infinity are refused."""
    return (json.dumps(item, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def to_lines(item: Mapping[str, Any]) -> bytes:
    """JSON of an object with sorted keys, each member of its groups and lists on a line of its own.

    Several times as fast as `to_json`, for what may hold thousands of members.

    >>> print(to_lines({"b": {"y": [1, 2], "x": {}}, "a": 1}).decode(), end="")
    {"a": 1,
    "b": {"x": {},
    "y": [1, 2]}}
    """

    def dumped(value: Any) -> str:
        return json.dumps(value, sort_keys=True, allow_nan=False)

    def member(value: Any) -> str:
        if isinstance(value, Mapping):
            return "{" + ",\n".join(f"{dumped(key)}: {dumped(value[key])}" for key in sorted(value)) + "}"
        return "[" + ",\n".join(map(dumped, value)) + "]" if isinstance(value, list) else dumped(value)

    return ("{" + ",\n".join(f"{dumped(key)}: {member(item[key])}" for key in sorted(item)) + "}\n").encode()


def read_json(folder: Folder, name: str) -> Any:
    """The JSON value of a file; a damaged file is an `InputError` that names it."""
    try:
        return json.loads(folder.read(name))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder}/{name}: not JSON ({error}). Restore the file or remove it.") from None
