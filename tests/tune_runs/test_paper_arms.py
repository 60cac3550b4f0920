"""The papers' tables name arms of the shipped campaigns: whoever renames one is told here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest

from analysis.paper_matching import field
from analysis.paper_tables import PrintedRow, names, table
from tune_runs.campaign import load_campaign, shipped_campaigns

REPEATED = [name for name in names() if table(name).campaigns]
# Arms of a table's own campaign that the paper does not have, by what their names begin with.
OURS = {
    "auto-reid/table1": ("Random", "GDAS"),
    "auto-reid/table3": ("Random", "Auto-ReID, found on MSMT17"),
    "auto-reid/table4": ("Random", "Auto-ReID, found on MSMT17"),
    "auto-reid/table5": ("Random", "Auto-ReID, found on MSMT17"),
    "cdnet/table3": ("Random",),
    "cdnet/table4": ("Random", "GDAS cells"),
    "cdnet/table7": ("Random",),
    "cdnet/table11": ("Random",),
    "kdas-reid/table1": ("Random", "Teacher"),
    "kdas-reid/table2": ("Random", "Baseline"),
    "kdas-reid/table3": ("Random", "Baseline"),
    "kdas-reid/table4": ("Random", "Baseline"),
}


@cache
def arms(campaign: str) -> dict[str, Any]:
    """The arms of a campaign by the names that a table knows: those on several data sets are alike."""
    return {arm.stem: arm for arm in load_campaign(campaign).arms}


def mapped(name: str) -> set[str]:
    return {arm for row in table(name).rows for arm in row.arms}


@pytest.mark.parametrize("name", names())
def test_every_arm_of_the_mapping_is_one_of_a_shipped_campaign(name: str) -> None:
    known = {arm for campaign in table(name).campaigns for arm in arms(campaign)}
    assert mapped(name) <= known
    assert set(table(name).campaigns) <= set(shipped_campaigns())


def test_a_campaign_that_is_named_like_a_table_repeats_it() -> None:
    by_name = {
        name: name.replace("-reid", "").replace("/", "_").replace("auto", "auto_reid") for name in names()
    }
    for name, campaign in by_name.items():
        assert (campaign in shipped_campaigns()) == (campaign in table(name).campaigns), name


@pytest.mark.parametrize("name", REPEATED)
def test_every_arm_of_the_first_campaign_has_a_row_or_is_known_to_be_ours(name: str) -> None:
    alone = {
        arm
        for arm in arms(table(name).campaigns[0])
        if not arm.startswith(OURS.get(name, ("no arm is ours",)))
    }
    assert alone == mapped(name) & set(arms(table(name).campaigns[0]))


def recipe(arm: Any, kind: str) -> Mapping[str, Any] | None:
    given = getattr(arm, kind, None)
    return None if given is None else json.loads(json.dumps(asdict(given)))


def differing(row: PrintedRow, arm: Any) -> dict[str, tuple[str, str]]:
    """What a row prints beside what the arm's recipes hold, where they differ."""
    found = {}
    for path, printed in row.settings.items():
        kind, _, name = path.partition(".")
        given = recipe(arm, kind)
        if given is not None and field([given], name) != printed:
            found[path] = (printed, field([given], name))
    size = recipe(arm, "train")
    if size and row.height and (row.height, row.width) != (size["height"], size["width"]):
        found["size"] = (f"{row.height}x{row.width}", f"{size['height']}x{size['width']}")
    return found


@pytest.mark.parametrize("name", REPEATED)
def test_what_the_tables_print_of_recipes_is_what_the_campaigns_do(name: str) -> None:
    for campaign in table(name).campaigns:
        known = arms(campaign)
        for row in table(name).rows:
            for arm in set(row.arms) & set(known):
                assert differing(row, known[arm]) == {}, (campaign, arm)


def test_settings_of_tables_without_a_campaign_are_fields_of_recipes() -> None:
    from autoreid.pretrain_recipes import CIFAR100_PRETRAIN
    from autoreid.published import CDNET_SEARCH, CDNET_TRAIN

    known = {"search": CDNET_SEARCH, "train": CDNET_TRAIN, "pretrain": CIFAR100_PRETRAIN}
    paths = {path for name in names() for row in table(name).rows for path in row.settings}
    assert len(paths) > 12
    for path in paths:
        value: Any = known[path.partition(".")[0]]
        for part in path.split(".")[1:]:
            value = getattr(value, part)
