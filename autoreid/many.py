"""Many small questions to a storage: to an object store at the same time, where each waits for its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from autoreid.folders import Folder, LocalFolder

Item = TypeVar("Item")
Answer = TypeVar("Answer")
# pyarrow holds 25 connections with a store.
AT_ONCE = 24


def each(folder: Folder, ask: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """What `ask` says of every item, in order; it reads below `folder`.

    A folder of a disk answers faster one by one. The first error is raised, and the rest is not asked.

    >>> each(LocalFolder("/results"), len, ["a", "bc"])
    [1, 2]
    """
    found = list(items)
    if isinstance(folder, LocalFolder) or len(found) < 2:
        return [ask(item) for item in found]
    threads = ThreadPoolExecutor(min(AT_ONCE, len(found)))
    try:
        return list(threads.map(ask, found))
    finally:  # also where a signal asks to end
        threads.shutdown(cancel_futures=True)
