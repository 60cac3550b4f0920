"""Of several launches of one sweep, one asks for points: two would overwrite what the other asked."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from autoreid.attempts import Attempt
from autoreid.errors import InputError
from autoreid.folders import Folder
from autoreid.keeper import Keeper
from autoreid.leases import Lease, read_lease
from autoreid.storage import Storage
from tune_runs.campaign import Campaign

# Of launches that begin at once, the one that wrote last is found after so long: a storage has no locks.
SETTLE_SECONDS = 1.0


@contextmanager
def alone(campaign: Campaign, storage: Storage) -> Iterator[None]:
    """Keeps other launches from the campaign's sweep, if it has one; InputError where another one is at it.

    What a launch that was killed has left holds for two minutes on other machines.
    """
    if campaign.sweep is None:
        yield
        return
    folder = storage.folder.child(f"campaigns/{campaign.name}")
    _check(campaign, folder)
    Lease.of_this_process().write(folder)
    time.sleep(SETTLE_SECONDS)
    _check(campaign, folder)
    with Keeper(Attempt(folder), math.inf, lambda _: None) as keeper, keeper.resting():
        yield


def _check(campaign: Campaign, folder: Folder) -> None:
    lease = read_lease(folder)
    if lease is not None and lease.holds() and not lease.is_of_this_process():
        raise InputError(
            f"{campaign.name}: another launch ({lease}) asks for its points. Wait until it has ended, or "
            "give this one another name: equal jobs are shared all the same."
        )
