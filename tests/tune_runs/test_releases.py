import random

import pytest
from campaigns import FINGERPRINT, small

from tune_runs.planning import make_plan
from tune_runs.progress import Progress
from tune_runs.releases import Releases
from tune_runs.searcher import JobSearcher

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


def searcher(problems, slots=2):
    plan = make_plan(small("repeats=1"), FINGERPRINT)
    lines: list[str] = []
    progress = Progress(plan, write=lines.append, clock=lambda: 0.0)
    needs = {job_id: job.needs for job_id, job in plan.jobs.items()}
    return JobSearcher(Releases(needs), slots, lambda job, _: problems.get(job), progress), list(needs), lines


def test_the_searcher_waits_only_while_something_runs_and_then_finishes():
    tune, jobs, _ = searcher({})
    search_a, train_a, search_b, train_b = jobs
    assert tune.suggest("1") == {"job": search_a}
    assert tune.suggest("2") == {"job": search_b}
    assert tune.suggest("3") is None
    tune.on_trial_complete("2", {"done": True})
    assert tune.suggest("3") == {"job": train_b}
    tune.on_trial_complete("3", {"done": True})
    assert tune.suggest("4") is None
    tune.on_trial_complete("1", {"done": True})
    assert tune.suggest("4") == {"job": train_a}
    tune.on_trial_complete("4", {"done": True})
    assert tune.suggest("5") == tune.FINISHED
    assert tune.releases.unfinished == []


def test_the_searcher_skips_what_needs_a_failed_job():
    problems = {}
    tune, jobs, lines = searcher(problems)
    problems[jobs[0]] = "epoch 1: the loss is nan"
    tune.suggest("1")
    tune.on_trial_result("1", {"epoch": 1, "loss": 6.125})
    tune.on_trial_complete("1", error=True)
    assert tune.suggest("2") == {"job": jobs[2]}
    tune.on_trial_complete("2", {"done": True})
    tune.suggest("3")
    tune.on_trial_complete("3", {"done": True})
    assert tune.suggest("4") == tune.FINISHED
    assert lines == [
        "[0/4] search a repeat 1: starts",
        "[0/4] search a repeat 1: epoch 1/2 loss 6.12",
        "[1/4] search a repeat 1: FAILED: epoch 1: the loss is nan",
        f"[2/4] train a repeat 1: skipped: needs job {jobs[0]}, which failed",
        "[2/4] search b repeat 1: starts",
        "[3/4] search b repeat 1: done in 0 s",
        "[3/4] train b repeat 1: starts",
        "[4/4] train b repeat 1: done in 0 s",
    ]


def test_a_trial_that_was_stopped_is_unfinished_and_not_failed():
    problems = {}
    tune, jobs, _ = searcher(problems)
    tune.suggest("1")
    problems[jobs[0]] = "no outcome"
    tune.on_trial_complete("1", {"epoch": 1, "done": False})
    assert tune.releases.unfinished == jobs and tune.releases.failed == {}


def test_epochs_are_said_every_few_seconds_at_most():
    plan = make_plan(small("repeats=1"), FINGERPRINT)
    lines, now = [], [0.0]
    progress = Progress(plan, write=lines.append, clock=lambda: now[0])
    for second in range(8):
        now[0] = float(second)
        progress.epoch(next(iter(plan.jobs)), {"epoch": second, "loss": 1.0})
    assert [line.split("epoch ")[1] for line in lines] == ["0/2 loss 1.00", "3/2 loss 1.00", "6/2 loss 1.00"]
