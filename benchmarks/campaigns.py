"""Campaigns of instant jobs: what a job costs beside its own work, with reused and with fresh processes.

python benchmarks/campaigns.py [--jobs 500] [--fresh 20] [--known 10000] [--short] [--json] [--history DIR]

Every job reports one epoch and writes an attempt with an outcome, as real ones do, and computes nothing. Each
measurement is a launch in a process of its own, on a new storage in the folder for temporary files; jobs
"with torch" import the engine, as real ones do. `--known` jobs are handed out and settled by the driver in
memory, without Ray. Exit code 1 where a promise is not kept: 500 jobs in 60 s where processes are reused, a
driver below 1 GB, 5 s a fresh process. On a busy machine its processor seconds are the figure to rely on. The
short form has ten fresh processes of each kind.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from large_plans import peak_bytes, plan_of
from side_by_side import Measurement, Promise
from side_by_side import main as side_by_side

from autoreid.attempts import Outcome
from autoreid.cli import answer, say
from autoreid.execution import Execution
from autoreid.jobs import Job
from autoreid.storage import Storage
from tune_runs.dispatch import Dispatch
from tune_runs.launch import run_plan
from tune_runs.progress import Progress, silent
from tune_runs.releases import Releases
from tune_runs.resources import Allotment
from tune_runs.states import State

MOST_SECONDS, MOST_BYTES, MOST_FRESH_SECONDS = 60.0, 1e9, 5.0


def instant(with_torch: bool) -> Callable[..., Generator[dict[str, Any], None, bool]]:
    """An engine that does nothing; a closure, so that Ray sends it to the workers by value."""

    def run(
        job: Job, storage: Storage, source: Any, execution: Execution, cache: Path, stop: Any
    ) -> Generator[dict[str, Any], None, bool]:
        import os
        import time

        if with_torch:
            import autoreid.running  # noqa: F401
        attempt = storage.job(job.id).new_attempt()
        yield {"epoch": 1, "loss": 1.0}
        # The processor seconds of the whole process, from its start.
        facts = {"epochs": 1, "process": os.getpid(), "cpu_seconds": time.process_time()}
        attempt.finish(Outcome("done", facts=facts))
        return True

    return run


def measure_launch(jobs: int, reuse: bool, slots: int, with_torch: bool) -> dict[str, Any]:
    """In this process: launch a plan of instant jobs and time it."""
    plan, lines = plan_of(jobs, reuse), []

    def note(line: str) -> None:
        lines.append((time.perf_counter(), line))

    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        allotment = Allotment(1, 0, slots, Execution(device="cpu", threads=1))
        begin = time.perf_counter()
        summary = run_plan(plan, storage, allotment, instant(with_torch), note)
        seconds = time.perf_counter() - begin
        finished = [storage.job(job).finished() for job in plan.jobs]
    assert summary.exit_code == 0
    first = next(moment for moment, line in lines if "starts" in line)
    last = max(moment for moment, line in lines if "done in" in line)
    return {
        "jobs": len(plan.jobs),
        "reuse": reuse,
        "slots": slots,
        "torch": with_torch,
        "seconds": seconds,
        "jobs_seconds": last - first,
        "processes": len({found[1].facts["process"] for found in finished if found}),
        "cpu_seconds": statistics.median(found[1].facts["cpu_seconds"] for found in finished if found),
        "driver_peak_bytes": peak_bytes(),
    }


class Memory:
    """Surroundings without files: every job is done once it has been handed out."""

    def __init__(self) -> None:
        self.begun: set[str] = set()

    def state(self, job: str) -> State:
        return State("done" if job in self.begun else "waiting")

    def describe(self, job: str) -> None:
        self.begun.add(job)

    def cancelled(self) -> frozenset[str]:
        return frozenset()

    def interrupt(self, jobs: Any) -> None:
        pass


def measure_known(jobs: int) -> dict[str, Any]:
    """In this process: what the driver does for a large plan, without Ray."""
    plan = plan_of(jobs, reuse=True)
    begin = time.perf_counter()
    needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
    dispatch = Dispatch(Releases(needs), Memory(), Progress(plan, write=silent), slots=16)
    while not dispatch.over or len(dispatch.releases.done) < len(needs):
        while dispatch.next() is not None:
            pass
        for job in list(dispatch.releases.running):
            dispatch.ended(job, None, None)
    return {
        "jobs": len(plan.jobs),
        "dispatch_seconds": time.perf_counter() - begin,
        "driver_peak_bytes": peak_bytes(),
    }


def in_own_process(name: str, *given: Any) -> dict[str, Any]:
    """Run a measurement in a new process: its peak memory is then its own."""
    say(f"{name} {' '.join(map(str, given))}")
    command = [sys.executable, __file__, "--measure", json.dumps([name, *given])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def name_of(row: dict[str, Any]) -> str:
    kind = ("reused" if row["reuse"] else "fresh") + (", with torch" if row["torch"] else "")
    return f"{kind}, {row['slots']} at once"


def launched(row: dict[str, Any]) -> Measurement:
    """A launch. A job's seconds: of a slot, from the first job's start to the last one's end."""
    extra = {
        "jobs": row["jobs"],
        "processes": row["processes"],
        "seconds_for_the_jobs": row["jobs_seconds"],
        "seconds_a_job": row["jobs_seconds"] * row["slots"] / row["jobs"],
        "driver_gigabytes": row["driver_peak_bytes"] / 1e9,
        "launch_seconds_a_job": row["seconds"] / row["jobs"],
    }
    extra |= {} if row["reuse"] else {"processor_seconds_a_job": row["cpu_seconds"]}
    return Measurement("campaigns", name_of(row), row["seconds"], extra=extra)


def measure_all(options: argparse.Namespace) -> list[Measurement]:
    options.rounds = 1
    count = options.fresh or (10 if options.short else 20)
    reused = in_own_process("launch", options.jobs, True, 2, False)
    fresh = [in_own_process("launch", count, False, slots, torch) for slots, torch in FRESH]
    known = in_own_process("known", options.known)
    driver = {"jobs": known["jobs"], "driver_gigabytes": known["driver_peak_bytes"] / 1e9}
    in_memory = Measurement("campaigns", "settled in memory", known["dispatch_seconds"], extra=driver)
    return [*map(launched, [reused, *fresh]), in_memory]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--fresh", type=int, help="default: 20, 10 in the short form")
    parser.add_argument("--known", type=int, default=10000)


# (at once, with torch)
FRESH = ((1, False), (1, True), (2, True))
MEASUREMENTS: dict[str, Callable[..., dict[str, Any]]] = {"launch": measure_launch, "known": measure_known}
REUSED = name_of({"reuse": True, "torch": False, "slots": 2})
PROMISES = (
    Promise(REUSED, "launch_seconds_a_job", most=MOST_SECONDS / 500),
    Promise(REUSED, "driver_gigabytes", most=MOST_BYTES / 1e9),
    *(
        Promise(
            name_of({"reuse": False, "torch": torch, "slots": slots}),
            "seconds_a_job",
            most=MOST_FRESH_SECONDS * slots,
        )
        for slots, torch in FRESH
    ),
)


def main() -> int:
    if sys.argv[1:2] == ["--measure"]:
        name, *given = json.loads(sys.argv[2])
        answer(MEASUREMENTS[name](*given), "", as_json=True)
        return 0
    return side_by_side("campaigns", measure_all, configure, promises=PROMISES, summary=__doc__)


if __name__ == "__main__":
    sys.exit(main())
