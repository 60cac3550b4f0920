import pytest
from launches import Launch

from tune_runs.dispatch import KILLED, STOPPED
from tune_runs.states import State


@pytest.fixture
def launch():
    return Launch()


def test_jobs_are_described_before_they_run_and_the_end_comes_when_nothing_runs(launch):
    search_a, train_a, search_b, train_b = launch.jobs
    assert [launch.dispatch.next() for _ in range(3)] == [search_a, search_b, None]
    assert launch.site.described == [search_a, search_b]
    launch.finish(search_b)
    assert (launch.dispatch.next(), launch.dispatch.next()) == (train_b, None)
    launch.finish(train_b)
    assert launch.dispatch.next() is None and not launch.dispatch.over
    launch.finish(search_a)
    assert launch.dispatch.next() == train_a
    assert not launch.dispatch.over
    launch.finish(train_a)
    assert launch.dispatch.next() is None and launch.dispatch.over
    assert launch.lines[-1] == "[4/4] train a repeat 1: done in 0 s"


def test_a_killed_job_is_tried_again_after_longer_and_longer_waits_and_then_failed():
    launch, waits = Launch(alone=True), []
    search, train = launch.jobs[:2]
    for _ in range(4):
        job, waited = launch.next_within(1000)
        assert job == search
        launch.dispatch.ended(job, None, None)
        waits.append(waited)
    assert waits == [0.0, 10.0, 20.0, 40.0]
    assert launch.dispatch.releases.failed == {search: f"{KILLED} (tried 4 times)"}
    assert launch.dispatch.releases.skipped[train] == f"needs job {search}, which failed"
    assert launch.dispatch.next() is None and launch.dispatch.over
    assert f"[0/4] search a repeat 1: attempt 2 of 4 in 10 s: {KILLED}" in launch.lines
    assert f"[0/4] search a repeat 1: attempt 4 of 4 in 40 s: {KILLED}" in launch.lines


