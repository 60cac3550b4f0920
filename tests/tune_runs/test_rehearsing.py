"""The rehearsal of a campaign: which jobs, and what is said of the whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from campaigns import FINGERPRINT, small

from autoreid.execution import Execution
from autoreid.storage import Storage
from tune_runs.planning import make_plan
from tune_runs.rehearsing import Forecast, forecast_text, rehearsal_plan
from tune_runs.resources import Allotment

TINY = [
    "--set=data={set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}",
    "--set=repeats=2",
    "--set=search.batch={identities: 4, images: 2}",
    "--set=train.batch={identities: 4, images: 2}",
]


def test_one_job_of_every_arm_and_kind_is_rehearsed_after_what_it_needs():
    plan = make_plan(small("repeats=3"), FINGERPRINT)
    part = rehearsal_plan(plan)
    assert [(entry.arm, entry.kind, entry.repeat) for entry in part.entries] == [
        ("a", "search", 0),
        ("a", "train", 0),
        ("b", "search", 0),
        ("b", "train", 0),
    ]
    assert list(part.jobs) == [job for job in plan.jobs if job in part.jobs]
    assert all(needed in part.jobs for job in part.jobs.values() for needed in job.needs)
    assert part.campaign.placement.retries == 0


def test_several_jobs_of_every_arm_and_kind_fill_a_machine():
    plan = make_plan(small("repeats=3"), FINGERPRINT)
    part = rehearsal_plan(plan, each=2)
    assert sorted({(entry.arm, entry.kind, entry.repeat) for entry in part.entries}) == [
        (arm, kind, repeat) for arm in "ab" for kind in ("search", "train") for repeat in (0, 1)
    ]


def test_a_selection_is_rehearsed_with_all_its_searches():
    plan = make_plan(small("repeats=2", "select=supernet"), FINGERPRINT)
    part = rehearsal_plan(plan)
    assert sum(job.kind == "search" for job in part.jobs.values()) == 4
    assert sum(job.kind == "select" for job in part.jobs.values()) == 2


def test_a_forecast_counts_what_is_left():
    forecasts = [
        Forecast("a", "search", 3, 0.25, 7200.0, 2**30),
        Forecast("a", "select", 1, 0.5, 1800.0, 2**30),
        Forecast("a", "train", 0, 0.125, 3600.0, 2**31),
        Forecast("a", "evaluate", 0, 0.0, 60.0, 2**31),
    ]
    lines = forecast_text(forecasts, Allotment(4, 1, 2, Execution())).splitlines()
    assert lines[1].split() == ["a", "search", "3", "0.250", "s", "2.0", "h", "1.0", "GiB"]
    assert lines[2].split()[3:7] == ["0.500", "s", "30.0", "min"]
    assert lines[4].split()[:4] == ["a", "evaluate", "0", "-"]  # it takes no steps
    assert lines[-1] == (
        "4 jobs left: about 6.5 h one after the other, 3.2 h with 4 CPUs and 1 GPU a trial, 2 at once, "
        "beside the start of processes"
    )


@pytest.mark.ray
@pytest.mark.slow
def test_a_rehearsal_from_the_command_line_leaves_nothing_behind(tmp_path, cache):
    line = [sys.executable, "-m", "autoreid.cli", "campaign", "rehearse", "demo", "--storage", "storage"]
    environment = {**os.environ, "AUTOREID_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*line, *TINY, "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    search, train = json.loads(done.stdout)
    assert (search["kind"], search["left"], train["kind"], train["left"]) == ("search", 2, "train", 2)
    assert min(search["job_seconds"], train["job_seconds"], train["step_seconds"]) > 0
    storage = Storage(tmp_path / "storage")
    assert storage.folder.sizes() == {}
    failing = subprocess.run(
        # Of 65 rows this network's middle map has 4, others' 5: its building alone tells.
        [*line, *TINY, "--set=train.neck.stripes=5", "--set=train.height=65"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert failing.returncode == 1
    assert "rehearsal: train CDNet top-2: " in failing.stderr
    assert "5 stripes of a map that is 4 rows high" in failing.stderr
    assert "Nothing of the campaign was run." in failing.stderr
