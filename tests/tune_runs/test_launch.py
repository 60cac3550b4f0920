import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from campaigns import FINGERPRINT, SMALL, fake_engine, small
from disturbed import living_in_session

from autoreid.attempts import Outcome
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.storage import Storage
from tune_runs import launch
from tune_runs.launch import Summary, decode_data, run_plan
from tune_runs.opening import read_data
from tune_runs.packages import Packages
from tune_runs.planning import make_plan
from tune_runs.progress import silent
from tune_runs.resources import Allotment
from tune_runs.states import states_of

THREE_ARMS = SMALL + "  c: {search: {space: cds-v1, k: 3}}\n"
TINY = [
    "--set=data={set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}",
    "--set=repeats=1",
    "--set=search.batch={identities: 4, images: 2}",
    "--set=train.batch={identities: 4, images: 2}",
    "--set=search.epochs=20",
    "--set=train.epochs=3",
    "--set=train.optimizer.schedule.milestones=[2]",
]


@pytest.mark.ray
def test_one_run_releases_the_jobs_and_survives_those_that_fail(tmp_path):
    plan = make_plan(small("repeats=1", "execution.retries=0", text=THREE_ARMS), FINGERPRINT)
    search_a, train_a, search_b, train_b, search_c, train_c = plan.jobs
    storage, lines, before = Storage(tmp_path / "storage"), [], Path.cwd()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    allotment = Allotment(1, 0, 2, Execution(device="cpu", threads=1))
    summary = run_plan(plan, storage, allotment, fake_engine(search_b, search_c), lines.append)
    assert Path.cwd() == before
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    assert (summary.ran, summary.reused, summary.exit_code, summary.unfinished) == (2, 0, 1, ())
    assert summary.failed[search_b] == "epoch 1: the loss is nan"
    assert "ended without an outcome" in summary.failed[search_c]
    assert set(summary.failed) == {search_b, search_c}
    assert summary.skipped == {
        train_b: f"needs job {search_b}, which failed",
        train_c: f"needs job {search_c}, which failed",
    }
    states = states_of(storage, {job_id: job.needs for job_id, job in plan.jobs.items()})
    assert [states[job].status for job in (search_a, train_a, search_b, train_b)] == [
        "done",
        "done",
        "failed",
        "skipped",
    ]
    finished = storage.job(train_a).finished()
    assert finished is not None and finished[1].facts["threads"] == 1
    assert finished[1].facts["niceness"] == os.nice(0)
    assert lines[0] == "small: 6 of 6 jobs to run; 1 CPU a trial, 2 at once"
    assert sum("starts" in line for line in lines) == 4
    assert lines[-1].startswith("[6/6]")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(("reuse", "fewest", "most"), [("true", 1, 2), ("false", 8, 8)])
def test_a_process_runs_one_job_unless_processes_are_reused(tmp_path, reuse, fewest, most):
    plan = make_plan(small(f"execution.reuse_processes={reuse}"), FINGERPRINT)
    storage = Storage(tmp_path)
    allotment = Allotment(1, 0, 2, Execution(device="cpu", threads=1))
    summary = run_plan(plan, storage, allotment, fake_engine(), silent)
    assert (summary.ran, summary.exit_code) == (8, 0)
    processes = {storage.job(job_id).finished()[1].facts["process"] for job_id in plan.jobs}
    assert fewest <= len(processes) <= most


def stalling_engine():
    """An engine whose first attempt makes no step, so that its watchdog ends the process."""

    def run(job, storage, source, execution, cache, stop):
        import threading

        from autoreid.keeper import Keeper

        attempt = storage.job(job.id).new_attempt()

        def note(reason):
            attempt.finish(Outcome("failed", error=reason))

        with Keeper(attempt, 0.5, note, tick=0.1) as keeper:
            if attempt.number == 1:
                threading.Event().wait()
            with keeper.resting():
                yield {"epoch": 1, "loss": 1.0}
            attempt.finish(Outcome("done", facts={"epochs": 1}))
        return True

    return run


