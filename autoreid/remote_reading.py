"""Reading a file of an object store through pyarrow, whole although others replace it meanwhile."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

# pyarrow puts fewer bytes than these in one request, and more in parts of this size.
PART_BYTES = 10 * 2**20
READS, PAUSE_SECONDS = 20, 0.005


def read_whole(system: Any, path: str) -> bytes | None:
    """The bytes, or None when they changed with every reading.

    A reading is two requests; a file replaced between them gives a piece of the new one. Its digest tells,
    for most files; else two readings must be alike, as those of a piece are only if replaced bytes return.
    """
    before: object = None
    for number in range(READS):
        file = system.open_input_file(path)  # never closed, for gs would ask for all bytes once more
        tag, size = _tag(file), file.size()
        try:
            came = file.read_at(size, 0) if size else b""
        except OSError as error:
            came = error
        if isinstance(came, bytes) and _fits(came, tag):
            return came
        now = (tag, came if isinstance(came, bytes) else str(came))
        if now == before:
            if isinstance(came, bytes):
                return came
            raise came
        before = now
        time.sleep(number * PAUSE_SECONDS)
    return None


def _tag(file: Any) -> str:
    """The store's digest of an open file, in hexadecimal; of other stores and files whatever names it."""
    metadata = file.metadata() or {}
    if metadata.get("md5Hash"):
        return base64.b64decode(metadata["md5Hash"]).hex()
    return str(metadata.get("ETag", b"").decode().strip('"'))


def _fits(data: bytes, tag: str) -> bool:
    """Whether a tag is the digest of the bytes: their MD5, or that of the MD5s of the parts they came in."""
    if "-" not in tag:
        return tag == hashlib.md5(data, usedforsecurity=False).hexdigest()
    parts = [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return tag == f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
