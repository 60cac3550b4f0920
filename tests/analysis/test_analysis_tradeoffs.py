from __future__ import annotations

from pathlib import Path

import pytest
from fake_storage import ARMS, FakeCampaign, partial_campaign
from hypothesis import given
from hypothesis import strategies as st
from report_pages import grid, made, section

from analysis.collect import collect
from analysis.costing import arm_costs, unit
from analysis.pages import Records
from analysis.tradeoffs import front, prices

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
