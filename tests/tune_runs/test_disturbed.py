"""Campaigns that are killed, stopped, doubled and refused: rerunning the same command finishes each of them,
and the outcome equals that of an undisturbed one bit for bit. No finished work is done again."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from disturbed import (
    JOBS,
    PATIENCE_SECONDS,
    attempts,
    autoreid,
    check,
    finish,
    living_in_session,
    refusing,
    start,
    wait_until,
    workers,
)
from local_s3 import BUCKET, address

from autoreid.folders import open_folder
from autoreid.leases import read_lease
from autoreid.records import TABLES
from autoreid.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.ray]
REUSED = "--set=execution.reuse_processes=true"


@pytest.fixture(autouse=True)
def shared_cache(cache_folder, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(cache_folder))


@pytest.fixture
def chance():
    """Random moments; a failed test shows the seed, which AUTOREID_SEED gives again."""
    seed = int(os.environ.get("AUTOREID_SEED", random.SystemRandom().randrange(10**6)))
    print(f"AUTOREID_SEED={seed}")
    return random.Random(seed)


def starts(line):
    return "starts" in line


def epoch(line):
    return "epoch" in line


def test_workers_that_are_killed_or_asked_to_stop_are_replaced(tmp_path, undisturbed, chance):
    run, storage = start(tmp_path), Storage(tmp_path / "storage")
    run.wait_for(starts)
    for number in (signal.SIGKILL, signal.SIGTERM):
        time.sleep(chance.uniform(0, 8))
        wait_until(lambda: workers(storage) or run.process.poll() is not None)
        for pid in workers(storage)[:1]:
            os.kill(pid, number)
            run.wait_for(lambda line: "attempt 2 of 4 in 10 s" in line or "done" in line)
    assert run.end(0)["jobs"] == JOBS
    check(tmp_path, undisturbed)


@pytest.mark.parametrize(("times", "whole_group"), [(2, False), (1, True)])
def test_a_launch_that_is_killed_is_finished(tmp_path, undisturbed, chance, times, whole_group):
    killed = []
    for _ in range(times):
        killed.append(start(tmp_path))
        killed[-1].wait_for(starts)
        time.sleep(chance.uniform(0, 12))
        killed[-1].kill(whole_group)
    finish(tmp_path, undisturbed)
    wait_until(lambda: not any(living_in_session(run.process.pid) for run in killed))


@pytest.mark.parametrize("flags", [(), ("--max-hours", "0.004")])
def test_a_launch_that_is_asked_to_stop_checkpoints_and_ends(tmp_path, undisturbed, chance, flags):
    run = start(tmp_path, REUSED, *flags)
    run.wait_for(starts)
    if not flags:
        time.sleep(chance.uniform(0, 10))
        run.process.terminate()
    assert run.end(75)["unfinished"]
    assert ("the 0.004 hours are over" in run.lines) == bool(flags)
    assert not any("force" in line or "attempt" in line for line in run.lines)
    assert living_in_session(run.process.pid) == []
    storage = Storage(tmp_path / "storage")
    for job in storage.jobs():
        for attempt in storage.job(job).attempts():
            assert attempt.outcome() is not None or "stopped after" in attempt.read_log()
            assert read_lease(attempt.folder) is None
    finish(tmp_path, undisturbed)


def test_two_launches_at_once_share_the_work(tmp_path, undisturbed):
    runs = [start(tmp_path), start(tmp_path)]
    answers = [run.end(0) for run in runs]
    assert sum(answer["ran"] for answer in answers) == JOBS
    for answer in answers:
        assert answer["ran"] + answer["reused"] + answer["elsewhere"] == JOBS
    assert [len(names) for names in attempts(Storage(tmp_path / "storage")).values()] == [1] * JOBS
    check(tmp_path, undisturbed)


ZOMBIE = """\
import sys
from pathlib import Path
from autoreid.data.source import default_cache
from autoreid.execution import Execution
from autoreid.running import run_job
from autoreid.storage import Storage
from tune_runs.campaign import load_campaign
from tune_runs.opening import read_data
campaign = load_campaign(sys.argv[1])
plan, _ = read_data(campaign)
job = next(job for job in plan.jobs.values() if job.kind == "train" and not job.needs)
storage, execution = Storage(sys.argv[2]), Execution(device="cpu", threads=1)
for row in run_job(job, storage, campaign.source, execution, default_cache()):
    print(job.id, flush=True)
