"""Questions to a storage: many at the same time where each waits for a network."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from autoreid.folders import open_folder
from autoreid.many import AT_ONCE, each


def test_an_object_store_is_asked_many_things_at_once() -> None:
    together = threading.Barrier(AT_ONCE)

    def ask(number: int) -> int:
        together.wait(30)
        return -number

    assert each(open_folder("s3://bucket/x"), ask, range(AT_ONCE)) == [-number for number in range(AT_ONCE)]


def test_a_disk_is_asked_one_after_the_other(tmp_path: Path) -> None:
    here = threading.get_ident()
    assert each(open_folder(tmp_path), lambda _: threading.get_ident(), range(3)) == [here] * 3


def test_after_an_error_the_rest_is_not_asked() -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        if number == 0:
            raise FileNotFoundError(str(number))
        time.sleep(0.001)

    with pytest.raises(FileNotFoundError, match="0"):
        each(open_folder("s3://bucket/x"), ask, range(20_000))
    assert len(asked) < 15_000
