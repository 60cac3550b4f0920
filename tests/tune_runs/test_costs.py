"""The cost of what is left: hours, memory, disk and time, as values and as text."""

from __future__ import annotations

import json

import pytest
from campaigns import FITTING, small

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.facts import processor_name
from autoreid.storage import Storage
from tune_runs import probing
from tune_runs.costs import Estimate, Left, costs_lines, costs_plain, wall_seconds
from tune_runs.overview import KINDS
from tune_runs.probing import estimated
from tune_runs.resources import Allotment, Machine, with_gpus

GPUS = Allotment(4, 0.5, 2, Execution(device="cuda"))


def chain(number, share=1.0):
    """Searches, and a training of what each of them found."""
    jobs = {f"s{n}": Left("search", (), share) for n in range(number)}
    return jobs | {f"t{n}": Left("train", (f"s{n}",)) for n in range(number)}


def hours(low, expected, high, source="records", **sizes):
    return Estimate(3600 * low, 3600 * expected, 3600 * high, source, **sizes)


def test_hours_are_those_of_devices_by_kind_and_in_total():
    searched = hours(3, 4, 6, peak_memory_bytes=2**30, kept_bytes=100, checkpoint_bytes=7)
    trained = hours(0.5, 1, 2, "a probe", peak_memory_bytes=2**31, kept_bytes=10)
    jobs = chain(3)
    plain = costs_plain(jobs, {job: searched if job[0] == "s" else trained for job in jobs}, GPUS)
    search, train = plain["kinds"]
    assert plain["unit"] == "GPU-hours" and plain["sources"] == ["records", "a probe"]
    assert search["hours"] == {
        "low": 4.5,
        "expected": 6.0,
        "high": 9.0,
    }  # three of four hours, half a GPU each
    assert train["hours"] == {"low": 0.75, "expected": 1.5, "high": 3.0}
    assert plain["total"]["hours"] == {"low": 5.25, "expected": 7.5, "high": 12.0}
    assert plain["total"]["peak_memory_bytes"] == 2**31
    assert (plain["total"]["kept_bytes"], plain["total"]["checkpoint_bytes"]) == (330, 14)
    # Two at once: searches end at 4, 4 and 8, trainings at 5, 5 and 9.
    assert plain["wall_seconds"]["expected"] == 3600 * 9
    backwards = dict(reversed(jobs.items()))
    assert [kind["kind"] for kind in costs_plain(backwards, {}, GPUS)["kinds"]] == ["search", "train"]


def test_a_job_that_was_begun_costs_what_is_left_of_it():
    jobs = chain(1, share=0.25)
    plain = costs_plain(jobs, {"s0": hours(3, 4, 6)}, GPUS)
    assert plain["total"]["hours"]["expected"] == 0.5
    assert (plain["total"]["jobs"], plain["total"]["unknown"]) == (2, 1)


def test_the_text_says_what_is_known_and_what_is_not():
    jobs = chain(2)
    lines = costs_lines(costs_plain(jobs, {"s0": hours(3, 4, 6), "s1": hours(3, 4, 6)}, GPUS), KINDS)
    assert lines[0] == "cost of what is left, from records:"
    assert lines[2].split("  ")[1:4] == ["2 searches", "4 (3 to 6)", "-"]
    assert lines[-2] == "time: 4.0 h (3.0 h to 6.0 h) with 2 at once, beside the start of processes"
    assert lines[-1] == (
        "cost not known of 2 trainings: no job like them is in the storage. --probe measures them."
    )
    assert costs_lines(costs_plain({}, {}, GPUS), KINDS) == ["cost: nothing is left to run"]


def test_time_follows_the_needs_of_jobs_and_the_slots():
    jobs = {
        "long": Left("search", ()),
        "short": Left("search", ()),
        "after": Left("train", ("short", "done before")),
        "last": Left("select", ("long", "after")),
    }
    seconds = {"long": 10.0, "short": 1.0, "after": 2.0, "last": 5.0}
    assert [wall_seconds(jobs, seconds, slots) for slots in (1, 2, 3)] == [18.0, 15.0, 15.0]


def test_a_machine_with_more_gpus_has_the_cpus_for_them():
    placement = small().placement
    assert with_gpus(Machine(2, 0), placement, 3) == Machine(12, 3)
    half = small("execution.resources={cpus: 2, gpus: 0.5}").placement
    assert with_gpus(Machine(64, 1), half, 4) == Machine(64, 4)
    assert with_gpus(Machine(8, 1), half, 4) == Machine(16, 4)
    with pytest.raises(InputError, match="--gpus: 0 GPUs"):
        with_gpus(Machine(2, 0), placement, 0)


ROUTE = {"epochs": 10, "steps": 100, "rests": 20, "evaluations": 3.0}
PARTS = {"start_seconds": 2.0, "rests_seconds": [0.5], "pauses_seconds": [1.0], "evaluation_seconds": 4.0}


def probe_of(steps, **parts):
    return {**ROUTE, **PARTS, "steps_seconds": steps, "checkpoint_bytes": 50, **parts}


