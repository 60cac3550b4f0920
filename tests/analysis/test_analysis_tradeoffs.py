from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_storage import ARMS, FakeCampaign, facts, partial_campaign
from hypothesis import given
from hypothesis import strategies as st
from report_pages import grid, made, section

from analysis.collect import collect
from analysis.costing import arm_costs, cost, unit
from analysis.pages import Records
from analysis.sweeps import under_their_arms
from analysis.tradeoffs import front, prices
from autoreid.attempts import Outcome
from autoreid.recipes import SelectRecipe

FIRST, SECOND = ARMS
PAIRS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=1), st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1
)


@given(PAIRS)
def test_the_front_is_what_no_other_beats(pairs: dict[str, tuple[int, int]]) -> None:
    """Against the definition in another form: whoever is not on the front is beaten by one that is."""
    found = front({a: p for a, (p, _) in pairs.items()}, {a: s for a, (_, s) in pairs.items()})
    assert [pairs[arm][0] for arm in found] == sorted(pairs[arm][0] for arm in found)
    for arm, (price, score) in pairs.items():
        beaten = [
            other
            for other in found
            if pairs[other] != (price, score) and pairs[other][0] <= price and pairs[other][1] >= score
        ]
        assert (arm in found) != bool(beaten)


@pytest.fixture
def records(example: Path) -> Records:
    return Records.read(example, "two-arms")


def test_the_cost_of_an_arm_is_the_sum_of_its_jobs(records: Records) -> None:
    """By the facts of the fake storage: one thread, so that device-seconds are seconds."""
    found = arm_costs(records)
    assert unit(records) == "CPU-hours"
    first = found[FIRST]
    assert first.results == 4 and first.seconds["failed"] == 7.0
    assert first.total == pytest.approx(4 * (40 + 70) + 7)
    assert first.per_result == pytest.approx(first.total / 4)
    assert sum(cost.total for cost in found.values()) == pytest.approx(
        float(records.jobs[["wall_seconds", "failed_seconds", "interrupted_seconds"]].sum().sum())
    )


def test_a_shared_search_is_charged_to_every_arm_that_trains_it(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "shared", {"own": 2, "guest": 3}, repeats=1)
    manifest = campaign.manifest()
    guest = campaign.jobs["guest", 0, "train"]
    manifest["entries"] = [
        entry for entry in manifest["entries"] if (entry["arm"], entry["kind"]) != ("guest", "search")
    ]
    manifest["jobs"][guest.id]["inputs"] = {"job": campaign.jobs["own", 0, "search"].id}
    campaign.finish("own", 0, "search")
    campaign.finish("own", 0, "train")
    campaign.finish("guest", 0, "train")
    campaign.storage.write_manifest("shared", manifest)
    collect(tmp_path)
    found = arm_costs(Records.read(tmp_path, "shared"))
    assert found["own"].seconds["from other jobs"] == 0 and found["own"].total == pytest.approx(110)
    assert found["guest"].seconds["from other jobs"] == pytest.approx(40)
    assert found["guest"].per_result == pytest.approx(110)


def test_the_report_shows_what_accuracy_costs(tmp_path: Path) -> None:
    partial_campaign(tmp_path)
    found = made(tmp_path)
    rows = grid(found, "Cost", "CPU-hours by arm").rows
    assert [row[0] for row in rows] == [FIRST, SECOND]
    part = section(found, "What accuracy costs")
    # Both arms have the same network here: only the hours tell them apart.
    assert [picture.name for picture in part.pictures] == ["p--map-against-hours"]
    assert part.pictures[0].data and [row[0] for row in part.pictures[0].data.rows] == [FIRST, SECOND]
    assert part.grids[0].headings == ("arm", "mAP, %", "CPU-hours for one result")


def test_arms_of_one_size_have_no_figure_for_it(records: Records) -> None:
    assert [price.name for price in prices(records)] == ["hours"]


