"""What a campaign asks of an object store: the figures that docs/storage.md shows are those that are seen."""

from __future__ import annotations

from pathlib import Path

from local_s3 import Proxy
from storage_requests import PROMISES, Count, count, counts, line

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


def test_the_page_of_storages_shows_what_is_counted(proxy: Proxy, cache: Path, tmp_path: Path) -> None:
    found = counts(proxy, cache, tmp_path.name)
    page = PAGE.read_text().splitlines()
    assert [shown for name, one in found.items() if (shown := line(name, one)) not in page] == []
    for promise in PROMISES:
        assert found[promise.name].requests <= promise.most


def test_lists_and_puts_are_told_from_the_others() -> None:
    class Passed:
        def __init__(self) -> None:
            self.requests: list[str] = []

    passed = Passed()
    lines = ["GET /b?list-type=2&prefix=a", "GET /b?prefix=a&list-type=2", "GET /b/a", "HEAD /b/a"]
    lines += ["PUT /b/a", "POST /b/a?uploads", "DELETE /b/a"]
    assert count(passed, lambda: passed.requests.extend(lines)) == Count(7, 4)  # type: ignore[arg-type]
    assert Count(3, 1).times(2) - Count(1, 1) == Count(5, 1)