def test_a_probe_of_equal_parts_has_the_margin_and_the_doubt_of_its_evaluation():
    found = estimated([probe_of([0.25] * 8)], 0.1, 5, 6)
    beside = 2 + 10 * (100 * 0.25 + 1) + 20 * 0.5
    assert found.expected == pytest.approx(beside + 12)
    assert found.low == pytest.approx((beside + 6) / 1.1)
    assert found.high == pytest.approx((beside + 24) * 1.1)
    assert (found.peak_memory_bytes, found.kept_bytes, found.checkpoint_bytes) == (5, 6, 100)


def test_a_probe_whose_steps_vary_has_a_wide_interval():
    narrow, wide = (
        estimated([probe_of([0.25] * 8)], 0.1, 0, 0),
        estimated([probe_of([0.125, 0.375] * 4)], 0.1, 0, 0),
    )
    assert wide.expected == pytest.approx(narrow.expected)
    assert wide.low < 0.6 * narrow.low and wide.high > 1.3 * narrow.high
    # Two processes that go at different speeds are a spread too.
    two = estimated([probe_of([0.125] * 4), probe_of([0.375] * 4, start_seconds=20.0)], 0.1, 0, 0)
    assert two.low == pytest.approx(wide.low) and two.high > wide.high


def test_a_rare_slow_step_is_within_the_interval():
    found = estimated([probe_of([0.25] * 30 + [50.0])], 0.1, 0, 0)
    assert found.low < found.expected < found.high


def planned(capsys, *arguments):
    assert main(["campaign", "plan", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.yaml"
    path.write_text(FITTING + "baseline: a\n")
    return str(path)


def test_the_plan_tells_costs_and_the_repeats_of_a_comparison(file, tmp_path, capsys):
    folder = tmp_path / "storage"
    plain = planned(capsys, file, "--jobs", "--storage", str(folder))
    assert plain["costs"]["total"] | {"jobs": 8, "unknown": 8, "hours": None} == plain["costs"]["total"]
    assert plain["comparison"]["arms"] == 1 and plain["comparison"]["measured"] == []
    score = {("a", 0): 0.5, ("a", 1): 0.52, ("b", 0): 0.6, ("b", 1): 0.63}
    for job in plain["job_list"]:
        if job["kind"] == "train":
            result = {"evaluation": {"mAP": score[job["arm"], job["repeat"]]}}
            facts = {"wall_seconds": 3600.0, "device": "another", "threads": 1}
            Storage(folder).job(job["job"]).new_attempt().finish(
                Outcome("done", result=result, facts=facts, job=job["job"])
            )
    more = planned(capsys, file, "--storage", str(folder), "--set", "repeats=3")
    assert more["costs"]["sources"] == ["jobs with other seeds on another with 1 thread"]
    search, train = more["costs"]["kinds"]
    assert search["unknown"] == 6 and search["hours"] is None
    assert (train["jobs"], train["hours"]["expected"]) == (2, 2.0)
    (measured,) = more["comparison"]["measured"]
    assert measured["arm"] == "b" and measured["difference"] == pytest.approx(0.105)
    assert main(["campaign", "plan", file, "--storage", str(folder), "--set", "repeats=3"]) == 0
    text = capsys.readouterr().out
    assert "2 trainings  2 (" in text and "cost not known of 6 searches" in text
    assert "to tell an arm from a (mAP;" in text


def test_a_probe_measures_what_no_record_of_this_device_tells(file, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "storage"
    jobs = [job["job"] for job in planned(capsys, file, "--jobs")["job_list"] if job["kind"] == "search"]
    for job_id, device in zip(jobs[:2], ("another", processor_name()), strict=True):
        facts = {"wall_seconds": 60.0, "device": device, "threads": 1}
        Storage(folder).job(job_id).new_attempt().finish(Outcome("done", facts=facts, job=job_id))
    asked = []

    def measured(plan, jobs, **given):
        asked.extend(jobs)
        return dict.fromkeys(jobs, hours(1, 2, 3, "a probe"))

    monkeypatch.setattr(probing, "probe", measured)
    plain = planned(capsys, file, "--storage", str(folder), "--probe")
    assert jobs[2] in asked and jobs[3] not in asked and len(asked) == 5
    assert plain["costs"]["total"]["unknown"] == 0
    assert plain["costs"]["sources"] == ["a probe", "jobs with other seeds"]


def test_a_plan_for_gpus_that_are_not_here(file, capsys):
    plain = planned(capsys, file, "--gpus", "16")
    assert plain["resources"] == "4 CPUs and 1 GPU a trial, 16 at once"
    assert (plain["costs"]["unit"], plain["costs"]["slots"]) == ("GPU-hours", 16)
    assert main(["campaign", "plan", file, "--gpus", "0"]) == 2
    assert "--gpus: 0 GPUs" in capsys.readouterr().err


def test_a_probe_for_gpus_needs_one(file, capsys, monkeypatch):
    monkeypatch.setattr(probing, "this_machine", lambda: Machine(2, 0))
    assert main(["campaign", "plan", file, "--gpus", "2", "--probe"]) == 2
    assert "--probe: 2 GPUs planned for, but this machine has none to measure" in capsys.readouterr().err


def test_without_its_data_a_plan_has_no_costs(capsys, tmp_path):
    plain = planned(capsys, "cdnet_table1", "--probe", "--set", f"data.root={tmp_path / 'nowhere'}")
    assert plain["costs"] is None and "no such folder" in plain["data_problem"]