def one_arm(root: Path) -> FakeCampaign:
    campaign = FakeCampaign(root, "one", {"own": 2}, repeats=1)
    campaign.finish("own", 0, "search")
    return campaign


def costs_of(campaign: FakeCampaign, root: Path) -> Records:
    campaign.write_manifest()
    collect(root)
    return under_their_arms(Records.read(root, campaign.name))


def test_failed_attempts_on_several_devices_are_all_charged(tmp_path: Path) -> None:
    campaign = one_arm(tmp_path)
    for seconds, device in ((7.0, {}), (5.0, {"threads": 2}), (3.0, {"device_kind": "cuda"})):
        attempt = campaign.attempt("own", 0, "train", 2)
        attempt.finish(Outcome("failed", facts=facts(seconds, 2, **device), error="it died"))
    campaign.finish("own", 0, "train")
    (cost,) = arm_costs(costs_of(campaign, tmp_path)).values()
    assert cost.seconds["failed"] == pytest.approx(7 + 2 * 5 + 3)


def killed(records: Records, *, known: bool) -> Records:
    """The records with an attempt of the training, of 40 s, that left nothing of its device behind."""
    costs = records.costs
    row = costs[costs["phase"] == "train"].assign(phase="interrupted", seconds=40.0, device_seconds=None)
    row = row.assign(device_kind=None, device=None, devices=None).astype(costs.dtypes.to_dict())
    others = costs if known else costs.assign(devices=None, device_seconds=math.nan)
    others = others.astype(costs.dtypes.to_dict())
    return dataclasses.replace(records, costs=pd.concat([others, row], ignore_index=True))


def test_a_killed_attempt_is_charged_as_the_attempt_that_tells_its_device(tmp_path: Path) -> None:
    campaign = one_arm(tmp_path)
    campaign.finish("own", 0, "train", threads=2)
    (cost,) = arm_costs(killed(costs_of(campaign, tmp_path), known=True)).values()
    assert cost.seconds["interrupted"] == pytest.approx(80.0)


def test_time_on_devices_that_nothing_tells_is_named(tmp_path: Path) -> None:
    campaign = one_arm(tmp_path)
    campaign.finish("own", 0, "train")
    records = killed(costs_of(campaign, tmp_path), known=False)
    assert [one.total for one in arm_costs(records).values()] == [0.0]
    (said,) = cost(records).points
    assert "2.5 min of wall time were spent was not recorded" in said
    assert cost(costs_of(campaign, tmp_path)).points == ()


def test_a_training_without_scores_has_no_place_on_a_front(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "damaged", {"a": 2, "b": 3, "c": 4}, repeats=1)
    changes: dict[str, dict[str, Any]] = {
        "a": {"wall_seconds": 80.0},
        "b": {"wall_seconds": 90.0},
        "c": {"evaluation": {}},
    }
    for arm in campaign.arms:
        campaign.finish(arm, 0, "search")
        campaign.finish(arm, 0, "train", **changes[arm])
    campaign.write_manifest()
    rows = grid(made(tmp_path), "What accuracy costs", "Fronts").rows
    assert [row[0] for row in rows] == ["a", "b"]


def test_a_result_of_the_best_search_took_all_searches(tmp_path: Path) -> None:
    """Four searches of 40 s, a selection of 12 s and a training of 70 s stand behind each result."""
    campaign = FakeCampaign(tmp_path, "best", {"own": 2}, 4, SelectRecipe(), trainings=2)
    for repeat in range(4):
        campaign.finish("own", repeat, "search")
    campaign.select("own", 20.0, 40.0, 30.0, 10.0)
    for repeat in range(2):
        campaign.finish("own", repeat, "train")
    (found,) = arm_costs(costs_of(campaign, tmp_path)).values()
    assert found.total == pytest.approx(4 * 40 + 12 + 2 * 70)
    assert found.per_result == pytest.approx(4 * 40 + 12 + 70)
