"""A probe against what it foretells."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest
from campaigns import FINGERPRINT, small
from sweeps import OVER, SWEEP, sweeping

from autoreid.attempts import Outcome
from autoreid.execution import Execution
from autoreid.storage import Storage
from tune_runs import probing
from tune_runs.foresight import foreseen
from tune_runs.planning import make_plan
from tune_runs.progress import silent
from tune_runs.resources import Allotment

# The demo, small: as many jobs as it has, at a tenth of the work.
SMALL_DEMO = [
    "--set=data={set: rendered, identities: 60, cameras: 3, images: 3, height: 64, width: 32}",
    "--set=search.epochs=3",
    "--set=train.epochs=8",
    "--set=train.optimizer.schedule.milestones=[6]",
]


REHEARSAL = {
    "epochs": 10,
    "steps": 100,
    "rests": 10,
    "evaluations": 1.0,
    "start_seconds": 0.0,
    "rests_seconds": [0.0],
    "pauses_seconds": [0.0],
    "evaluation_seconds": 0.0,
    "checkpoint_bytes": 50,
}


def test_every_arm_and_kind_takes_the_time_of_its_own_probes(tmp_path, monkeypatch):
    plan, ran = make_plan(small("repeats=4"), FINGERPRINT), []

    @contextlib.contextmanager
    def in_small(part, storage, allotment, engine, write):
        ran.extend((entry.arm, entry.kind, entry.repeat) for entry in part.entries)
        for entry in part.entries:
            step = {"a": 0.25, "b": 0.5}[entry.arm] * {"search": 1, "train": 8}[entry.kind]
            attempt = storage.job(entry.job).new_attempt()
            attempt.write("model.pt", bytes(1000))
            found = {"rehearsal": REHEARSAL | {"steps_seconds": [step, step]}}
            attempt.finish(Outcome("done", result=found, facts={"peak_memory_bytes": 2**30}))
        yield storage

    monkeypatch.setattr(probing, "run_in_small", in_small)
    wanted = {entry.job for entry in plan.entries if (entry.arm, entry.kind) != ("b", "search")}
    allotment = Allotment(4, 1, 3, Execution(device="cuda"))
    found = probing._probed(plan, wanted, Storage(tmp_path), allotment, silent)
    # Two arms fill three places with two jobs each; searches of b are there as its trainings need them.
    assert set(ran) == {(arm, kind, n) for arm in "ab" for kind in ("search", "train") for n in (0, 1)}
    assert found.keys() == wanted
    expected = {
        (entry.arm, entry.kind): found[entry.job].expected for entry in plan.entries if entry.job in found
    }
    assert expected == {("a", "search"): 250.0, ("a", "train"): 2000.0, ("b", "train"): 4000.0}
    one = next(iter(found.values()))
    assert (one.peak_memory_bytes, one.kept_bytes, one.checkpoint_bytes) == (2**30, 1000, 100)
    assert one.high == pytest.approx(1.1 * one.expected)  # of a GPU


def test_every_size_of_a_sweep_has_a_probe_of_its_own(tmp_path, monkeypatch):
    rates = "search.optimizer.learning_rate: {low: 0.01, high: 0.1}"
    text = SWEEP.replace(OVER, f"    k: [1, 2, 3]\n    {rates}\n").replace("points: 6", "points: 12")
    plan, ran = foreseen(make_plan(sweeping(text=text), FINGERPRINT)), []

    @contextlib.contextmanager
    def in_small(part, storage, allotment, engine, write):
        ran.extend(part.jobs[entry.job].recipe.k for entry in part.entries if entry.kind == "search")
        for job_id, job in part.jobs.items():
            step = 0.1 * job.recipe.k if job.kind == "search" else 1.0
            found = {"rehearsal": REHEARSAL | {"steps_seconds": [step, step]}}
            outcome = Outcome("done", result=found, facts={"peak_memory_bytes": 2**30})
            storage.job(job_id).new_attempt().finish(outcome)
        yield storage

    monkeypatch.setattr(probing, "run_in_small", in_small)
    allotment = Allotment(1, 0, 1, Execution(device="cpu"))
    found = probing._probed(plan, plan.jobs.keys(), Storage(tmp_path), allotment, silent)
    # A selection is among two searches.
    assert sorted(ran) == [1, 1, 2, 2, 3, 3] and found.keys() == plan.jobs.keys()
    for job_id, job in plan.jobs.items():
        if job.kind == "search":
            assert found[job_id].expected == pytest.approx(100.0 * job.recipe.k)


@pytest.mark.ray
@pytest.mark.slow
def test_the_hours_of_the_demo_lie_in_the_interval_of_its_probe(tmp_path, cache):
    def told(verb, *more):
        line = [sys.executable, "-m", "autoreid.cli", "campaign", verb, "demo", *SMALL_DEMO, "--json", *more]
        environment = {**os.environ, "AUTOREID_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    plan = told("plan", "--probe", "--storage", "storage")
    storage = Storage(tmp_path / "storage")
    assert storage.folder.sizes() == {}
    costs = plan["costs"]
    assert costs["total"]["unknown"] == 0 and costs["sources"] == ["a probe of 2 times 16 steps"]
    told("run", "--storage", "storage")
    outcomes = [storage.job(job_id).finished() for job_id in storage.jobs()]
    facts = [finished[1].facts for finished in outcomes if finished is not None]
    assert len(facts) == 8
    cpus = float(plan["resources"].split()[0])
    measured = cpus * sum(fact["wall_seconds"] for fact in facts) / 3600
    found = [costs["total"]["hours"]]
    # An interval that holds everything says nothing.
    assert found[0]["high"] < 8 * found[0]["low"]
    if not found[0]["low"] <= measured <= found[0]["high"]:
        # Others may work on this machine: a probe of now says whether it has become another one meanwhile.
        found.append(told("plan", "--probe")["costs"]["total"]["hours"])
    low, high = min(hours["low"] for hours in found), max(hours["high"] for hours in found)
    assert low <= measured <= high, (found, measured)
    kept = sum(
        vouched["bytes"] for finished in outcomes if finished for vouched in finished[1].files.values()
    )
    assert costs["total"]["kept_bytes"] == pytest.approx(kept, rel=0.2)
    peak = max(fact["peak_memory_bytes"] for fact in facts)
    assert costs["total"]["peak_memory_bytes"] == pytest.approx(peak, rel=0.3)
    # Once they are done, records tell of more repeats.
    more = told("plan", "--storage", "storage", "--set=repeats=5")
    assert more["costs"]["sources"] == ["jobs with other seeds"]
    assert more["costs"]["total"]["jobs"] == 2
