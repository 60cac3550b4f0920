from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreid.byte_sizes import UNITS, byte_count, byte_words
from autoreid.errors import InputError


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4GiB", 4 * 2**30),
        ("4 gib", 4 * 2**30),
        ("0.5GB", 500_000_000),
        (" 512MiB ", 512 * 2**20),
        ("1TiB", 2**40),
        ("7B", 7),
    ],
)
def test_amounts(text: str, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "4", "GiB", "-1GiB", "4GiBs", "4 G", "1e3MB", "0GiB", "nan GiB", "0.1B"]
)
def test_what_is_no_amount_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="Give a number and its unit, such as 512MiB or 4GiB"):
        byte_count(text)


@given(st.integers(1, 2**45))
def test_words_say_enough_and_hardly_more(count: int) -> None:
    said = byte_count(byte_words(count))
    assert count <= said <= 1.01 * count + 1


def test_every_unit_is_read() -> None:
    assert {byte_count(f"1{unit}") for unit in UNITS} == set(UNITS.values())
