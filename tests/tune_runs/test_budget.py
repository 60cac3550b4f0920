"""A launch that may take so many hours of computing and no more."""

from __future__ import annotations

import threading

import pytest
from campaigns import FINGERPRINT, FITTING, small

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.storage import Storage
from tune_runs import launch
from tune_runs.budget import Meter, check_budget, spending_limit
from tune_runs.launch import run_plan
from tune_runs.planning import make_plan
from tune_runs.resources import Allotment
from tune_runs.signals import interruptible

TWO_GPUS = Allotment(4, 2.0, 1, Execution(device="cuda"))
ONE_CPU = Allotment(1, 0, 2, Execution(device="cpu", threads=1))


def test_a_meter_adds_up_the_seconds_of_trials():
    times, running = iter([0.0, 1.0, 3.0, 10.0]), iter([2, 1, 0])
    meter = Meter(lambda: next(running), clock=lambda: next(times))
    assert [meter.look() for _ in range(4)] == [0.0, 2.0, 4.0, 4.0]


def test_a_launch_is_interrupted_when_its_hours_are_spent():
    lines = []
    # Three trials of two GPUs each: six GPU-seconds a second.
    with (
        interruptible(),
        pytest.raises(KeyboardInterrupt),
        spending_limit(2 / 3600, TWO_GPUS, lambda: 3, lines.append),
    ):
        threading.Event().wait(20)
    assert lines == ["the 0.000555556 GPU-hours are spent"]


def test_a_launch_that_stays_below_its_limit_is_not_interrupted():
    lines, before = [], threading.active_count()
    with interruptible(), spending_limit(1.0, TWO_GPUS, lambda: 3, lines.append):
        assert threading.active_count() == before + 1
    with spending_limit(None, TWO_GPUS, lambda: 3, lines.append):
        assert threading.active_count() == before
    assert lines == []


def recorded_storage(tmp_path, plan, hours, **device):
    """A storage in which the jobs of repeat 1 took so many hours each."""
    storage = Storage(tmp_path / "storage")
    for entry in plan.entries:
        if entry.repeat == 0:
            facts = {"wall_seconds": 3600 * hours, **device}
            storage.job(entry.job).new_attempt().finish(Outcome("done", facts=facts))
    return storage


def test_a_plan_that_is_known_to_take_more_is_refused_before_it_begins(tmp_path):
    plan = make_plan(small("repeats=3"), FINGERPRINT)
    storage, lines = recorded_storage(tmp_path, plan, 1.0), []
    # Eight jobs are left: 8 hours, 6.4 to 10 as there is one record of each.
    with pytest.raises(InputError) as caught:
        check_budget(plan, storage, ONE_CPU, 6.3, lines.append)
    assert str(caught.value) == (
        "--max-gpu-hours: 6.3, but 8 of the 8 jobs that are left take 8 CPU-hours (6.4 to 10) by jobs with "
        "other seeds. Allow more, or plan fewer jobs."
    )
    check_budget(plan, storage, ONE_CPU, 6.5, lines.append)
    (line,) = lines
    assert line.startswith("small: 8 of the 8 jobs") and line.endswith("; it is stopped at 6.5")
    check_budget(plan, storage, ONE_CPU, 8.1, lines.append)
    assert len(lines) == 1


def test_what_is_not_known_is_no_reason_to_refuse(tmp_path):
    plan, lines = make_plan(small(), FINGERPRINT), []
    check_budget(plan, Storage(tmp_path), ONE_CPU, 0.1, lines.append)
    storage = recorded_storage(tmp_path, plan, 1.0, device="another", threads=64)
    check_budget(plan, storage, ONE_CPU, 0.1, lines.append)
    assert lines == 2 * ["small: cost not known; it is stopped at 0.1 CPU-hours"]


def test_the_command_refuses_and_hands_on_the_limit(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "small.yaml"
    file.write_text(FITTING)
    given = []
    monkeypatch.setattr(launch, "run_plan", lambda *a: given.append(a) or launch.Summary("small", 8, 8, 0))
    line = ["campaign", "run", str(file), "--storage", str(tmp_path / "storage"), "--max-gpu-hours"]
    assert main([*line, "2"]) == 0
    ((plan, *_, limit),) = given
    assert limit == 2.0
    recorded_storage(tmp_path, plan, 1.0)
    capsys.readouterr()
    assert main([*line, "2"]) == 2
    assert "4 of the 4 jobs that are left take 4 " in capsys.readouterr().err
    assert main([*line, "-1", "--max-hours", "0"]) == 2
    told = capsys.readouterr().err
    assert "--max-hours: 0 is not a time" in told and "--max-gpu-hours: -1 is not a time" in told
    assert len(given) == 1


def patient_engine():
    """An engine that works until it is asked to stop, and then leaves a trace of its order."""

    def run(job, storage, source, execution, cache, stop):
        import threading

        from autoreid.errors import InterruptionError
        from autoreid.leases import Lease

        attempt = storage.job(job.id).new_attempt()
        Lease.of_this_process().write(attempt.folder)
        yield {"epoch": 1, "loss": 1.0}
        for _ in range(600):
            if stop():
                attempt.folder.write("stopped.txt", b"in order")
                raise InterruptionError("stopped after epoch 1.")
            threading.Event().wait(0.1)
        attempt.finish(Outcome("done", facts={"epochs": 1}))
        return True

    return run


@pytest.mark.ray
@pytest.mark.slow
def test_running_jobs_are_stopped_in_order_when_the_hours_are_spent(tmp_path):
    plan, storage, lines = make_plan(small(), FINGERPRINT), Storage(tmp_path), []
    with interruptible():
        summary = run_plan(plan, storage, ONE_CPU, patient_engine(), lines.append, 20 / 3600)
    assert summary.exit_code == 75 and summary.ran == 0
    assert "the 0.00555556 CPU-hours are spent" in lines
    files = [name for job_id in storage.jobs() for name in storage.job(job_id).folder.sizes()]
    assert sum(name.endswith("stopped.txt") for name in files) == 2
