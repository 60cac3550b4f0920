"""Words for people. Free of torch."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(19281, "image"), counted(0, "query", "queries")
    ('1 image', '19,281 images', '0 queries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
