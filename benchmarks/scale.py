"""A campaign of 100,000 jobs on 1,000 GPUs, in simulated time: what its launch and its storage have to do.

python benchmarks/scale.py [--jobs 100000] [--slots 1000] [--short] [--json] [--history DIR]

The searcher, dispatch, queue and progress are those of every launch, and so are manifest, states, status and
collection; trials are not run. A trial's seconds are drawn (log-normal, an hour in the middle), one in 200
attempts dies half-way, and a clock is moved from one end to the next. Then the files of all jobs are written,
small ones, and looked at and collected; some are also put in a local S3 server that answers late. Phases are
timed at a fifth of the jobs too: what grows faster than the jobs is named by `growth`, the seconds of a job
through those of a job at a fifth. Exit code 1 where a phase grows by half, or the launch takes more than a
millisecond a job. The short form has 5,000 jobs. The disk has to hold them: about 40 KB each.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import collection
from large_plans import peak_bytes, plan_of
from side_by_side import Measurement, Promise
from side_by_side import main as side_by_side

from autoreid.cli import say
from autoreid.storage import Storage
from tune_runs.dispatch import Dispatch
from tune_runs.manifest import change_of, save_manifest
from tune_runs.nodes import Nodes
from tune_runs.planning import Plan
from tune_runs.progress import Progress, silent
from tune_runs.releases import Releases
from tune_runs.states import State

HOUR, SPREAD, DYING = 3600.0, 0.5, 1 / 200
REPORTS, NODES, EPOCHS = 5, 125, 5
MOST_GROWTH, MOST_MILLISECONDS = 1.5, 1.0
ANSWER_SECONDS = 0.02
STORE = "states, all finished, in a store that answers in 20 ms"
LAUNCH = "searcher, dispatch and queue"

Seconds = dict[str, float]


@contextmanager
def phase(seconds: Seconds, name: str) -> Iterator[None]:
    """Adds the processor seconds of what is done within."""
    begin = time.process_time()
    yield
    seconds[name] = time.process_time() - begin


class Surroundings:
    """The files of jobs, in memory, and how often they are asked for."""

    def __init__(self) -> None:
        self.attempts: dict[str, int] = {}
        self.done: set[str] = set()
        self.asked = 0

    def state(self, job: str) -> State:
        self.asked += 1
        if job in self.done:
            return State("done", attempts=self.attempts[job])
        return State("waiting" if job not in self.attempts else "started", attempts=self.attempts.get(job, 0))

    def describe(self, job: str) -> None:
        self.attempts[job] = self.attempts.get(job, 0) + 1

    def cancelled(self) -> frozenset[str]:
        return frozenset()

    def interrupt(self, jobs: Any) -> None:
        raise AssertionError("nobody asks to stop")


class Simulated:
    """A launch whose trials are drawn: `now` is the simulated second."""

    def __init__(self, plan: Plan, slots: int) -> None:
        # Deferred: loads Ray, of which nothing is started.
        from tune_runs.searcher import JobSearcher

        self.now, self.chance = 0.0, random.Random(0)
        self.site, self.slots = Surroundings(), slots
        needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
        names = {f"node{number}": f"node{number}" for number in range(NODES)}
        self.dispatch = Dispatch(
            Releases(needs),
            self.site,
            Progress(plan, write=silent, clock=self.clock),
            slots=slots,
            retries=3,
            nodes=Nodes(names),
            clock=self.clock,
        )
        self.searcher = JobSearcher(self.dispatch, lambda: None)
        self.ends: list[tuple[float, int, bool]] = []
        self.busy = 0.0
        self.trials = 0

    def clock(self) -> float:
        return self.now

    def run(self) -> None:
        """Hand out jobs until none is left, as Tune does."""
        while True:
            while (config := self.searcher.suggest(str(self.trials))) is not None:
                if config == "FINISHED":
                    return
                self._begin()
            if self.ends:
                self._end()
            else:
                self.now += 1.0  # a retry is due

    def _begin(self) -> None:
        seconds = HOUR * math.exp(self.chance.gauss(0.0, SPREAD))
        dies = self.chance.random() < DYING
        seconds *= 0.5 if dies else 1.0
        self.busy += seconds
        heapq.heappush(self.ends, (self.now + seconds, self.trials, dies))
        self.trials += 1

    def _end(self) -> None:
        self.now, number, dies = heapq.heappop(self.ends)
        trial = str(number)
        node = f"node{number % NODES}"
        for epoch in range(1 if dies else REPORTS):
            self.searcher.on_trial_result(trial, {"epoch": epoch + 1, "loss": 1.0, "node": node})
        if not dies:
            self.site.done.add(self.searcher.trials[trial])
        self.searcher.on_trial_complete(trial, {} if not dies else None, error=dies)


def measure_launch(jobs: int, slots: int) -> dict[str, Any]:
    """In this process: plan, and hand out and settle all jobs."""
    seconds: Seconds = {}
    with phase(seconds, "jobs and their ids"):
        plan = plan_of(jobs, reuse=False)
    with tempfile.TemporaryDirectory() as place:
        storage = Storage(place)
        with phase(seconds, "write the manifest"):
            save_manifest(storage, plan)
        with phase(seconds, "compare with the manifest"):
            assert not str(change_of(storage, plan))
    simulated = Simulated(plan, slots)
    with phase(seconds, LAUNCH):
        simulated.run()
    releases = simulated.dispatch.releases
    assert len(releases.done) == len(plan.jobs) and not releases.failed
    return {
        "jobs": len(plan.jobs),
        "seconds": seconds,
        "attempts": simulated.trials,
        "looks": simulated.site.asked,
        "hours": simulated.now / HOUR,
        "busy": simulated.busy / (slots * simulated.now),
        "peak_bytes": peak_bytes(),
    }


def measure_storage(jobs: int, slots: int) -> dict[str, Any]:
    """In this process: write the files of all jobs, look at them and collect them."""
    from analysis.collect import collect
    from tune_runs.standings import Memory
    from tune_runs.states import states_of
    from tune_runs.status import status_plain

    seconds: Seconds = {}
    collection.EPOCHS = EPOCHS
    with tempfile.TemporaryDirectory() as place:
        storage = Storage(place)
        begin = time.perf_counter()
        planned = collection.write_storage(Path(place), jobs)
        say(f"{len(planned)} jobs written in {time.perf_counter() - begin:.0f} s")
        manifest = storage.folder.read("campaigns/many/manifest.json")
        with phase(seconds, "read the manifest"):
            storage.read_manifest("many")
        needs = {job.id: job.needs for job in planned.values()}
        with phase(seconds, "states, all finished"):
            assert {state.status for state in states_of(storage, needs).values()} == {"done"}
        memory = Memory(storage)
        with phase(seconds, "status of the storage"):
            assert status_plain(storage, memory)["campaigns"][0]["jobs"]["done"] == len(needs)
        with phase(seconds, "status again, as it is watched"):
            status_plain(storage, memory)
        with phase(seconds, "collection from scratch"):
            assert not collect(place).warnings
        with phase(seconds, "collection, nothing new"):
            collect(place)
    return {
        "jobs": len(needs),
        "seconds": seconds,
        "manifest_megabytes": len(manifest) / 1e6,
        "peak_bytes": peak_bytes(),
    }


def measure_store(jobs: int, slots: int) -> dict[str, Any]:
    """In this process: how long finished jobs take to look at in a store whose answers take 20 ms."""
    import os

    from storage_requests import ENVIRONMENT, Proxy, address, s3_server

    from autoreid import many
    from autoreid.attempts import Outcome
    from tune_runs.states import states_of

    os.environ.update(ENVIRONMENT)
    seconds = {}
    with s3_server() as port:
        proxy = Proxy(port)
        storage = Storage(address(proxy.port, "scale"))
        names = [f"job{number}" for number in range(jobs)]
        for name in names:
            attempt = storage.job(name).new_attempt([])
            attempt.write_records([{"epoch": 1, "loss": 1.0}])
            attempt.finish(Outcome("done", facts={"epochs": 1}))
        proxy.before = lambda line: time.sleep(ANSWER_SECONDS)
        for at_once in (1, many.AT_ONCE):
            many.AT_ONCE = at_once
            begin = time.perf_counter()
            assert {state.status for state in states_of(storage, dict.fromkeys(names, ())).values()} == {
                "done"
            }
            seconds[at_once] = time.perf_counter() - begin
        proxy.close()
    return {f"milliseconds_a_job_{count}_at_once": 1e3 * whole / jobs for count, whole in seconds.items()}


def in_own_process(name: str, jobs: int, slots: int) -> dict[str, Any]:
    """A measurement in a new process: its peak memory is then its own."""
    say(f"{name}, {jobs} jobs")
    command = [sys.executable, __file__, "--measure", json.dumps([name, jobs, slots])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def rows(whole: dict[str, Any], fifth: dict[str, Any]) -> Iterator[Measurement]:
    """The phases of a measurement, beside the same with fewer jobs."""
    for name, busy in whole["seconds"].items():
        each, before = busy / whole["jobs"], fifth["seconds"][name] / fifth["jobs"]
        growth = each / max(before, 1e-9)
        extra = {"jobs": whole["jobs"], "milliseconds_a_job": 1e3 * each, "growth": growth}
        yield Measurement("scale", name, processor_seconds=busy, extra=extra)


def measure_all(options: argparse.Namespace) -> list[Measurement]:
    options.rounds = 1
    jobs = options.jobs or (5_000 if options.short else 100_000)
    found: list[Measurement] = []
    peaks = {}
    for name in ("launch", "storage"):
        fifth, whole = (in_own_process(name, count, options.slots) for count in (jobs // 5, jobs))
        found += rows(whole, fifth)
        peaks[f"{name}_gigabytes"] = whole.pop("peak_bytes") / 1e9
        peaks |= {key: value for key, value in whole.items() if key not in ("jobs", "seconds")}
    store = in_own_process("store", 20 if options.short else 200, options.slots)
    found.append(Measurement("scale", STORE, extra=store))
    return [*found, Measurement("scale", "as a whole", extra={"slots": options.slots, **peaks})]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, help="default: 100000, 5000 in the short form")
    parser.add_argument("--slots", type=int, default=1000, help="jobs at once (default: 1000)")


MEASUREMENTS = {"launch": measure_launch, "storage": measure_storage, "store": measure_store}
PROMISES = (
    Promise(LAUNCH, "milliseconds_a_job", most=MOST_MILLISECONDS),
    Promise(LAUNCH, "growth", most=MOST_GROWTH),
    Promise("states, all finished", "growth", most=MOST_GROWTH),
    Promise("status of the storage", "growth", most=MOST_GROWTH),
    Promise("collection from scratch", "growth", most=MOST_GROWTH),
)


def main() -> int:
    if sys.argv[1:2] == ["--measure"]:
        name, *given = json.loads(sys.argv[2])
        print(json.dumps(MEASUREMENTS[name](*given)))
        return 0
    return side_by_side("scale", measure_all, configure, promises=PROMISES, summary=__doc__)


if __name__ == "__main__":
    sys.exit(main())
