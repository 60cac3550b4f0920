"""Requests of a campaign to an object store, counted at a local S3 server.

python benchmarks/storage_requests.py [--json] [--history DIR]

Small trainings are run in a storage behind a proxy that counts what passes; each figure is the number of
requests of one thing that happens again and again. Stores ask about ten times as much for a put, a post or a
list as for a get or a head, and nothing for a delete. Exit code 1 where a job or a checkpoint takes more
requests than promised. Needs moto, as the tests do. There is no short form: it takes half a minute.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import ROOT
from side_by_side import Measurement, Promise
from side_by_side import main as side_by_side

sys.path.append(str(ROOT / "tests"))

from local_s3 import Proxy, address, s3_server

from autoreid.data.source import DataSource
from autoreid.execution import Execution
from autoreid.feed import prepare
from autoreid.jobs import Job, train_job
from autoreid.leases import RENEWAL_SECONDS, Lease
from autoreid.published import CDNET_TRAIN
from autoreid.running import run_job
from autoreid.snapshots import write_checkpoint
from autoreid.storage import Storage
from autoreid.values import override
from search_spaces.published import PUBLISHED
from tune_runs.dispatch import LOOK_SECONDS
from tune_runs.standings import standing_of
from tune_runs.states import state_of

SOURCE = DataSource(set="rendered", identities=16, cameras=3, images=2, height=64, width=32)
SMALL = {
    "height": 64,
    "width": 32,
    "width_multiplier": 0.25,
    "batch.identities": 4,
    "batch.images": 2,
    "optimizer.schedule.milestones": [2],
}
DEAR = re.compile(r"(PUT|POST) |GET \S*[?&]list-type=")
RENEWED = re.compile(r"PUT \S*/lease\.json")
LARGE_BYTES = 25 * 2**20
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "an-id",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}
JOB, CHECKPOINT = "a job, apart from its checkpoints", "each checkpoint of less than 10 MiB"
LARGE = "each larger checkpoint, such as one of 25 MiB"
DRIVER, RUNNING, LAUNCH = (
    "a job, by the launch that hands it out",
    "a job that runs, each minute",
    "a launch that runs, each minute",
)
ASKED, LOOKED = "a job that runs, asked to stop", "a finished job, looked at by a launch or `campaign status`"
COLLECTED = "a finished job, collected"


@dataclass(frozen=True, slots=True)
class Count:
    """So many requests, of which so many are put, post or list."""

    requests: int
    dear: int

    def __add__(self, other: Count) -> Count:
        return Count(self.requests + other.requests, self.dear + other.dear)

    def __sub__(self, other: Count) -> Count:
        return Count(self.requests - other.requests, self.dear - other.dear)

    def times(self, number: float) -> Count:
        return Count(round(number * self.requests), round(number * self.dear))


def count(proxy: Proxy, do: Callable[[], Any]) -> Count:
    """The requests that something makes; a lease that is renewed meanwhile counts once."""
    proxy.requests.clear()
    do()
    leases = dict.fromkeys(line for line in proxy.requests if RENEWED.match(line))
    lines = [*leases, *(line for line in proxy.requests if not RENEWED.match(line))]
    return Count(len(lines), sum(bool(DEAR.match(line)) for line in lines))


def counts(proxy: Proxy, cache: Path, prefix: str) -> dict[str, Count]:
    """All figures by their names, from trainings of two and of three epochs with a checkpoint each."""
    storage = Storage(address(proxy.port, prefix))
    storage.check()  # connects
    fingerprint = prepare(SOURCE, 64, 32, cache).fingerprint
    two, three = (
        train_job(
            override(CDNET_TRAIN, SMALL | {"epochs": epochs}),
            fingerprint,
            PUBLISHED["cdnet-top2"],
            train_seed=0,
        )
        for epochs in (2, 3)
    )
    hands_out = _handed_out(proxy, storage, two) + _handed_out(proxy, storage, three)
    execution = Execution(device="cpu", threads=1, checkpoint_minutes=0)

    def train(job: Job) -> Count:
        return count(proxy, lambda: list(run_job(job, storage, SOURCE, execution, cache)))

    short = train(two)
    checkpoint = train(three) - short
    looked = count(proxy, lambda: standing_of(storage.job(three.id)))
    settled = count(proxy, lambda: state_of(storage.job(three.id)))
    return {
        JOB: short - checkpoint.times(2),
        CHECKPOINT: checkpoint,
        LARGE: checkpoint + _larger(proxy, storage),
        DRIVER: hands_out.times(0.5) + settled,
        RUNNING: _renewal(proxy, storage).times(60 / RENEWAL_SECONDS),
        LAUNCH: count(proxy, lambda: storage.cancelled("many")).times(60 / LOOK_SECONDS),
        ASKED: _asked(proxy, storage),
        LOOKED: looked,
        COLLECTED: _collected(proxy, storage, [two, three]),
    }


def _handed_out(proxy: Proxy, storage: Storage, job: Job) -> Count:
    """What a launch asks and writes before a worker has the job."""
    folder = storage.job(job.id)
    return count(proxy, lambda: (state_of(folder), folder.describe(job.plain())))


def _larger(proxy: Proxy, storage: Storage) -> Count:
    """How many requests a checkpoint that goes in parts takes more than one that goes whole."""
    import torch

    attempt = storage.job("large").new_attempt()

    def put(size: int) -> Count:
        state = {"position": {"epoch": 1, "step": 0}, "bytes": torch.zeros(size, dtype=torch.uint8)}
        return count(proxy, lambda: write_checkpoint(attempt, state, 1, "default"))

    return put(LARGE_BYTES) - put(1)


def _renewal(proxy: Proxy, storage: Storage) -> Count:
    folder = storage.job("held").new_attempt().folder
    return count(proxy, lambda: Lease.of_this_process().write(folder))


def _asked(proxy: Proxy, storage: Storage) -> Count:
    """What it takes to find the process that holds a job."""
    found: list[object] = []
    asked = count(proxy, lambda: found.append(storage.job("held").holder()))
    assert found[0] is not None
    return asked


def _collected(proxy: Proxy, storage: Storage, jobs: list[Job]) -> Count:
    """A job's share: what a collection of two jobs takes more than that of one."""
    from analysis.collect import collect

    def collection(some: list[Job]) -> Count:
        entries = [{"job": job.id, "arm": "a", "repeat": n, "kind": job.kind} for n, job in enumerate(some)]
        plain = {job.id: job.plain() for job in some}
        storage.write_manifest("many", {"version": 1, "name": "many", "entries": entries, "jobs": plain})
        with tempfile.TemporaryDirectory() as output:
            found: list[Any] = []
            counted = count(proxy, lambda: found.append(collect(storage, output)))
        assert not found[0].warnings
        return counted

    return collection(jobs) - collection(jobs[:1])


def line(name: str, found: Count) -> str:
    """A line of the table in docs/storage.md."""
    return f"| {name} | {found.requests} | {found.dear or 'none'} |"


def measure(options: argparse.Namespace) -> list[Measurement]:
    import os

    os.environ.update(ENVIRONMENT)
    options.rounds = 1
    with tempfile.TemporaryDirectory() as cache, s3_server() as port:
        proxy = Proxy(port)
        try:
            found = counts(proxy, Path(cache), "requests")
        finally:
            proxy.close()
    return [
        Measurement("storage_requests", name, extra={"requests": one.requests, "put_post_or_list": one.dear})
        for name, one in found.items()
    ]


PROMISES = (
    Promise(JOB, "requests", most=25),
    Promise(CHECKPOINT, "requests", most=2),
    Promise(RUNNING, "requests", most=3),
)


if __name__ == "__main__":
    sys.exit(side_by_side("storage_requests", measure, promises=PROMISES, summary=__doc__))
