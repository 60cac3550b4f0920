"""What a trial gets of a machine, and how many trials fit."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from autoreid.errors import InputError, Problems
from autoreid.recipes import Execution
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


@dataclass(frozen=True, slots=True)
class Allotment:
    """CPUs and GPUs of one trial, how many trials run at once, and the execution that follows from it."""

    cpus: int
    gpus: float
    slots: int
    execution: Execution

    def __str__(self) -> str:
        """
        >>> print(Allotment(2, 0, 1, Execution()))
        2 CPUs a trial, 1 at once
        """
        gpus = f" and {counted(self.gpus, 'GPU')}" if self.gpus else ""
        return f"{counted(self.cpus, 'CPU')}{gpus} a trial, {self.slots} at once"


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


def allot(execution: Execution, placement: Placement, machine: Machine) -> Allotment:
    """Divide a machine among trials: one GPU each where there are GPUs, else one CPU each.

    InputError where the request can never be met on this machine.
    """
    wanted = placement.resources
    on_cpu = (
        execution.device == "cpu" or wanted.gpus == 0 or (execution.device == "auto" and not machine.gpus)
    )
    gpus = (0.0 if on_cpu else 1.0) if wanted.gpus == "auto" else float(wanted.gpus)
    default = min(CPUS_BESIDE_GPU, max(1, machine.cpus // machine.gpus)) if gpus and machine.gpus else 1
    cpus = default if wanted.cpus == "auto" else wanted.cpus
    _check(execution, cpus, gpus, machine)
    slots = machine.cpus // cpus
    if gpus:
        slots = min(slots, int(machine.gpus / gpus + 1e-9))
    if placement.max_parallel != "auto":
        slots = min(slots, placement.max_parallel)
    # A trial without a GPU of its own would still see every GPU of the machine.
    # One that was given a GPU must not go on without it.
    device = "cuda" if gpus else "cpu"
    threads = execution.threads or cpus
    execution = dataclasses.replace(execution, device=device, threads=threads)
    return Allotment(cpus, gpus, slots, execution)


def _check(execution: Execution, cpus: int, gpus: float, machine: Machine) -> None:
    problems = Problems()
    has = f"this machine has {counted(machine.cpus, 'CPU')} and {counted(machine.gpus, 'GPU')}"
    many_cpus, many_gpus = counted(cpus, "CPU"), counted(gpus, "GPU")
    if cpus > machine.cpus:
        problems.add("execution.resources.cpus", f"{many_cpus} a trial, but {has}. Ask for fewer.")
    if gpus > machine.gpus:
        problems.add(
            "execution.resources.gpus",
            f"{many_gpus} a trial, but {has}. Use device: cpu, or ask for fewer.",
        )
    elif gpus > 1:
        problems.add("execution.resources.gpus", f"{many_gpus} a trial, but a trial computes on one. Use 1.")
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
