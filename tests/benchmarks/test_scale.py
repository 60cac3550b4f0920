"""The simulated launch of many jobs: its clock moves by what is drawn, and every job ends."""

from __future__ import annotations

import pytest
import scale
from large_plans import plan_of


def test_a_simulated_launch_does_every_job_and_tries_again_what_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "DYING", 0.2)
    plan = plan_of(100, reuse=False)
    simulated = scale.Simulated(plan, 20)
    simulated.run()
    releases = simulated.dispatch.releases
    assert releases.done == set(plan.jobs)
    assert not releases.failed and not releases.running
    assert simulated.trials > len(plan.jobs)
    # No more than 20 at once, and no job before the search that it needs.
    assert 2 * scale.HOUR / 4 < simulated.busy / 20 <= simulated.now


def test_what_grows_faster_than_the_jobs_is_told() -> None:
    whole, fifth = {"jobs": 500, "seconds": {"a": 25.0}}, {"jobs": 100, "seconds": {"a": 1.0}}
    (row,) = scale.rows(whole, fifth)
    assert row.extra["growth"] == pytest.approx(5.0)
    assert row.extra["milliseconds_a_job"] == pytest.approx(50.0)
