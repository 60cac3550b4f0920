"""Numbers and tables for people."""

from __future__ import annotations

import time
from collections.abc import Sequence


def counted(number: float, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "search", "searches"), counted(0.5, "GPU"), counted(0, "job")
    ('1 search', '0.5 GPU', '0 jobs')
    """
    return f"{number:g} {one if 0 < number <= 1 else many or one + 's'}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, indented by two, columns as wide as they need.

    >>> table(("arm", "k"), [("cnet", "1")])
    ['  arm   k', '  cnet  1']
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]


def lasting(seconds: float) -> str:
    """A time for people.

    >>> lasting(8.2), lasting(600), lasting(90000), lasting(400000)
    ('8 s', '10.0 min', '25.0 h', '4.6 days')
    """
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < most * size:
            return f"{seconds / size:.{0 if unit == 's' else 1}f} {unit}"
    return f"{seconds / 86400:.1f} days"


def clock() -> str:
    """The time of this moment here."""
    return time.strftime("%H:%M:%S")
