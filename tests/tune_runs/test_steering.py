import json

import pytest
from campaigns import FINGERPRINT, SMALL, small

from autoreid.attempts import INTERRUPTED, STARTED, Outcome
from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.leases import Lease
from autoreid.storage import Storage
from tune_runs.manifest import save_manifest
from tune_runs.planning import make_plan
from tune_runs.states import state_of
from tune_runs.steering import cancel, retry

OTHER = SMALL.replace("name: small", "name: other").replace("  b: {search: {space: cds-v1}}\n", "")


@pytest.fixture
def storage(tmp_path):
    """Two campaigns; the searches of `other` are those of the first arm of `small`."""
    storage = Storage(tmp_path)
    for text in (SMALL, OTHER):
        save_manifest(storage, make_plan(small("repeats=1", text=text), FINGERPRINT))
    return storage


@pytest.fixture
def jobs(storage):
    return list(make_plan(small("repeats=1"), FINGERPRINT).jobs)


def ends(storage, job, status="failed", *, final=False):
    error = "the loss became NaN" if status == "failed" else None
    storage.job(job).new_attempt().finish(Outcome(status, error=error, final=final, facts={"epochs": 2}))


def test_all_that_failed_or_was_cancelled_is_run_again(storage, jobs):
    ends(storage, jobs[0], final=True)
    ends(storage, jobs[2])
    storage.cancel("small", [jobs[3]])
    storage.cancel("other", [jobs[1]])
    assert retry(storage, [], None) == {
        "storage": str(storage.folder),
        "tried_again": sorted([jobs[0], jobs[2]]),
        "taken_up": sorted([jobs[1], jobs[3]]),
    }
    assert not state_of(storage.job(jobs[0])).final
    assert storage.cancelled("small") == storage.cancelled("other") == frozenset()


def test_one_campaign_alone_or_one_job_alone_is_run_again(storage, jobs):
    ends(storage, jobs[0], final=True)
    ends(storage, jobs[2], final=True)
    storage.cancel("small", jobs[:2])
    storage.cancel("other", jobs[:2])
    assert retry(storage, [jobs[2][:6]], None)["tried_again"] == [jobs[2]]
    assert state_of(storage.job(jobs[0])).final and not state_of(storage.job(jobs[2])).final
    retry(storage, [jobs[1][:6]], "other")
    assert storage.cancelled("other") == {jobs[0]} and storage.cancelled("small") == set(jobs[:2])
    assert retry(storage, [], "other")["tried_again"] == [jobs[0]]
    assert storage.cancelled("small") == set(jobs[:2])


def test_every_job_that_cannot_be_run_again_is_named_before_anything_is_written(storage, jobs):
    ends(storage, jobs[0], final=True)
    ends(storage, jobs[2], "done")
    with pytest.raises(InputError) as caught:
        retry(storage, [jobs[0], jobs[2], jobs[3]], None)
    assert sorted(caught.value.problems) == sorted(
        f"job {job}: {status}. Only failed and cancelled jobs are tried again."
        for job, status in ((jobs[2], "done"), (jobs[3], "waiting"))
    )
    assert state_of(storage.job(jobs[0])).final
    with pytest.raises(InputError) as caught:
        retry(storage, ["12", "0123456789"], "small")
    assert len(caught.value.problems) == 2
    assert "none of the 4 jobs of" in caught.value.problems[1] and "small" in caught.value.problems[1]


def test_all_jobs_of_a_campaign_that_are_not_done_are_cancelled(storage, jobs):
    ends(storage, jobs[0], "done")
    attempt = storage.job(jobs[2]).new_attempt()
    Lease.of_this_process().write(attempt.folder)
    plain = cancel(storage, [], "small")
    assert plain["cancelled"] == sorted(jobs[1:]) and storage.cancelled("small") == set(jobs[1:])
    assert plain["running"] == {jobs[2]: str(Lease.of_this_process())}
    assert storage.cancelled("other") == frozenset()
    assert cancel(storage, [], "small")["cancelled"] == []


def test_jobs_that_are_given_are_cancelled(storage, jobs):
    assert cancel(storage, [jobs[1][:8], jobs[2]], "small")["cancelled"] == sorted(jobs[1:3])
    ends(storage, jobs[0], "done")
    with pytest.raises(InputError, match="done already, so that there is nothing to cancel"):
        cancel(storage, [jobs[0]], "small")
    with pytest.raises(InputError, match=r"none of the 2 jobs of .* \(campaigns other\) begins with it"):
        cancel(storage, [jobs[2]], "other")


