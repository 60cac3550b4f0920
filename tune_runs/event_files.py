"""Event files of TensorBoard, as bytes: the same numbers are the same bytes.

Written here, since what writes them elsewhere loads torch and names its files by the clock. A file is a row
of records, each a protocol buffer `Event` between its length and checksums. Source: TensorFlow, event.proto,
summary.proto and record_writer.cc.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

VERSION = b"brain.Event:2"
MOST = 3.4e38  # of single precision, in which they are kept
VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Step:
    """Numbers of one step by their names; `wall` is in seconds since 1970."""

    step: int
    wall: float
    scalars: Mapping[str, float]


def event_bytes(steps: Iterable[Step], began: float) -> bytes:
    """An event file that says of each step its numbers; `began` is the moment that its head names."""
    head = _double(1, began) + _bytes(3, VERSION)
    return b"".join(map(_record, [head, *map(_event, steps)]))


def _event(step: Step) -> bytes:
    values = b"".join(
        _bytes(1, _bytes(1, name.encode()) + _key(2, FLOAT) + struct.pack("<f", min(max(value, -MOST), MOST)))
        for name, value in step.scalars.items()
    )
    return _double(1, step.wall) + _key(2, VARINT) + _varint(step.step) + _bytes(5, values)


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _double(field: int, value: float) -> bytes:
    return _key(field, DOUBLE) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, BYTES) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    """A number of 0 or more, seven bits a byte, the lowest first.

    >>> _varint(300).hex()
    'ac02'
    """
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _crc_table() -> Iterator[int]:
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)  # Castagnoli's polynomial, reflected
        yield number


CRC_TABLE = tuple(_crc_table())


def crc32c(data: bytes) -> int:
    """The checksum CRC-32C.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    """The checksum as record files hold it: rotated, and a constant added."""
    crc = crc32c(data)
    return (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF
