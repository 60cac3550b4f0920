"""A probe against what it foretells."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from autoreid.storage import Storage

# The demo, small: as many jobs as it has, at a tenth of the work.
SMALL_DEMO = [
    "--set=data={set: rendered, identities: 60, cameras: 3, images: 3, height: 64, width: 32}",
    "--set=search.epochs=3",
    "--set=train.epochs=8",
    "--set=train.optimizer.schedule.milestones=[6]",
]


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
