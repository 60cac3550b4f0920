"""What a report says of searches at their end."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from fake_storage import FakeCampaign, epoch_rows
from report_pages import made, section

from analysis.collect import collect
from analysis.health import health
from analysis.pages import Records

NAMES = (
    "arm",
    "searches",
    "in short",
    "gap",
    "skips",
    "free",
    "collapsed",
    "entropy",
    "share",
    "rise",
    "stopped",
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """One arm of two searches; the first collapsed, the second was stopped."""
    root = tmp_path_factory.mktemp("health")
    campaign = FakeCampaign(root, "h", {"a": 2}, repeats=2)
    campaign.finish("a", 0, "search", collapsed=True)
    campaign.finish("a", 1, "search", collapsed=False, stopped_epoch=4, genotype_epoch=2)
    campaign.write_manifest()
    collect(root)
    return Records.read(root, "h")


def row(records: Records, **columns: list[Any]) -> dict[str, str]:
    """The arm's row where every search recorded these values, one for each of its six epochs."""
    epochs = records.epochs.copy()
    for column, given in columns.items():
        epochs[column] = [given[epoch - 1] for epoch in epochs["epoch"]]
    part = health(dataclasses.replace(records, epochs=epochs))
    assert part is not None
    return dict(zip(NAMES, part.grids[0].rows[0], strict=True))


def sound(records: Records) -> Records:
    genotypes = records.genotypes.assign(collapsed=False, stopped_epoch=None)
    return dataclasses.replace(records, genotypes=genotypes)


def test_collapse_stops_and_entropy_are_told(records: Records) -> None:
    found = row(records)
    last, first = (
        epoch_rows(6, 0, "search")[-1]["alpha_entropy"],
        epoch_rows(6, 0, "search")[0]["alpha_entropy"],
    )
    other = epoch_rows(6, 1, "search")
    entropy = (last + other[-1]["alpha_entropy"]) / 2
    share = 50 * (last / first + other[-1]["alpha_entropy"] / other[0]["alpha_entropy"])
    assert found["in short"] == "1 of 2 collapsed; 1 stopped early"
    assert (found["collapsed"], found["stopped"], found["searches"]) == ("1 of 2", "1", "2 of 2")
    assert (found["entropy"], found["share"]) == (f"{entropy:.2f}", f"{share:.1f}")
    assert (found["gap"], found["skips"], found["rise"]) == ("-", "-", "-")


@pytest.mark.parametrize(
    ("columns", "cell", "text", "said"),
    [
        ({"discretisation_gap": [0, 0, 0, 0, 0.4, 0.2]}, "gap", "+20.0", "large gap"),
        ({"discretisation_gap": [0.4, 0, 0, 0, 0, 0.01]}, "gap", "+1.0", "nothing stands out"),
        ({"share_skip_connect": [0, 0, 0, 0, 0, 0.75]}, "skips", "75.0", "skip connections took over"),
        ({"share_parameter_free": [0, 0, 0, 0, 0, 0.25]}, "free", "25.0", "nothing stands out"),
        ({"alpha_eigenvalue": [None, 0.3, 0.2, None, 0.3, 0.4]}, "rise", "2.00", "the eigenvalue rose"),
        ({"alpha_eigenvalue": [None, 0.4, 0.3, 0.2, None, None]}, "rise", "1.00", "nothing stands out"),
        ({"alpha_entropy": [2.0, 2.0, 2.0, 2.0, 2.0, 1.99]}, "share", "99.5", "alphas hardly moved"),
        ({"alpha_entropy": [None] * 6}, "entropy", "-", "not measured"),
    ],
)
def test_every_measure_has_its_word(
    records: Records, columns: dict[str, list[Any]], cell: str, text: str, said: str
) -> None:
    found = row(sound(records), **columns)
    assert (found[cell], found["in short"]) == (text, said)


def test_searches_under_way_are_in_it_and_campaigns_without_searches_have_none(
    records: Records, tmp_path: Path
) -> None:
    campaign = FakeCampaign(tmp_path, "running", {"a": 2}, repeats=1)
    campaign.attempt("a", 0, "search", 3)
    campaign.write_manifest()
    assert section(made(tmp_path), "Search health").grids[0].rows[0][1] == "0 of 1"
    assert health(dataclasses.replace(records, trials=records.trials.query("kind == 'train'"))) is None
