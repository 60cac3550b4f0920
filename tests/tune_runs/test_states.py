import dataclasses
import subprocess
import sys

import pytest

from autoreid.attempts import Outcome
from autoreid.leases import Lease, birth
from autoreid.storage import Storage
from tune_runs.states import state_of, states_of


def test_states_are_read_from_the_files(tmp_path):
    storage = Storage(tmp_path)
    for job in ("done", "failed", "torn", "nan"):
        attempt = storage.job(job).new_attempt()
        attempt.write("model.pt", b"weights")
        failed = job in ("failed", "nan")
        error = "nan" if failed else None
        attempt.finish(
            Outcome("failed" if failed else "done", facts={"epochs": 3}, error=error, final=job == "nan")
        )
    storage.job("torn").attempts()[0].folder.write("model.pt", b"other")
    storage.job("begun").new_attempt().write_records([{"epoch": 1}, {"epoch": 2}])
    held = storage.job("held").new_attempt()
    held.write_records([{"epoch": 1}])
    Lease.of_this_process().write(held.folder)
    needs = {
        "grandchild": ("child",),
        "child": ("failed",),
        **dict.fromkeys(("done", "failed", "nan", "torn", "begun", "held"), ()),
        "new": ("done",),
    }
    states = states_of(storage, needs)
    assert {job: state.status for job, state in states.items()} == {
        "done": "done",
        "failed": "failed",
        "nan": "failed",
        "torn": "failed",
        "begun": "started",
        "held": "running",
        "new": "waiting",
        "child": "skipped",
        "grandchild": "skipped",
    }
    assert [states[job].epochs for job in ("done", "begun", "held")] == [3, 2, 1]
    assert (states["failed"].error, states["failed"].final, states["nan"].final) == ("nan", False, True)
    assert states["held"].where == str(Lease.of_this_process())
    assert states["child"].error == "needs job failed, which failed"
    assert states["grandchild"].error == "needs job child, which was skipped"
    assert "damaged" in str(states["torn"].error)


def test_a_final_failure_is_no_longer_final_when_somebody_asks_again(tmp_path):
    job = Storage(tmp_path).job("a")
    job.new_attempt().finish(Outcome("failed", error="nan", final=True))
    assert state_of(job).final
    job.ask_again()
    assert (state_of(job).status, state_of(job).final) == ("failed", False)


def test_a_lease_of_a_dead_process_holds_nothing(tmp_path):
    job = Storage(tmp_path).job("a")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lease = dataclasses.replace(Lease.of_this_process(), pid=child.pid, born=birth(child.pid))
    lease.write(job.new_attempt().folder)
    assert state_of(job).status == "running"
    child.communicate(b"\n")
    assert state_of(job).status == "started"


@pytest.mark.parametrize("status", ["waiting", "started", "failed", "done", "running"])
def test_a_cancelled_job_is_skipped_unless_it_is_done_or_runs_still(tmp_path, status):
    storage = Storage(tmp_path)
    attempt = None if status == "waiting" else storage.job("a").new_attempt()
    if attempt is not None:
        attempt.write_records([{"epoch": 1}])
        if status == "running":
            Lease.of_this_process().write(attempt.folder)
        elif status != "started":
            attempt.finish(Outcome(status, facts={"epochs": 1}))
    states = states_of(storage, {"a": (), "b": ("a",)}, {"a"})
    kept = status in ("done", "running")
    assert states["a"].status == (status if kept else "skipped")
    assert states["a"].error == (None if kept else "cancelled")
    assert states["b"].status == ("waiting" if kept else "skipped")