"""


def test_a_zombie_that_writes_after_its_successor_harms_nobody(tmp_path, undisturbed):
    file, storage = tmp_path / "disturbed.yaml", Storage(tmp_path / "storage")
    start(tmp_path).kill()  # writes the file
    command = [sys.executable, "-c", ZOMBIE, str(file), str(tmp_path / "storage")]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as zombie:
        job = zombie.stdout.readline().strip()
        zombie.send_signal(signal.SIGSTOP)
        (attempt,) = storage.job(job).attempts()
        dataclasses.replace(read_lease(attempt.folder), renewed=0.0).write(attempt.folder)
        start(tmp_path).end(0)
        successor, _ = storage.job(job).finished()
        assert successor.number == 2
        zombie.send_signal(signal.SIGCONT)
        assert zombie.wait(PATIENCE_SECONDS) == 0
    assert storage.job(job).finished()[0].number == 1
    check(tmp_path, undisturbed)


@pytest.mark.parametrize(("kind", "words"), [("read-only", "Read-only"), ("full", "No space left")])
def test_a_storage_that_refuses_for_a_while(tmp_path, undisturbed, kind, words):
    with refusing(tmp_path, kind) as place:
        retries = {"read-only": 0, "full": 3}[kind]
        run = start(
            tmp_path, f"--set=execution.retries={retries}", storage=place.storage, **place.environment
        )
        run.wait_for(epoch)
        place.refuse()
        line = run.wait_for(lambda line: "FAILED" in line or "attempt 2" in line)
        assert words in line or kind in line
        if retries:
            place.allow()
            assert run.end(0)["ran"] == JOBS
            check(tmp_path, undisturbed, place.storage)
        else:
            assert run.end(1)["failed"]
            place.allow()
            finish(tmp_path, undisturbed, place.storage)


def test_a_storage_in_s3_that_is_away_for_a_while(tmp_path, undisturbed, s3_port, proxy):
    name = tmp_path.name
    run = start(tmp_path, storage=address(proxy.port, name))
    run.wait_for(epoch)
    proxy.refuse()
    line = run.wait_for(lambda line: "FAILED" in line or "attempt 2" in line)
    assert "attempt 2" in line and "AWS Error NETWORK_CONNECTION" in line
    proxy.restore()
    assert run.end(0)["ran"] == JOBS
    storage = address(s3_port, name)
    check(tmp_path, undisturbed, storage)
    files = autoreid("tables", "collect", storage)["files"]
    assert files == [f"s3://{BUCKET}/{name}/tables/{table}/disturbed.parquet" for table in TABLES]
    assert autoreid("report", storage)["report"] == f"s3://{BUCKET}/{name}/report/report.html"
    assert b"cdnet-top2" in open_folder(storage).read("report/report.html")


def test_a_cancelled_job_stops_within_seconds_and_is_taken_up_again(tmp_path, undisturbed):
    run, folder = start(tmp_path, REUSED), str(tmp_path / "storage")
    run.wait_for(starts)
    storage = Storage(folder)
    jobs = storage.read_manifest("disturbed")["jobs"]
    search = next(job for job, plain in jobs.items() if plain["kind"] == "search")
    needing = next(job for job, plain in jobs.items() if plain["inputs"].get("job") == search)
    wait_until(lambda: storage.job(search).holder())
    worker = storage.job(search).holder().pid
    os.kill(worker, signal.SIGSTOP)  # else the job might be done first
    assert search in autoreid("campaign", "cancel", folder, search[:8])["cancelled"]
    os.kill(worker, signal.SIGCONT)
    answer = run.end(1)
    assert answer["skipped"] == {search: "cancelled", needing: f"needs job {search}, which was skipped"}
    assert start(tmp_path).end(1)["skipped"] == answer["skipped"]
    assert autoreid("campaign", "retry", folder)["taken_up"] == [search]
    finish(tmp_path, undisturbed)
