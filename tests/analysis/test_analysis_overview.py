"""The first page of a report of several campaigns."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from fake_storage import FINGERPRINT, FakeCampaign, partial_campaign

from analysis.collect import collect
from analysis.overview import APT, NOT_APT, campaigns, comparable, overview
from analysis.pages import Records


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Records]:
    """Two campaigns of equal recipes, one of them with failures."""
    root = tmp_path_factory.mktemp("both")
    partial_campaign(root, "broken")
    second = FakeCampaign(root, "small", {"top-2": 2, "softmax, k=all": "all"}, repeats=1)
    second.write_manifest()
    collect(root)
    return [Records.read(root, name) for name in ("broken", "small")]


def changed(records: Records, table: str, **values: Any) -> Records:
    return dataclasses.replace(records, **{table: getattr(records, table).assign(**values)})


def test_every_campaign_has_a_row(both: list[Records]) -> None:
    """Arm top-2: 0.36, 0.39, 0.37, 0.40, and 0.36 alone. A search takes 40 s, a training 70 s; attempts that
    failed took 30 s, in the first campaign alone. The jobs of the second are among those of the first."""
    (grid,) = campaigns(both).grids
    assert grid.rows[0] == (
        *("broken", "11 of 16", "2", FINGERPRINT[:12], "2", "top-2", "38.0 ± 1.8", "4", "10.3 min"),
    )
    assert grid.rows[1] == (
        *("small", "4 of 4", "0", FINGERPRINT[:12], "2", "top-2", "36.0", "1", "3.7 min"),
    )


def test_equal_campaigns_may_be_compared(both: list[Records]) -> None:
    found = comparable(both)
    assert (found.intro, found.points, found.grids) == (APT, (), ())


@pytest.mark.parametrize(
    ("table", "values", "point"),
    [
        ("trials", {"data_fingerprint": "cd" * 32}, "The campaigns differ in data: "),
        ("retrains", {"protocol": "{}"}, "The campaigns differ in evaluation protocol: "),
        ("retrains", {"queries": 7}, "The campaigns differ in number of queries: 120 (broken); 7 (small)."),
        ("trials", {"engine_revision": 99}, "The campaigns differ in engine revision: "),
        (
            "trials",
            {"torch_version": "9"},
            "The campaigns differ in version of torch: 2.11.0 (broken); 9 (small).",
        ),
        ("trials", {"device": "H100"}, "The campaigns differ in device: "),
    ],
)
def test_what_differs_is_warned_of(
    both: list[Records], table: str, values: dict[str, Any], point: str
) -> None:
    found = comparable([both[0], changed(both[1], table, **values)])
    assert found.intro == NOT_APT and [text.startswith(point) for text in found.points] == [True]


def test_recipes_that_differ_are_shown_field_by_field(both: list[Records]) -> None:
    texts = both[1].trials["recipe_json"].str.replace('"epochs":8', '"epochs":9')
    assert not texts.equals(both[1].trials["recipe_json"])
    found = comparable([both[0], changed(both[1], "trials", recipe_json=texts)])
    assert found.points == ("The training recipes differ in epochs.",)
    assert found.grids[0].rows == (("train.epochs", "8", "broken"), ("train.epochs", "9", "small"))


def test_a_campaign_without_results_differs_in_nothing_yet(both: list[Records], tmp_path: Path) -> None:
    FakeCampaign(tmp_path, "planned").write_manifest()
    collect(tmp_path)
    planned = Records.read(tmp_path, "planned")
    assert comparable([both[0], planned]).points == ()
    page = overview([both[0], planned], "campaigns")
    assert dict(page.facts)["planned"] == "0 of 16 jobs are done; 16 waiting."
