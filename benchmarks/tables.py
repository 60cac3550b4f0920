"""Measurements as tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from side_by_side import Measurement


def words(value: float | int | str | None) -> str:
    """A figure for a table, to four digits.

    >>> words(0.0123), words(123456.7), words(7), words(None), words("fused")
    ('0.0123', '123,457', '7', '', 'fused')
    """
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def cells_of(one: Measurement) -> dict[str, str]:
    """The filled cells of a measurement's line, by the heads of their columns."""
    cells = {
        "measurement": one.name,
        "seconds": words(one.seconds),
        "of processors": words(one.processor_seconds),
        "times as fast": words(one.ratio),
        "as": one.against,
        **{name.replace("_", " "): words(value) for name, value in one.extra.items()},
    }
    return {head: text for head, text in cells.items() if text}


def table(measurements: Sequence[Measurement]) -> str:
    """Markdown, one line a measurement; a column that no measurement fills is left out."""
    rows = [cells_of(one) for one in measurements]
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(
        [*lines, *("| " + " | ".join(row.get(head, "") for head in heads) + " |" for row in rows)]
    )
