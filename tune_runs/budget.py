"""A limit of a launch in hours of computing."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.costs import Plain, costs_plain, device_hours, unit
from tune_runs.estimates import devices_of, left_of, recorded
from tune_runs.planning import Plan
from tune_runs.resources import Allotment, this_machine
from tune_runs.states import states_of

TICK_SECONDS = 1.0


def check_budget(
    plan: Plan, storage: Storage, allotment: Allotment, most: float, write: Callable[[str], None]
) -> None:
    """InputError where the jobs that are left are known to take more hours of computing than `most`.

    Known is the lower end of the interval, of the jobs of which this device has records. Where what is
    expected is more, that is said.
    """
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    left = left_of(plan, states, storage.cancelled(plan.campaign.name))
    estimates = recorded(plan, left, storage, states, *devices_of(allotment, this_machine()))
    known = {job_id: estimate for job_id, estimate in estimates.items() if estimate.here}
    costs = costs_plain(left, known, allotment)
    hours = costs["total"]["hours"]
    if hours is None:
        write(f"{plan.campaign.name}: cost not known; it is stopped at {most:g} {unit(allotment)}")
        return
    if hours["low"] > most:
        raise InputError(f"--max-gpu-hours: {most:g}, but {_words(costs)}. Allow more, or plan fewer jobs.")
    if hours["expected"] > most:
        write(f"{plan.campaign.name}: {_words(costs)}; it is stopped at {most:g}")


def _words(costs: Plain) -> str:
    total = costs["total"]
    low, expected, high = (f"{total['hours'][bound]:.3g}" for bound in ("low", "expected", "high"))
    jobs = f"{total['jobs'] - total['unknown']} of the {total['jobs']} jobs that are left"
    return f"{jobs} take {expected} {costs['unit']} ({low} to {high}) by {'; '.join(costs['sources'])}"


@dataclass(slots=True)
class Meter:
    """Adds up the seconds of trials: at each look those since the last one, times the trials that run."""

    running: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    seconds: float = 0.0
    _last: float | None = None

    def look(self) -> float:
        """The seconds so far."""
        now = self.clock()
        if self._last is not None:
            self.seconds += (now - self._last) * self.running()
        self._last = now
        return self.seconds


@contextlib.contextmanager
def spending_limit(
    most: float | None, allotment: Allotment, running: Callable[[], int], write: Callable[[str], None]
) -> Iterator[None]:
    """After so many hours of computing this process gets SIGUSR1, as at the end of its time.

    `running` says how many trials hold their share of the machine. In the main thread alone, where signals
    are followed.
    """
    if most is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    meter, left = Meter(running), threading.Event()
    meter.look()

    def watch() -> None:
        while not left.wait(TICK_SECONDS):
            if device_hours(allotment, meter.look()) >= most:
                write(f"the {most:g} {unit(allotment)} are spent")
                os.kill(os.getpid(), signal.SIGUSR1)
                return

    thread = threading.Thread(target=watch, name="budget", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
