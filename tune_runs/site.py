"""The files of a launch's jobs, and the processes that run them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from autoreid.errors import AutoreidError
from autoreid.leases import Lease
from autoreid.many import each
from autoreid.storage import Storage
from tune_runs.planning import Plan
from tune_runs.processes import descendants
from tune_runs.states import State, state_of

# What a storage raises that cannot be reached, or holds something else than it should.
UNREADABLE = (OSError, AutoreidError)


class Site(Protocol):
    """The surroundings of a launch: the files of its jobs and the processes that run them.

    Every call may raise UNREADABLE.
    """

    def state(self, job: str) -> State:
        """What the files of a job say."""
        ...

    def describe(self, job: str) -> None:
        """Write what a worker must know of a job."""
        ...

    def cancelled(self) -> frozenset[str]:
        """Jobs that are not to be run."""
        ...

    def interrupt(self, jobs: Iterable[str]) -> None:
        """Ask the workers of running jobs to stop."""
        ...


def ask_below(leases: Iterable[Lease]) -> None:
    """Send SIGUSR1 to those that are processes below this one."""
    below = set(descendants())
    for lease in leases:
        if lease.is_local and lease.pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(lease.pid, signal.SIGUSR1)


@dataclass(slots=True)
class StorageSite:
    """The surroundings of a launch as they are: its storage, and its workers, which `ask` asks to stop. A
    sweep puts another plan in the place of `plan`."""

    storage: Storage
    plan: Plan
    ask: Callable[[Iterable[Lease]], None] = ask_below

    def state(self, job: str) -> State:
        return state_of(self.storage.job(job))

    def describe(self, job: str) -> None:
        self.storage.job(job).describe(self.plan.jobs[job].plain())

    def cancelled(self) -> frozenset[str]:
        return self.storage.cancelled(self.plan.campaign.name)

    def interrupt(self, jobs: Iterable[str]) -> None:
        """Ask the processes that hold the leases of jobs to stop."""
        leases = each(self.storage.folder, lambda job: self.storage.job(job).holder(), jobs)
        self.ask([lease for lease in leases if lease is not None])
