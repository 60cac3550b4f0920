"""Amounts of memory as people write and read them. Free of torch."""

from __future__ import annotations

import math
import re

from autoreid.errors import InputError

UNITS = {"B": 1} | {
    f"{prefix}{end}": base**power
    for power, prefix in enumerate("KMGT", start=1)
    for end, base in (("B", 1000), ("iB", 1024))
}
WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def byte_count(text: str) -> int:
    """The number of bytes that `text`, a number with its unit, says.

    Units: B; KB, MB, GB and TB of 1000; KiB, MiB, GiB and TiB of 1024. Upper and lower case are the same.
    Raises InputError for anything else, and for less than a byte.

    >>> byte_count("4GiB"), byte_count("1.5 kb")
    (4294967296, 1500)
    """
    units = {unit.lower(): size for unit, size in UNITS.items()}
    written = WRITTEN.fullmatch(text)
    size = units.get(written[2].lower()) if written else None
    count = int(float(written[1]) * size) if written and size and math.isfinite(float(written[1])) else 0
    if count < 1:
        raise InputError(
            f"{text!r} is no amount of memory. Give a number and its unit, such as 512MiB or 4GiB."
        )
    return count


def byte_words(count: int) -> str:
    """An amount in the largest binary unit of which there is one, rounded up, so that it is enough.

    >>> byte_words(1024), byte_words(3 * 2**30 // 2), byte_words(2**30 + 1), byte_words(17)
    ('1KiB', '1.5GiB', '1.01GiB', '17B')
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count >= UNITS[unit]:
            return f"{math.ceil(count * 100 / UNITS[unit]) / 100:g}{unit}"
    return f"{count}B"
