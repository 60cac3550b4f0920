"""What jobs take by the records of a storage."""

from __future__ import annotations

import pytest
from campaigns import FINGERPRINT, small

from autoreid.attempts import INTERRUPTED, Outcome
from autoreid.folders import to_json
from autoreid.storage import Storage
from tune_runs.estimates import left_of, recorded
from tune_runs.planning import make_plan
from tune_runs.states import states_of

HERE = ("a processor", 1)


def planned(*settings):
    return make_plan(small(*settings), FINGERPRINT)


def job_of(plan, arm, kind, repeat=0):
    return next(e.job for e in plan.entries if (e.arm, e.kind, e.repeat) == (arm, kind, repeat))


def does(storage, plan, job_id, seconds, *, epochs=2, each=10.0, device=HERE, status="done"):
    """A job that took so many seconds, of them `each` for every epoch."""
    folder = storage.job(job_id)
    folder.describe(plan.jobs[job_id].plain())
    attempt = folder.new_attempt()
    attempt.write_records(
        [{"epoch": n + 1, "wall_seconds": each - 1, "health_seconds": 1} for n in range(epochs)]
    )
    facts = {"wall_seconds": seconds, "device": device[0], "threads": device[1], "peak_memory_bytes": 2**30}
    facts["epochs"] = epochs
    if status == "begun":
        attempt.folder.write(INTERRUPTED, to_json(facts))
        attempt.folder.write("checkpoints/00002.pt", bytes(700))
    else:
        attempt.finish(Outcome(status, facts=facts))


def estimates(storage, plan, device=HERE):
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    return recorded(plan, left_of(plan, states), storage, states, device)


def test_jobs_that_differ_in_their_seeds_alone_tell_of_each_other(tmp_path):
    storage, plan = Storage(tmp_path), planned("repeats=4")
    for repeat, seconds in enumerate((90.0, 100.0, 110.0)):
        does(storage, plan, job_of(plan, "a", "search", repeat), seconds)
    does(storage, plan, job_of(plan, "a", "train"), 60.0, epochs=3)
    found = estimates(storage, plan)
    searched = found[job_of(plan, "a", "search", 3)]
    assert (searched.expected, searched.source) == (100.0, "jobs with other seeds")
    # Student's prediction interval for one more of three: 4.303 * 10 * sqrt(4 / 3).
    assert searched.high == pytest.approx(149.7, abs=0.05) and searched.low == pytest.approx(
        1e4 / 149.7, rel=1e-3
    )
    assert searched.peak_memory_bytes == 2**30 and searched.kept_bytes > 0
    # A training of what another search found is the same question.
    trained = found[job_of(plan, "a", "train", 3)]
    assert (trained.expected, trained.high) == (60.0, 75.0)
    assert {job_id for job_id in found if job_id in {e.job for e in plan.entries if e.arm == "b"}} == set()


def test_jobs_of_the_same_sizes_tell_the_time_of_an_epoch(tmp_path):
    storage, before = Storage(tmp_path), planned("repeats=1")
    does(storage, before, job_of(before, "a", "search"), 25.0)
    plan = planned("repeats=1", "search.epochs=10", "search.optimizer.learning_rate=0.1")
    found = estimates(storage, plan)
    # 5 seconds beside the epochs, and 10 for each.
    assert found[job_of(plan, "a", "search")].expected == 105.0
    assert found[job_of(plan, "a", "search")].source == "jobs of the same sizes"
    assert len(found) == 1
    other = planned("repeats=1", "search.k=3", "search.epochs=10")
    assert estimates(storage, other) == {}


def test_selections_of_searches_of_the_same_sizes_tell_of_each_other(tmp_path):
    storage, before = Storage(tmp_path), planned("repeats=2", "select=supernet")
    for repeat in (0, 1):
        does(storage, before, job_of(before, "a", "search", repeat), 25.0)
    does(storage, before, job_of(before, "a", "select"), 12.0, epochs=2, each=5.0)
    plan = planned("repeats=2", "select=supernet", "search.optimizer.learning_rate=0.1")
    found = estimates(storage, plan)[job_of(plan, "a", "select")]
    assert (found.expected, found.source) == (12.0, "jobs of the same sizes")
    for other in ("repeats=3", "search.k=3", "select=retrain"):
        plan = planned("repeats=2", "select=supernet", other)
        assert job_of(plan, "a", "select") not in estimates(storage, plan)


def test_jobs_that_have_begun_tell_the_time_of_an_epoch(tmp_path):
    storage, plan = Storage(tmp_path), planned("repeats=2", "search.epochs=8")
    first, second = (job_of(plan, "a", "search", repeat) for repeat in (0, 1))
    does(storage, plan, first, 25.0, status="begun")
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    left = left_of(plan, states)
    found = recorded(plan, left, storage, states, HERE)
    assert found[second].expected == found[first].expected == 80.0
    assert (found[second].source, found[second].checkpoint_bytes) == ("epochs of jobs that have begun", 700)
    assert (left[first].share, left[second].share) == (0.75, 1.0)


def test_failed_attempts_do_not_count_and_interrupted_ones_do(tmp_path):
    storage, plan = Storage(tmp_path), planned("repeats=2")
    first, second = (job_of(plan, "a", "search", repeat) for repeat in (0, 1))
    does(storage, plan, first, 500.0, status="failed")
    does(storage, plan, first, 40.0, status="begun")
    does(storage, plan, first, 60.0)
    assert estimates(storage, plan)[second].expected == 100.0


def test_records_of_this_machine_come_before_those_of_others_which_are_named(tmp_path):
    storage, plan = Storage(tmp_path), planned("repeats=4")
    does(storage, plan, job_of(plan, "a", "search", 0), 50.0, device=("a GPU", 4))
    (only,) = {found.source for found in estimates(storage, plan).values()}
    assert only == "jobs with other seeds on a GPU with 4 threads"
    assert {found.source for found in estimates(storage, plan, None).values()} == {only}
    assert {found.here for found in estimates(storage, plan).values()} == {False}
    does(storage, plan, job_of(plan, "a", "search", 1), 200.0)
    found = estimates(storage, plan)[job_of(plan, "a", "search", 3)]
    assert (found.expected, found.source, found.here) == (200.0, "jobs with other seeds", True)


def test_what_is_cancelled_or_done_is_not_left(tmp_path):
    storage, plan = Storage(tmp_path), planned("repeats=1")
    first, *others = plan.jobs
    does(storage, plan, first, 1.0)
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    assert list(left_of(plan, states, {others[0]})) == others[1:]


def test_damaged_records_say_nothing(tmp_path):
    storage, before = Storage(tmp_path), planned("repeats=1")
    does(storage, before, job_of(before, "a", "search"), 25.0)
    broken, (folder,) = job_of(before, "b", "search"), [storage.job(job_of(before, "b", "search")).folder]
    does(storage, before, broken, 25.0)
    folder.write("job.json", b"{")
    plan = planned("repeats=1", "search.epochs=10")
    assert list(estimates(storage, plan)) == [job_of(plan, "a", "search")]
    third = planned("repeats=2")
    does(storage, third, job_of(third, "a", "train", 1), 25.0)
    (attempt,) = storage.job(job_of(third, "a", "train", 1)).attempts()
    attempt.folder.write("records.jsonl", b"{")
    assert job_of(third, "a", "train", 0) not in estimates(storage, third)