ONE_JOB = SMALL.split("arms:")[0] + "arms: {p: {genotype: cnet-top1}}"


@pytest.mark.ray
@pytest.mark.slow
def test_a_job_that_stands_still_is_ended_and_tried_again_with_the_reason(tmp_path):
    plan, lines = make_plan(small("repeats=1", text=ONE_JOB), FINGERPRINT), []
    allotment = Allotment(1, 0, 1, Execution(device="cpu", threads=1))
    summary = run_plan(plan, Storage(tmp_path), allotment, stalling_engine(), lines.append)
    assert (summary.ran, summary.exit_code) == (1, 0)
    (told,) = [line for line in lines if "attempt" in line]
    assert told.startswith("[0/1] train p repeat 1: attempt 2 of 4 in 10 s: no progress for 0.0 minutes")


@pytest.mark.ray
@pytest.mark.slow
def test_a_machine_on_which_every_attempt_dies_ends_the_launch_in_order(tmp_path):
    def dies(job, *_):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        yield {}

    plan, lines = make_plan(small(), FINGERPRINT), []
    allotment = Allotment(1, 0, 1, Execution(device="cpu", threads=1))
    summary = run_plan(plan, Storage(tmp_path), allotment, dies, lines.append)
    assert (summary.exit_code, len(summary.unfinished), summary.failed) == (75, 8, {}), lines
    assert list(summary.left_out) == ["this machine"]
    assert "'autoreid doctor'" in lines[-1] and "is left out: 4 attempts in a row" in lines[-2]


@pytest.mark.ray
@pytest.mark.slow
def test_a_worker_with_other_code_than_the_launch_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "imported_packages", lambda: Packages("0" * 64, "node7: /opt/autoreid"))
    plan = make_plan(small("repeats=1", text=ONE_JOB), FINGERPRINT)
    allotment = Allotment(1, 0, 1, Execution(device="cpu", threads=1))
    summary = run_plan(plan, Storage(tmp_path), allotment, fake_engine(), silent)
    (error,) = summary.failed.values()
    assert "than the launch (node7: /opt/autoreid)" in error and summary.exit_code == 1
    assert not Storage(tmp_path).job(next(iter(plan.jobs))).attempts()


def test_what_is_done_is_not_run_again_and_starts_no_ray(tmp_path, monkeypatch):
    plan, storage = make_plan(small(), FINGERPRINT), Storage(tmp_path)
    for job_id in plan.jobs:
        storage.job(job_id).new_attempt().finish(Outcome("done"))
    monkeypatch.setitem(sys.modules, "tune_runs.tuning", None)
    summary = run_plan(plan, storage, Allotment(1, 0, 1, Execution()), None)
    assert (summary.ran, summary.reused, summary.exit_code) == (0, 8, 0)
    assert summary.text() == "small: all 8 jobs are done already; nothing was run."
    with pytest.raises(ImportError):
        run_plan(make_plan(small("repeats=3"), FINGERPRINT), storage, Allotment(1, 0, 1, Execution()), None)


def test_damaged_descriptions_are_refused_together_before_any_work(tmp_path):
    plan, storage = make_plan(small(), FINGERPRINT), Storage(tmp_path)
    first, second, *_ = plan.jobs
    storage.job(first).folder.write("job.json", b"{")
    storage.job(second).describe(plan.jobs[first].plain())
    with pytest.raises(InputError) as caught:
        run_plan(plan, storage, Allotment(1, 0, 1, Execution()), None)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        f"{storage.job(job).folder}/job.json" for job in (first, second)
    ]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 0),
        ({"failed": {"a": "nan"}}, 1),
        ({"skipped": {"a": "why"}}, 1),
        ({"failed": {"a": "nan"}, "unfinished": ("b",)}, 75),
    ],
)
def test_exit_codes(fields, code):
    summary = Summary("small", 8, 1, 0, **fields)
    assert summary.exit_code == code == summary.plain()["exit_code"]
    assert ("Run the same command again" in summary.text()) == (code != 0)


