from __future__ import annotations

from pathlib import Path

from fake_storage import FakeCampaign
from report_pages import made, section

from analysis import tables
from analysis.collapse import collapses
from analysis.collect import collect
from analysis.pages import Records


def campaign_in(root: Path, collapsed: dict[tuple[str, int], bool | None]) -> FakeCampaign:
    """Two arms of three repeats; what each search says of its genotype, nothing where it is not named."""
    campaign = FakeCampaign(root, "fallen", {"a": 2, "b": 3}, repeats=3)
    for arm in ("a", "b"):
        for repeat in range(3):
            said = {"collapsed": collapsed[arm, repeat]} if (arm, repeat) in collapsed else {}
            campaign.finish(arm, repeat, "search", **said)
            campaign.finish(arm, repeat, "train")
    campaign.write_manifest()
    return campaign


def test_collapsed_searches_are_named_and_kept(tmp_path: Path) -> None:
    said = {("a", 0): False, ("a", 1): True, ("a", 2): None, ("b", 0): True, ("b", 2): True}
    campaign_in(tmp_path, said)
    points = section(made(tmp_path), "Read with care").points
    (point,) = [point for point in points if "collapsed" in point]
    assert point.startswith("3 of 6 searches collapsed (a: repeat 2; b: repeats 1, 3): half of the normal")
    assert len(tables.read(tmp_path, "retrains", "fallen")) == 6
    found = tables.read(tmp_path, "genotypes", "fallen").set_index(["arm", "repeat"])["collapsed"]
    assert found.dtype == "boolean"
    assert found.dropna().to_dict() == {key: value for key, value in said.items() if value is not None}


def test_nothing_is_said_where_none_did(tmp_path: Path) -> None:
    campaign_in(tmp_path, {("a", 0): False, ("b", 1): None})
    collect(tmp_path)
    assert collapses(Records.read(tmp_path, "fallen")) == []


def test_searches_that_stopped_early_are_named(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "fallen", {"a": 2}, repeats=3)
    for repeat in range(3):
        campaign.finish(
            "a", repeat, "search", **({"stopped_epoch": 4, "genotype_epoch": 2} if repeat else {})
        )
    campaign.write_manifest()
    points = section(made(tmp_path), "Read with care").points
    assert any(
        point.startswith("2 of 3 searches stopped early (a: repeats 2, 3), as the") for point in points
    )
