"""The nodes of a launch, and which of them are left out since attempts fail there again and again.

Free of Ray.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autoreid.errors import DivergedError, OutOfMemoryError, RunError, StorageError
from tune_runs.resources import Allotment
from tune_runs.words import counted

# So many failures in a row, one after the other, condemn a node: as many as attempts that a job has by
# default, so that a sick machine costs no job all of them.
FAILURES_IN_A_ROW = 4
# One bad job must not condemn a node.
DIFFERENT_JOBS = 2
# What errors say that come from a driver or a device.
DEVICE_WORDS = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "NVML", "NCCL")
# Except this one: an index of the job's own was out of range.
ASSERTION = "device-side assert"
HERE = "this machine"


def may_be_the_machine(error: Exception) -> bool:
    """Whether a machine may be the reason of an error: its disks, network, driver, devices or installation.

    >>> may_be_the_machine(OSError(5, "Input/output error")), may_be_the_machine(ValueError("no such width"))
    (True, False)
    """
    if isinstance(error, (DivergedError, OutOfMemoryError)):
        return False
    if isinstance(error, (OSError, ImportError, RunError, StorageError)):
        return True
    words = str(error)
    return ASSERTION not in words and any(known in words for known in DEVICE_WORDS)


@dataclass(slots=True)
class _Streak:
    """Failures of a node since something got on there."""

    failures: int = 0
    jobs: list[str] = field(default_factory=list)
    last: float = float("-inf")


class Nodes:
    """Which nodes there are, and which of them are left out for the rest of the launch.

    Without names there is one, this machine, and all jobs run there. Of a cluster `alive` names its nodes by
    their ids; what is told of others, or of None, is not counted.

    >>> nodes = Nodes({"n1": "node1", "n2": "node2"})
    >>> for second, job in enumerate("abab"):
    ...     forgiven = nodes.failed("n1", job, "killed", began=second, now=second + 0.5)
    >>> forgiven, nodes.none_left
    (['a', 'b', 'a', 'b'], False)
    >>> nodes.left_out
    {'n1': '4 attempts in a row failed there, at 2 jobs, and no epoch was done between. The last one: killed'}
    """

    def __init__(
        self, names: Mapping[str, str] | None = None, left_out: Mapping[str, str] | None = None
    ) -> None:
        self.alone = names is None
        self.alive: dict[str, str] = {"": HERE} if names is None else dict(names)
        self.left_out = dict(left_out or {})
        self._names = dict(self.alive)
        self._streaks: dict[str, _Streak] = {}
        self._avoided: dict[str, set[str]] = {}

    @classmethod
    def of(cls, allotment: Allotment) -> Nodes:
        """The nodes of a cluster that a trial fits on; this machine without one."""
        if allotment.cluster is None:
            return cls()
        nodes = allotment.cluster.nodes
        made = cls({key: node.name for key, node in nodes.items()}, allotment.cluster.refused)
        made.seen(key for key, node in nodes.items() if allotment.slots_of([node.machine]))
        return made

    def seen(self, alive: Iterable[str]) -> None:
        """These nodes are there now; one that has come since the launch began is named by its id."""
        self.alive = {node: self.name(node) for node in alive}

    def without(self, job: str) -> list[str]:
        """The nodes on which a job is not to be run: those left out, and those on which it failed, as long as
        there are others."""
        avoided = self._avoided.get(job, set())
        if all(node in avoided for node in self.usable):
            self._avoided.pop(job, None)
            avoided = set()
        return sorted(avoided | set(self.left_out))

    @property
    def none_left(self) -> bool:
        """Whether there is no node on which jobs could run."""
        return all(node in self.left_out for node in self.alive)

    @property
    def usable(self) -> list[str]:
        """The ids of those on which jobs may run."""
        return [node for node in self.alive if node not in self.left_out]

    def progressed(self, node: str | None) -> None:
        """A job got on there: an epoch, or its end."""
        self._streaks.pop(self._known(node), None)

    def failed(self, node: str | None, job: str, error: str, *, began: float, now: float) -> list[str] | None:
        """An attempt failed through nothing that is seen to be the job's fault.

        `began` and `now` are in seconds. Of attempts that ran at once one counts: what befell them was one
        event. Where the node is left out by this one or was before, the jobs that have failed there for
        nothing, this one last; else None.
        """
        known = self._known(node)
        if known in self.left_out:
            return [job]
        if known not in self.alive:
            return None
        self._avoided.setdefault(job, set()).add(known)
        streak = self._streaks.setdefault(known, _Streak())
        streak.jobs.append(job)
        if began < streak.last:
            return None
        streak.last = now
        streak.failures += 1
        different = len(set(streak.jobs))
        if streak.failures < FAILURES_IN_A_ROW or different < DIFFERENT_JOBS:
            return None
        many = f"{streak.failures} attempts in a row failed there, at {counted(different, 'job')}"
        self.leave_out(known, f"{many}, and no epoch was done between. The last one: {error}")
        return streak.jobs

    def refused(self, node: str | None, reason: str) -> bool:
        """A node can run no job at all; False where it is not known which one, or there is no other."""
        known = self._known(node)
        if self.alone or known not in self.alive:
            return False
        if known not in self.left_out:
            self.leave_out(known, reason)
        return True

    def leave_out(self, node: str, reason: str) -> None:
        """Nothing more begins there."""
        self.left_out[node] = reason
        self._streaks.pop(node, None)

    def name(self, node: str) -> str:
        """A node for people, also one that is gone."""
        return self._names.get(node, f"node {node[:8]}")

    def _known(self, node: str | None) -> str:
        return "" if self.alone or node is None else node
