"""What the jobs of a plan that are left will cost, by the records of a storage, else by a probe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping

from autoreid.storage import Storage
from tune_runs.costs import Estimate, Left
from tune_runs.evidence import Device, Records
from tune_runs.planning import Plan
from tune_runs.resources import Allotment, Machine
from tune_runs.states import State

# Takes jobs of which nothing is recorded, and measures them.
Probe = Callable[[Collection[str]], Mapping[str, Estimate]]


def left_of(plan: Plan, states: Mapping[str, State], cancelled: Container[str] = ()) -> dict[str, Left]:
    """The jobs of a plan that are to be run, in launch order; of one that was begun what is left of it."""
    waiting = State("waiting")
    found = {}
    for job_id, job in plan.jobs.items():
        state = states.get(job_id, waiting)
        if state.status != "done" and job_id not in cancelled:
            found[job_id] = Left(job.kind, job.needs, max(1 - state.epochs / job.epochs, 0.0), job.alone)
    return found


def recorded(
    plan: Plan,
    left: Collection[str],
    storage: Storage,
    states: Mapping[str, State],
    device: Device | None,
    alone: Device | None = None,
) -> dict[str, Estimate]:
    """What jobs take by the records of a storage, as far as these tell; on `device`, those that run alone on
    `alone`."""
    begun = [job_id for job_id, state in states.items() if state.attempts]
    records = Records(storage, plan.jobs, begun)
    found = (
        (job_id, records.estimate(job_id, alone if plan.jobs[job_id].alone else device)) for job_id in left
    )
    return {job_id: estimate for job_id, estimate in found if estimate is not None}


def devices_of(allotment: Allotment, machine: Machine) -> tuple[Device | None, Device | None]:
    """What computes a trial of this machine, as its records name it, and one that runs alone; None where it
    has no such device."""
    import torch  # deferred: heavy

    from autoreid.facts import processor_name

    if allotment.gpus and not machine.gpus:
        return None, None
    name = torch.cuda.get_device_name(0) if allotment.gpus else processor_name()
    return (name, allotment.execution.threads), (name, allotment.alone.threads)
