"""Where a launch gets more jobs from when all that were planned are handed out. Free of Ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tune_runs.releases import Releases


class Supply(Protocol):
    """Where more jobs come from when nothing is left to hand out.

    `more` and `reported` may raise what a storage raises that cannot be reached, and InputError where it
    holds what nobody can go on from.
    """

    @property
    def over(self) -> bool:
        """Whether no more will come, after what has become of the jobs so far."""
        ...

    @property
    def given_up(self) -> frozenset[str]:
        """Jobs that are no longer wanted, which is no failure."""
        ...

    def more(self, releases: Releases) -> Mapping[str, Iterable[str]]:
        """New jobs with those that they need; none where it waits for jobs that run, or is over."""
        ...

    def reported(self, job: str, row: Mapping[str, Any]) -> None:
        """A running job has done an epoch."""
        ...


class NoMore:
    """Of a campaign whose jobs are all planned."""

    over = True
    given_up: frozenset[str] = frozenset()

    def more(self, releases: Releases) -> Mapping[str, Iterable[str]]:
        return {}

    def reported(self, job: str, row: Mapping[str, Any]) -> None:
        """Nothing follows from it."""
