import random

import pytest
from campaigns import FINGERPRINT, small

from tune_runs.planning import make_plan
from tune_runs.progress import Progress
from tune_runs.releases import Releases

CHAINS = {"s0": (), "t0": ("s0",), "s1": (), "t1": ("s1",)}


def test_a_job_is_released_when_its_inputs_are_done_in_launch_order():
    releases = Releases(CHAINS)
    assert [releases.release() for _ in range(3)] == ["s0", "s1", None]
    releases.finish("s1")
    assert releases.release() == "t1"
    releases.finish("s0")
    assert releases.release() == "t0"
    assert releases.unfinished == ["t0", "t1"]


def test_done_jobs_are_not_released_again():
    releases = Releases(CHAINS, done={"s0", "t1"})
    assert [releases.release(), releases.release(), releases.release()] == ["t0", "s1", None]


def test_everything_below_a_failed_job_is_skipped_with_the_reason():
    releases = Releases({"a": (), "b": ("a",), "c": ("b",), "d": ("a", "c"), "e": ()})
    assert releases.release() == "a"
    assert releases.fail("a", "nan") == ["b", "c", "d"]
    assert releases.skipped == {
        "b": "needs job a, which failed",
        "c": "needs job b, which was skipped",
        "d": "needs job c, which was skipped",
    }
    assert releases.release() == "e"
    releases.finish("e")
    assert releases.unfinished == [] and releases.failed == {"a": "nan"}


def test_a_job_whose_input_is_nowhere_is_skipped_at_once():
    releases = Releases({"b": ("a",), "c": ("b",)})
    assert releases.release() is None
    assert releases.skipped == {
        "b": "needs job a, which is not planned",
        "c": "needs job b, which was skipped",
    }


@pytest.mark.parametrize("seed", range(20))
def test_on_random_graphs_every_job_ends_once_and_after_its_inputs(seed):
    chance = random.Random(seed)
    jobs = [f"j{n}" for n in range(30)]
    needs = {job: tuple(chance.sample(jobs[:n], min(n, chance.randint(0, 2)))) for n, job in enumerate(jobs)}
    fails = {job for job in jobs if chance.random() < 0.1}
    releases, running, ended = Releases(needs), [], set()
    while True:
        job = releases.release() if len(running) < 3 else None
        if job is not None:
            assert set(needs[job]) <= ended
            running.append(job)
        elif running:
            job = running.pop(chance.randrange(len(running)))
            if job in fails:
                releases.fail(job, "no")
            else:
                releases.finish(job)
                ended.add(job)
        else:
            break

    def reachable(job):
        return job not in fails and all(reachable(needed) for needed in needs[job])

    assert ended == {job for job in jobs if reachable(job)} == releases.done
    assert releases.unfinished == []
    assert set(releases.failed) | set(releases.skipped) == set(jobs) - ended


def test_a_job_that_is_put_back_waits_for_its_time_and_keeps_its_place():
    releases = Releases({"a": (), "b": (), "c": ()})
    assert [releases.release(), releases.release()] == ["a", "b"]
    releases.put_back("b", due=20.0)
    releases.put_back("a", due=10.0)
    assert releases.waits and releases.unfinished == ["a", "b", "c"]
    assert releases.release(9.0) == "c"
    assert releases.release(9.0) is None
    releases.put_back("c", due=15.0)
    assert [releases.release(20.0) for _ in range(4)] == ["a", "b", "c", None]
    assert not releases.waits


def test_a_job_that_is_skipped_while_it_waits_is_not_released():
    releases = Releases({"a": (), "b": ("a",)})
    releases.release()
    releases.put_back("a", due=5.0)
    assert releases.skip("a", "cancelled") == ["a", "b"]
    assert not releases.waits and releases.release(10.0) is None and releases.unfinished == []


def test_jobs_join_later_and_come_after_those_that_are_there():
    releases = Releases({"s0": ()})
    releases.add({"s1": (), "t": ("s0", "s1")})
    assert [releases.release() for _ in range(3)] == ["s0", "s1", None]
    releases.finish("s0")
    releases.finish("s1")
    assert releases.release() == "t"
    releases.fail("t", "no")
    releases.add({"u": ("t",), "v": ("s0",)})
    assert releases.skipped == {"u": "needs job t, which failed"}
    assert releases.release() == "v"


def test_what_was_given_up_is_neither_run_nor_failed_and_can_be_taken_up_again():
    releases = Releases(CHAINS)
    assert releases.release() == "s0"
    for job in ("s0", "t0"):
        releases.give_up(job)
    assert (releases.running, releases.failed, releases.skipped) == (set(), {}, {})
    assert releases.unfinished == ["s1", "t1"]
    releases.add({"s0": ()})
    assert releases.given_up == {"t0"} and releases.release() == "s0"
    releases.add({"s0": (), "t0": ("s0",)})  # a job that runs is not run twice
    assert [releases.release(), releases.release()] == ["s1", None]
    releases.finish("s0")
    assert releases.release() == "t0"


def test_a_release_looks_at_the_jobs_concerned_alone():
    looked = []

    class Counted(str):
        def __hash__(self):
            looked.append(self)
            return str.__hash__(self)

        def __eq__(self, other):
            return str.__eq__(self, other)

    def steps(count):
        needs = {Counted(f"s{n}"): () for n in range(count)}
        needs |= {Counted(f"t{n}"): (f"s{n}",) for n in range(count)}
        releases = Releases(needs)
        looked.clear()
        releases.finish(releases.release())
        return len(looked)

    assert steps(10) == steps(1000)


def test_epochs_are_said_every_few_seconds_at_most():
    plan = make_plan(small("repeats=1"), FINGERPRINT)
    lines, now = [], [0.0]
    progress = Progress(plan, write=lines.append, clock=lambda: now[0])
    for second in range(8):
        now[0] = float(second)
        progress.epoch(next(iter(plan.jobs)), {"epoch": second, "loss": 1.0})
    assert [line.split("epoch ")[1] for line in lines] == ["0/2 loss 1.00", "3/2 loss 1.00", "6/2 loss 1.00"]
