"""Leases: a living process holds, a dead one or an old lease does not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from autoreid import running
from autoreid.attempts import Attempt, Outcome
from autoreid.errors import HeldError
from autoreid.folders import Folder, LocalFolder
from autoreid.leases import FILE, TERM_SECONDS, Lease, birth, read_lease
from autoreid.storage import JobFolder, Storage


@pytest.fixture
def here() -> Lease:
    """A lease of this process, renewed at this moment."""
    return Lease.of_this_process()


@pytest.fixture
def elsewhere(here: Lease) -> Lease:
    return replace(here, host="other", table="elsewhere", pid=1)


def test_a_lease_comes_back_as_it_was_written(tmp_path: Path, here: Lease) -> None:
    here.write(LocalFolder(tmp_path))
    assert read_lease(LocalFolder(tmp_path)) == here
    assert str(here).endswith(f", process {os.getpid()}")


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"host": 1}'])
def test_a_damaged_lease_is_none(tmp_path: Path, damage: bytes) -> None:
    LocalFolder(tmp_path).write(FILE, damage)
    assert read_lease(LocalFolder(tmp_path)) is None


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_lease_runs_out(place: str, request: pytest.FixtureRequest) -> None:
    lease: Lease = request.getfixturevalue(place)
    assert lease.holds(lease.renewed + TERM_SECONDS - 1)
    assert not lease.holds(lease.renewed + TERM_SECONDS + 1)
    assert not lease.holds(lease.renewed - TERM_SECONDS - 1)  # a clock far ahead wrote it


def test_the_lease_of_a_dead_process_of_here_holds_no_more(here: Lease) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        lease = replace(here, pid=process.pid, born=birth(process.pid))
        assert lease.holds()
        assert not replace(lease, born="1").holds()  # the number was used again
        process.kill()
        process.wait()
        assert not lease.holds()


def test_of_workers_that_begin_at_once_at_most_one_goes_on(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GIVE_WAY_SECONDS", 0.3)
    workers, storage = 4, Storage(folder)
    together = threading.Barrier(workers)

    def begins(job: JobFolder) -> Attempt | None:
        earlier = job.attempts()
        together.wait(30)
        try:
            return running.take_up(job, earlier)
        except HeldError:
            return None

    with ThreadPoolExecutor(workers) as threads:
        for number in range(3):
            job = storage.job(f"job{number}")
            went_on = [one for one in threads.map(begins, [job] * workers) if one is not None]
            assert len(went_on) <= 1
            assert [one.name for one in job.attempts()] == [one.name for one in went_on]


def test_a_job_is_held_by_its_living_attempts_alone(tmp_path: Path, here: Lease, elsewhere: Lease) -> None:
    job = Storage(tmp_path).job("j")
    assert job.holder() is None
    first = job.new_attempt()
    elsewhere.write(first.folder)
    second = job.new_attempt()
    here.write(second.folder)
    assert job.holder() == elsewhere
    assert [(attempt.number, lease) for attempt, lease in job.held()] == [(1, elsewhere), (2, here)]
    first.finish(Outcome("failed", error="lost"))
    assert job.holder() == here
    job.withdraw(second)
    assert job.holder() is None
    assert [attempt.number for attempt in job.attempts()] == [1]
