"""When a job that ended without an end is tried again. Free of Ray."""

from __future__ import annotations

FIRST_DELAY_SECONDS = 10.0
LONGEST_DELAY_SECONDS = 300.0


class Retries:
    """Counts the failures of every job since it last got on, and says how long to wait after each.

    >>> retries = Retries(limit=2)
    >>> retries.failed("job"), retries.failed("job"), retries.failed("job")
    (10.0, 20.0, None)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._failures: dict[str, int] = {}
        self._farthest: dict[str, int] = {}

    def progressed(self, job: str, epoch: int) -> None:
        """The job has done an epoch; one that it had done before does not count."""
        if epoch > self._farthest.get(job, 0):
            self._farthest[job] = epoch
            self._failures.pop(job, None)

    def failed(self, job: str) -> float | None:
        """The job failed once more: seconds until it is tried again, or None when that was the last time."""
        failures = self._failures[job] = self._failures.get(job, 0) + 1
        if failures > self.limit:
            return None
        return min(FIRST_DELAY_SECONDS * 2.0 ** (failures - 1), LONGEST_DELAY_SECONDS)

    def forgive(self, job: str) -> None:
        """One of its failures was not the job's."""
        left = self._failures.pop(job, 0) - 1
        if left > 0:
            self._failures[job] = left

    def attempt(self, job: str) -> int:
        """The number of the attempt that comes next, counted since the job last got on."""
        return self._failures.get(job, 0) + 1