def test_a_campaign_must_be_named_where_there_are_several(storage, tmp_path):
    with pytest.raises(InputError, match="2 campaigns: other, small"):
        cancel(storage, [], None)
    with pytest.raises(InputError, match="no campaign 'smal' in this storage"):
        cancel(storage, [], "smal")
    with pytest.raises(InputError, match="no campaign in this folder"):
        cancel(Storage(tmp_path / "nowhere"), [], None)
    alone = Storage(tmp_path / "alone")
    save_manifest(alone, make_plan(small("repeats=1"), FINGERPRINT))
    assert cancel(alone, [], None)["campaign"] == "small"


def told(capsys, *arguments, code=0):
    assert main(["campaign", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_the_commands_say_what_they_did(storage, jobs, capsys):
    folder = str(storage.folder)
    assert told(capsys, "retry", folder) == "No job has failed or was cancelled.\n"
    text = told(capsys, "cancel", folder, jobs[0][:6], "--campaign", "small")
    assert text == "small: 1 job cancelled.\n'autoreid campaign retry' takes them up again.\n"
    status = json.loads(told(capsys, "status", folder, "--json"))["campaigns"][1]
    assert status["jobs"] == {
        "done": 0, "running": 0, "started": 0, "waiting": 2, "failed": 0, "skipped": 2
    }  # fmt: skip
    assert [failure["error"] for failure in status["failures"]] == [
        "cancelled",
        f"needs job {jobs[0]}, which was skipped",
    ]
    ends(storage, jobs[2])
    assert json.loads(told(capsys, "retry", folder, "--json"))["taken_up"] == [jobs[0]]
    assert told(capsys, "retry", folder) == "At the next launch: 1 failed job tried again.\n"
    assert "Give 4 to 32 digits" in told(capsys, "retry", folder, "abc", code=2)
    assert "Name one by --campaign" in told(capsys, "cancel", folder, code=2)


def test_status_names_who_runs_a_job(storage, jobs, capsys):
    Lease.of_this_process().write(storage.job(jobs[0]).new_attempt().folder)
    text = told(capsys, "status", str(storage.folder))
    assert f"search {jobs[0]} runs on {Lease.of_this_process()}" in text


def test_logs_tell_of_every_attempt(storage, jobs, capsys):
    folder = storage.job(jobs[0])
    killed = folder.new_attempt()
    killed.folder.write(STARTED, b'{"started": "2026-01-02T03:04:05+00:00", "host": "node7"}')
    killed.write_records([{"epoch": n, "loss": 3.0 - n / 4, "accuracy": None} for n in range(1, 8)])
    stopped = folder.new_attempt()
    stopped.folder.write(INTERRUPTED, b'{"wall_seconds": 12.5}')
    failed = folder.new_attempt()
    failed.log("begins on node8")
    failed.finish(Outcome("failed", error="no memory", facts={"wall_seconds": 3.0}))
    lives = folder.new_attempt()
    Lease.of_this_process().write(lives.folder)
    plain = json.loads(told(capsys, "logs", str(storage.folder), jobs[0][:5], "--json"))
    assert (plain["job"], plain["status"]) == (jobs[0], "running")
    assert [attempt["ended"] for attempt in plain["attempts"]] == [
        "killed",
        "interrupted",
        "failed",
        "running",
    ]
    assert [attempt["number"] for attempt in plain["attempts"]] == [1, 2, 3, 4]
    assert [row["epoch"] for row in plain["attempts"][0]["last_epochs"]] == [3, 4, 5, 6, 7]
    text = told(capsys, "logs", str(storage.folder), jobs[0])
    assert text.startswith(f"job {jobs[0]}: running, 4 attempts\n")
    assert f"attempt {killed.name}: killed, began 2026-01-02T03:04:05+00:00 on node7" in text
    assert f"attempt {stopped.name}: interrupted after 12 s" in text
    assert f"attempt {failed.name}: failed after 3 s\n  no memory\n" in text
    assert "begins on node8" in text and "1.25" in text


def test_logs_of_a_done_job_name_the_attempt_that_counts(storage, jobs, capsys):
    folder = storage.job(jobs[0])
    folder.new_attempt().folder.write(STARTED, b"damaged")
    ends(storage, jobs[0], "done")
    ends(storage, jobs[0], "done")
    attempts = json.loads(told(capsys, "logs", str(storage.folder), jobs[0], "--json"))["attempts"]
    assert [attempt["counts"] for attempt in attempts] == [False, True, False]
    assert told(capsys, "logs", str(storage.folder), jobs[1]) == f"job {jobs[1]}: waiting, 0 attempts\n"
    assert "none of the" in told(capsys, "logs", str(storage.folder), "00000000", code=2)


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "1e9"])
def test_a_time_limit_is_a_number_of_hours(tmp_path, capsys, hours):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    text = told(capsys, "run", str(path), "--storage", str(tmp_path / "s"), "--max-hours", hours, code=2)
    assert "is not a time. Give a number of hours above 0." in text
    assert not (tmp_path / "s").exists()