def test_the_wait_never_exceeds_five_minutes():
    launch, waits = Launch(alone=True, retries=100), []
    for _ in range(8):
        job, waited = launch.next_within(1000)
        launch.dispatch.ended(job, None, None)
        waits.append(waited)
    assert waits == [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


@pytest.mark.parametrize(("epochs", "failed"), [([1, 2, 3, 4, 5], False), ([1, 1, 1], True)])
def test_an_epoch_that_was_not_done_before_gives_all_attempts_back(epochs, failed):
    launch = Launch(alone=True, retries=2)
    for epoch in epochs:
        job, _ = launch.next_within(100)
        launch.dispatch.reported(job, {"epoch": epoch, "loss": 1.0})
        launch.dispatch.ended(job, None, None)
    assert (job in launch.dispatch.releases.failed) == failed
    assert launch.dispatch.over == failed


@pytest.mark.parametrize(
    ("how", "problem", "words"),
    [
        (None, None, KILLED),
        ("failed", "RuntimeError: no memory", "RuntimeError: no memory"),
        ("interrupted", "stopped after epoch 1. Run the same command again.", STOPPED),
    ],
)
def test_the_reason_is_what_the_trial_said_unless_its_files_say_more(launch, how, problem, words):
    job = launch.dispatch.next()
    launch.dispatch.ended(job, how, problem)
    assert launch.lines[-1] == f"[0/4] search a repeat 1: attempt 2 of 4 in 10 s: {words}"
    other = launch.dispatch.next()
    launch.site.fails(other, "no progress for 30.0 minutes: the process was ended")
    launch.dispatch.ended(other, how, problem)
    assert launch.lines[-1].endswith("in 10 s: no progress for 30.0 minutes: the process was ended")


def test_a_failure_from_before_does_not_explain_an_end_without_an_outcome(launch):
    job = launch.jobs[0]
    launch.site.fails(job, "an older failure")
    assert launch.dispatch.next() == job
    launch.dispatch.ended(job, None, None)
    assert launch.lines[-1].endswith(KILLED)


def test_a_final_failure_is_not_tried_again_and_skips_what_needs_it(launch):
    job = launch.dispatch.next()
    launch.site.fails(job, "epoch 1: the loss became NaN", final=True)
    launch.dispatch.ended(job, "failed", "RunError")
    assert launch.dispatch.releases.failed == {job: "epoch 1: the loss became NaN"}
    assert launch.lines[-1] == f"[2/4] train a repeat 1: skipped: needs job {job}, which failed"


def test_a_final_failure_of_an_earlier_launch_stays_one_and_says_how_to_try_again(launch):
    search_a, _, search_b, _ = launch.jobs
    launch.site.fails(search_a, "nan", final=True)
    launch.site.fails(search_b, "no memory")
    launch.dispatch.take({job: launch.site.state(job) for job in launch.jobs}, ())
    assert launch.dispatch.releases.failed == {search_a: "nan ('autoreid campaign retry' tries it again)"}
    assert launch.dispatch.next() == search_b


def test_without_retries_the_first_failure_is_the_last():
    launch = Launch(retries=0)
    job = launch.dispatch.next()
    launch.dispatch.ended(job, "failed", "no memory")
    assert launch.dispatch.releases.failed == {job: "no memory"}


def test_a_refused_job_is_failed_for_this_launch(launch):
    job = launch.dispatch.next()
    launch.dispatch.ended(job, "refused", "other code")
    assert launch.dispatch.releases.failed == {job: "other code"}


def test_a_job_that_another_launch_runs_is_waited_for_and_counted_as_done_there():
    launch = Launch(alone=True)
    search_a, train_a = launch.jobs[:2]
    launch.site.states[search_a] = State("running", where="node7, process 12")
    assert launch.next_within(60) is None and not launch.dispatch.over
    launch.site.does(search_a)
    job, waited = launch.next_within(10)
    assert job == train_a and waited <= 3.0
    assert launch.dispatch.elsewhere == {search_a}
    told = [line for line in launch.lines if "node7" in line]
    assert told == ["[0/4] search a repeat 1: waits: node7, process 12 works on it"]
    assert "[1/4] search a repeat 1: done by another launch" in launch.lines


def test_a_job_is_run_here_when_the_other_launch_let_go_of_it():
    launch = Launch(alone=True)
    search_a = launch.jobs[0]
    launch.site.states[search_a] = State("running", where="node7, process 12")
    assert launch.next_within(10) is None
    launch.site.states[search_a] = State("started", attempts=1)
    assert launch.next_within(5)[0] == search_a


def test_a_trial_that_found_its_job_held_uses_up_no_attempt():
    launch = Launch(alone=True, retries=0)
    for _ in range(3):
        job, _ = launch.next_within(10)
        launch.dispatch.ended(job, "held", "node7, process 12 works on it")
    assert not launch.dispatch.over and not launch.dispatch.releases.failed
    launch.site.does(job)
    assert launch.next_within(10)[0] == launch.jobs[1]
    assert launch.dispatch.elsewhere == {job}


@pytest.mark.parametrize("how", ["held", "interrupted", "refused"])
def test_a_job_that_is_done_though_its_trial_did_not_do_it_was_done_elsewhere(launch, how):
    job = launch.dispatch.next()
    launch.site.does(job)
    launch.dispatch.ended(job, how, "what the trial said")
    assert launch.dispatch.elsewhere == {job}
    assert "[1/4] search a repeat 1: done by another launch" in launch.lines


def test_a_stop_asks_running_jobs_again_and_again_and_starts_nothing(launch):
    search_a, search_b = launch.dispatch.next(), launch.dispatch.next()
    launch.stopped = True
    assert launch.next_within(2) is None and not launch.dispatch.over
    assert launch.site.asked.count(search_a) >= 4
    launch.dispatch.ended(search_a, "interrupted", "stopped")
    launch.dispatch.ended(search_b, "failed", "StorageError: away")
    assert launch.dispatch.next() is None and launch.dispatch.over
    assert launch.dispatch.releases.unfinished == launch.jobs
    assert not launch.dispatch.releases.failed and "attempt" not in "".join(launch.lines)


def test_a_stop_does_not_wait_for_jobs_that_wait_for_their_time(launch):
    job = launch.dispatch.next()
    launch.dispatch.ended(job, None, None)
    other = launch.dispatch.next()
    launch.finish(other)
    assert not launch.dispatch.over
    launch.stopped = True
    assert launch.dispatch.next() is None and launch.dispatch.over


def test_cancelled_jobs_are_skipped_or_asked_to_stop_within_seconds(launch):
    search_a, train_a, search_b, train_b = launch.jobs
    assert (launch.dispatch.next(), launch.dispatch.next()) == (search_a, search_b)
    launch.site.gone = {search_a, train_b}
    launch.next_within(4)
    assert search_a in launch.site.asked and search_b not in launch.site.asked
    assert launch.dispatch.releases.skipped == {train_b: "cancelled"}
    launch.dispatch.ended(search_a, "interrupted", "stopped")
    assert launch.dispatch.releases.skipped == {
        train_b: "cancelled",
        search_a: "cancelled",
        train_a: f"needs job {search_a}, which was skipped",
    }


def test_jobs_cancelled_before_the_launch_are_skipped_with_what_needs_them(launch):
    search_a, train_a, search_b, _ = launch.jobs
    launch.dispatch.take({}, {search_a, "a job of no plan"})
    assert launch.dispatch.releases.skipped == {
        search_a: "cancelled",
        train_a: f"needs job {search_a}, which was skipped",
    }
    launch.site.gone = {search_a}
    assert launch.dispatch.next() == search_b


def test_a_storage_that_is_away_for_a_while_ends_no_launch(launch):
    search_a, search_b = launch.dispatch.next(), launch.dispatch.next()
    launch.site.broken = True
    launch.dispatch.ended(search_a, None, None)
    assert launch.lines[-1].endswith("attempt 2 of 4 in 10 s: the network is away")
    assert launch.next_within(3600) is None and not launch.dispatch.over
    assert launch.lines[-1] == "[0/4] nothing begins for 300 s: the network is away"
    assert launch.dispatch.releases.failed == {}
    launch.site.broken = False
    assert launch.next_within(301)[0] == search_a
    launch.finish(search_a)
    launch.finish(search_b)
    assert launch.dispatch.next() == launch.jobs[1]


def test_a_launch_goes_on_when_the_job_that_found_the_storage_away_is_cancelled(launch):
    search_a, _, search_b, _ = launch.jobs
    launch.site.broken = True
    assert launch.dispatch.next() is None
    launch.site.broken, launch.site.gone = False, {search_a}
    launch.now += 3
    assert launch.dispatch.next() is None and search_a in launch.dispatch.releases.skipped
    assert not launch.dispatch.over
    assert launch.next_within(10)[0] == search_b


def test_a_job_that_was_done_after_all_is_not_run_again(launch):
    job = launch.dispatch.next()
    launch.dispatch.ended(job, None, None)
    launch.site.states[job] = State("done")
    launch.now += 10
    launch.dispatch.next()
    assert job in launch.dispatch.releases.done
