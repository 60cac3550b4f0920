"""Memory of the jobs of a plan: what is counted once, what will not fit, and what is said of it."""

import json
from dataclasses import replace

import pytest
from campaigns import FITTING

from autoreid.attempts import Outcome
from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.footprint import search_footprint
from autoreid.storage import Storage
from tune_runs import memory
from tune_runs.campaign import read_campaign
from tune_runs.memory import Question, check_memory, memory_lines, memory_plain, problems_of
from tune_runs.opening import read_data
from tune_runs.resources import Allotment

SMALL = FITTING.replace("width: 32,", "width: 32, width_multiplier: 0.125,")
SMALL = SMALL.replace("height: 64, width: 32, width_multiplier: 0.125}", "height: 64, width: 32}")
SMALL = SMALL.replace("{space: cds-v1}", "{space: cs-v1, k: 1}")  # what an option takes is known then
GPU = Allotment(4, 1, 1, Execution(device="cuda"))


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    monkeypatch.setenv("AUTOREID_CACHE", str(tmp_path / "cache"))
    return read_campaign(SMALL, "small.yaml", None, ("grid={search.alpha_scale: [1e-3, 1e-4]}",))


@pytest.fixture
def plan(campaign):
    return read_data(campaign)[0]


def test_each_size_is_counted_once(plan):
    """Two numbers of branches, two scales of the alphas, two repeats: their searches, and one training."""
    plain = memory_plain(plan, Execution(), 2**30)
    assert [(row["kind"], len(row["arms"])) for row in plain["sizes"]] == [
        ("search", 2),
        ("train", 4),
        ("search", 2),
    ]
    assert plain["not_counted"] == 0 and all(row["fits"] for row in plain["sizes"])
    first = next(job.recipe for job in plan.jobs.values() if job.kind == "search")
    counted = search_footprint(first, 8, Execution(device="cuda"))
    row = plain["sizes"][0]
    assert (row["batch"], row["bytes"], row["bytes_per_image"]) == (8, counted.peak(), counted.per_image)
    assert row["largest_batch"] > 8
    assert problems_of(plain) == []
    assert memory_lines(plain)[0] == "memory of a step, with 1GiB on a GPU:"


def test_more_sizes_than_are_counted_are_told(plan, monkeypatch):
    monkeypatch.setattr(memory, "MOST_COUNTED", 1)
    plain = memory_plain(plan, Execution(), 2**30)
    assert (len(plain["sizes"]), plain["not_counted"]) == (1, 2)
    assert memory_lines(plain)[-1] == "of 2 more sizes it was not counted"


def test_what_cannot_be_counted_is_told(plan, monkeypatch):
    def asks_for_a_value(*given):
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    monkeypatch.setattr(Question, "count", asks_for_a_value)
    plain = memory_plain(plan, Execution(), 2**30)
    assert plain["sizes"] == [] and plain["not_counted"] == 3
    assert "of 3 more sizes it was not counted" in memory_lines(plain)
    assert problems_of(plain) == []


def test_what_will_not_fit_is_told_with_what_would(plan):
    size = memory_plain(plan, Execution(), 2**30)["sizes"][0]["bytes"]
    plain = memory_plain(plan, Execution(), size - 1)
    row = plain["sizes"][0]
    first = next(job.recipe for job in plan.jobs.values() if job.kind == "search")
    counted = search_footprint(first, 8, Execution(device="cuda"))
    of_two = [images for images in range(2, 8, 2) if counted.peak(images) <= 0.9 * (size - 1)]
    assert not row["fits"] and row["largest_batch"] == max(of_two)
    assert list(row["remedies"]) == ["precision: bf16"]
    problem = problems_of(plain)[0]
    assert f"a batch of at most {max(of_two)} images" in problem and "precision: bf16 (" in problem


def test_a_launch_is_refused_where_a_job_could_never_run(plan, tmp_path, monkeypatch):
    storage = Storage(tmp_path / "storage")
    check_memory(plan, storage, GPU)  # no GPU is here: nothing is known of it
    monkeypatch.setattr(memory, "gpu_memory", lambda allotment: 2**40)
    check_memory(plan, storage, GPU)
    monkeypatch.setattr(memory, "gpu_memory", lambda allotment: 2**10)
    with pytest.raises(InputError) as caught:
        check_memory(plan, storage, GPU)
    assert len(caught.value.problems) == 3
    assert "Search or train smaller networks or images." in str(caught.value)
    for job_id, job in plan.jobs.items():
        if job.kind == "search":
            storage.job(job_id).new_attempt().finish(Outcome("done"))
    with pytest.raises(InputError) as caught:
        check_memory(plan, storage, GPU)
    assert all("of its train" in problem for problem in caught.value.problems)
    check_memory(replace(plan, entries=()), storage, GPU)


def test_plan_tells_what_fits_on_a_gpu(campaign, tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(SMALL)
    given = ["campaign", "plan", str(tmp_path / "small.yaml")]
    assert main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] is None
    assert main([*given, "--gpu-memory", "4MiB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"]["gpu_memory_bytes"] == 2**22
    assert main([*given, "--gpu-memory", "4MiB"]) == 0
    shown = capsys.readouterr().out
    assert "memory of a step, with 4MiB on a GPU:" in shown and "\nwarning: a: a step of its search" in shown
    assert main([*given, "--gpu-memory", "much"]) == 2
    assert "'much' is no amount of memory" in capsys.readouterr().err