def test_a_batch_that_the_data_cannot_fill_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(launch, "run_plan", lambda *_: pytest.fail("work was started"))
    with pytest.raises(InputError) as caught:
        launch.launch(small("search.batch.identities=4"), Storage(tmp_path / "storage"), quiet=True)
    assert caught.value.problems == tuple(
        f"small.yaml:{line}: arms.{arm}.train.batch.identities: 16, but the training set has 8. "
        "Use at most 8."
        for line, arm in ((8, "a"), (9, "b"))
    )
    assert not (tmp_path / "storage").exists()


def test_data_is_decoded_once_for_every_size_in_use(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path))
    sizes = ("search.height=64", "search.width=32", "train.height=32", "train.width=16")
    batches = ("search.batch.identities=4", "train.batch.identities=4")
    plan, index = read_data(small(*sizes, *batches))
    lines = []
    decode_data(plan, index, lines.append)
    assert len(lines) == 2
    names = sorted(path.name for path in (tmp_path / "arrays").glob("*.npy"))
    assert [name.split("-")[:2] for name in names] == [
        [plan.fingerprint, "32x16"],
        [plan.fingerprint, "64x32"],
    ]


def run_demo(folder, *flags):
    """The real command on tiny data, from a folder with packages that must not be taken for ours."""
    for name in ("tune_runs", "autoreid", "search_spaces", "analysis"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    script = str(Path(sys.executable).parent / "autoreid")
    environment = {**os.environ, "AUTOREID_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [script, "campaign", "run", "demo", "--storage", "storage", "--json", *TINY, *flags]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_process_group_stops_in_order(tmp_path, number):
    run = run_demo(tmp_path, "--set=search.epochs=500")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("storage/jobs/*/attempts/*/records.jsonl")):
        assert run.poll() is None and time.monotonic() < deadline, run.communicate()
        time.sleep(0.05)
    os.killpg(run.pid, number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 75, err
    assert len(json.loads(out)["unfinished"]) == 2
    assert "by force" not in err and "Traceback" not in err
    assert living_in_session(run.pid) == []


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("kill", [os.kill, os.killpg])
@pytest.mark.parametrize("delay", [0.0, 3.0])
def test_a_signal_while_ray_starts_is_an_interruption(tmp_path, kill, delay):
    run = run_demo(tmp_path)
    lines = []
    for line in run.stderr:
        lines.append(line)
        if "jobs to run" in line:
            break
    time.sleep(delay)
    kill(run.pid, signal.SIGTERM)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 75, (lines, err)
    assert "Traceback" not in err and "by force" not in err
    assert living_in_session(run.pid) == []


@pytest.mark.ray
@pytest.mark.slow
def test_an_interrupted_campaign_is_finished_by_the_same_command(tmp_path):
    first = run_demo(tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("storage/jobs/*/attempts/*/records.jsonl")):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 75, err
    assert json.loads(out)["unfinished"]
    assert "stopping" in err and "Traceback" not in err and "WARNING" not in err

    second = run_demo(tmp_path, "--quiet")
    out, err = second.communicate(timeout=240)
    assert (second.returncode, err) == (0, "")
    assert json.loads(out)["ran"] + json.loads(out)["reused"] == 2
    storage = Storage(tmp_path / "storage")
    manifest = storage.read_manifest("demo")
    for job in manifest["jobs"]:
        attempt, outcome = storage.job(job).finished()
        assert [row["epoch"] for row in attempt.records()] == list(range(1, outcome.facts["epochs"] + 1))

    third = run_demo(tmp_path)
    out, err = third.communicate(timeout=60)
    assert (third.returncode, json.loads(out)["ran"], json.loads(out)["reused"]) == (0, 0, 2)
