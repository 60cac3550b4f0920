"""What a trial gets of a machine, or of those of a cluster, and how many trials fit."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autoreid.errors import InputError, Problems
from autoreid.execution import Execution
from tune_runs.schema import Placement
from tune_runs.words import counted

# More CPUs than this bring little to a trial that computes on a GPU.
CPUS_BESIDE_GPU = 4
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Machine:
    """The CPUs and GPUs that this process may use."""

    cpus: int
    gpus: int

    def __str__(self) -> str:
        """
        >>> print(Machine(8, 1))
        8 CPUs and 1 GPU
        """
        return f"{counted(self.cpus, 'CPU')} and {counted(self.gpus, 'GPU')}"

    def slots(self, cpus: int, gpus: float) -> int:
        """How many trials that get so much run here at once."""
        fitting = self.cpus // cpus
        return min(fitting, int(self.gpus / gpus + 1e-9)) if gpus else fitting


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of a cluster: its name for people, its host as leases name it, and what it has."""

    name: str
    host: str
    machine: Machine


@dataclass(frozen=True, slots=True)
class Cluster:
    """A standing Ray cluster, by its address: its nodes by id, and why some of them can run no job."""

    address: str
    nodes: Mapping[str, Node]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def usable(self) -> list[Node]:
        return [node for key, node in self.nodes.items() if key not in self.refused]


@dataclass(frozen=True, slots=True)
class Allotment:
    """CPUs and GPUs of one trial, how many trials run at once, and the execution that follows from it.

    `most` is how many may run at once however many fit; `cluster` is where they run, else this machine. A job
    that runs alone gets the `node_cpus`, all that any machine of these has, and as many threads unless the
    campaign says how many.
    """

    cpus: int
    gpus: float
    slots: int
    execution: Execution
    most: float = math.inf
    cluster: Cluster | None = None
    node_cpus: int = 0
    threads_given: bool = False

    @property
    def alone(self) -> Execution:
        """The execution of a job that runs alone."""
        if self.threads_given or not self.node_cpus:
            return self.execution
        return dataclasses.replace(self.execution, threads=self.node_cpus)

    def __str__(self) -> str:
        """
        >>> print(Allotment(2, 0, 1, Execution()))
        2 CPUs a trial, 1 at once
        """
        gpus = f" and {counted(self.gpus, 'GPU')}" if self.gpus else ""
        return f"{counted(self.cpus, 'CPU')}{gpus} a trial, {self.slots} at once"

    def slots_of(self, machines: Iterable[Machine]) -> int:
        """How many trials run at once on these machines."""
        return int(min(self.most, sum(machine.slots(self.cpus, self.gpus) for machine in machines)))


def this_machine() -> Machine:
    """Counts what this process may use: its CPU affinity, and the GPUs that torch sees."""
    import torch  # deferred: heavy

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cpus, torch.cuda.device_count())


def with_gpus(machine: Machine, placement: Placement, gpus: int) -> Machine:
    """A machine with so many GPUs and the CPUs that their trials need, whatever the given one has.

    InputError for a number below 1.
    """
    if gpus < 1:
        raise InputError(f"--gpus: {gpus} GPUs. Give 1 or more; for CPUs alone, --set execution.device=cpu.")
    wanted = placement.resources
    each = CPUS_BESIDE_GPU if wanted.cpus == "auto" else wanted.cpus
    share = 1.0 if wanted.gpus in ("auto", 0) else float(wanted.gpus)
    return Machine(max(machine.cpus, each * int(gpus / share)), gpus)


def allot(execution: Execution, placement: Placement, place: Machine | Cluster) -> Allotment:
    """Divide a machine, or those of a cluster, among trials: one GPU each where there are GPUs, else one CPU.

    InputError where the request can never be met there.
    """
    machines = [place] if isinstance(place, Machine) else [node.machine for node in place.usable]
    wanted = placement.resources
    with_gpu = [machine for machine in machines if machine.gpus]
    on_cpu = execution.device == "cpu" or wanted.gpus == 0 or (execution.device == "auto" and not with_gpu)
    gpus = (0.0 if on_cpu else 1.0) if wanted.gpus == "auto" else float(wanted.gpus)
    shares = [machine.cpus // machine.gpus for machine in with_gpu] if gpus else []
    default = min([CPUS_BESIDE_GPU, *(max(1, share) for share in shares)]) if shares else 1
    cpus = default if wanted.cpus == "auto" else wanted.cpus
    _check(execution, cpus, gpus, place, machines)
    # A trial without a GPU of its own would still see every GPU of the machine.
    # One that was given a GPU must not go on without it.
    device = "cuda" if gpus else "cpu"
    given = execution.threads > 0
    execution = dataclasses.replace(execution, device=device, threads=execution.threads or cpus)
    whole = min(machine.cpus for machine in machines if machine.slots(cpus, gpus))
    most = math.inf if placement.max_parallel == "auto" else placement.max_parallel
    cluster = place if isinstance(place, Cluster) else None
    empty = Allotment(cpus, gpus, 0, execution, most, cluster, whole, given)
    return dataclasses.replace(empty, slots=empty.slots_of(machines))


def _has(place: Machine | Cluster) -> str:
    """What is there, in words; of a cluster equal nodes together."""
    if isinstance(place, Machine):
        return f"this machine has {place}"
    kinds: dict[Machine, list[str]] = {}
    for node in place.usable:
        kinds.setdefault(node.machine, []).append(node.name)
    parts = [f"{machine} ({some_of(names)})" for machine, names in kinds.items()]
    return f"the nodes have {', '.join(parts)}"


def some_of(names: list[str]) -> str:
    """Names for people, the first few of them.

    >>> some_of(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _check(
    execution: Execution, cpus: int, gpus: float, place: Machine | Cluster, machines: list[Machine]
) -> None:
    problems = Problems()
    has = _has(place)
    many_cpus, many_gpus = counted(cpus, "CPU"), counted(gpus, "GPU")
    if cpus > max(machine.cpus for machine in machines):
        problems.add("execution.resources.cpus", f"{many_cpus} a trial, but {has}. Ask for fewer.")
    if gpus > max(machine.gpus for machine in machines):
        problems.add(
            "execution.resources.gpus",
            f"{many_gpus} a trial, but {has}. Use device: cpu, or ask for fewer.",
        )
    elif gpus > 1:
        problems.add("execution.resources.gpus", f"{many_gpus} a trial, but a trial computes on one. Use 1.")
    elif not problems.found and not any(machine.slots(cpus, gpus) for machine in machines):
        problems.add(
            "execution.resources", f"{many_cpus} and {many_gpus} a trial, but {has}: no node has both."
        )
    if execution.device == "cpu" and gpus:
        problems.add("execution.resources.gpus", f"{many_gpus} for device: cpu. Remove one of the two.")
    if execution.device.startswith("cuda") and not gpus:
        problems.add("execution.device", f"{execution.device!r} without a GPU. Use auto or cpu.")
    if execution.device not in DEVICES:
        problems.add(
            "execution.device", f"{execution.device!r} is not auto, cpu or cuda; a trial is given its GPU."
        )
    if problems.found:
        raise InputError(*problems.found)
