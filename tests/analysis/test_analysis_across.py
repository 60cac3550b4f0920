from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_storage import FakeCampaign

from analysis.across import across, chosen_baseline, merged
from analysis.collect import collect
from analysis.pages import Records
from analysis.spreads import spreads
from analysis.variances import components
from autoreid.cli import main
from autoreid.errors import InputError

REST = {"rank_1": 0.5, "rank_5": 0.6, "rank_10": 0.7, "mINP": 0.1, "queries": 9, "protocol": {"version": 1}}


def written(root: Path, name: str, arms: dict[str, tuple[float, ...]], first: int, **recipe: int) -> None:
    """A campaign whose searches begin at k = `first`, so that no job is that of another campaign."""
    repeats = max(map(len, arms.values()))
    campaign = FakeCampaign(root, name, {arm: first + i for i, arm in enumerate(arms)}, repeats)
    manifest = campaign.manifest(baseline="base" if "base" in arms else None)
    for (_, _, kind), job in campaign.jobs.items():
        if kind == "train":
            manifest["jobs"][job.id]["recipe"] |= recipe
    for arm, scores in arms.items():
        for repeat, score in enumerate(scores):
            campaign.finish(arm, repeat, "search")
            campaign.finish(arm, repeat, "train", evaluation={"mAP": score, **REST})
    campaign.storage.write_manifest(name, manifest)


def read(root: Path, *names: str) -> list[Records]:
    collect(root)
    return [Records.read(root, name) for name in names]


LOW, HIGH = (0.30, 0.31, 0.32, 0.33), (0.40, 0.42, 0.41, 0.43)


def test_arms_of_another_campaign_are_compared_with_the_baseline(tmp_path: Path) -> None:
    written(tmp_path, "one", {"base": LOW, "own": HIGH}, 1)
    written(tmp_path, "two", {"new": HIGH}, 3)
    section = across(read(tmp_path, "one", "two"))
    assert section and [row[:3] for row in section.grids[0].rows] == [
        ("one: base", "4 of 4", "31.5 ± 1.3"),
        ("one: own", "4 of 4", "41.5 ± 1.3"),
        ("two: new", "4 of 4", "41.5 ± 1.3"),
    ]
    assert section.grids[1].rows == (("two: new", "above the baseline by 10.0 points (p = 0.029)."),)


def test_a_recipe_that_differs_between_campaigns_is_refused_with_its_fields(tmp_path: Path) -> None:
    written(tmp_path, "one", {"base": LOW}, 1)
    written(tmp_path, "two", {"new": HIGH}, 3, epochs=12)
    section = across(read(tmp_path, "one", "two"))
    assert section and section.grids[1].rows == (
        ("two: new", "not comparable: the training recipes differ: epochs 12 against 8."),
    )


def test_a_teacher_or_a_pretraining_in_one_campaign_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "one", {"base": LOW}, 1)
    written(tmp_path, "two", {"new": HIGH}, 3)
    one, two = read(tmp_path, "one", "two")
    taught = replace(two, trials=two.trials.assign(teacher="a large network"))
    section = across([one, taught])
    assert section and section.grids[1].rows == (
        ("two: new", "not comparable: the training recipes differ: teacher a large network against -."),
    )
    searches = two.trials["kind"] == "search"
    pretrained = two.trials.assign(kind=two.trials["kind"].mask(searches, "pretrain"))
    section = across([one, replace(two, trials=pretrained)])
    assert (
        section and "not comparable: the training recipes differ: pretraining." in section.grids[1].rows[0][1]
    )


def test_trainings_that_two_campaigns_share_are_no_comparison(tmp_path: Path) -> None:
    written(tmp_path, "one", {"base": LOW}, 1)
    written(tmp_path, "two", {"same": LOW}, 1)
    section = across(read(tmp_path, "one", "two"))
    assert section and section.grids[1].rows == (("two: same", "not comparable: they share 4 trainings."),)


def test_the_baseline_is_the_one_given_or_the_first(tmp_path: Path) -> None:
    written(tmp_path, "one", {"a": LOW}, 1)
    written(tmp_path, "two", {"base": HIGH, "b": LOW}, 3)
    records = read(tmp_path, "one", "two")
    assert chosen_baseline(records, None) == "two: base"
    assert chosen_baseline(records, "one:a") == chosen_baseline(records, "one: a") == "one: a"
    with pytest.raises(InputError, match="--baseline: no arm 'one:b'"):
        chosen_baseline(records, "one:b")
    assert chosen_baseline(records[:1], None) is None
    section = across(records[:1])
    assert section and "names a baseline" in section.intro and len(section.grids) == 1


def test_merged_records_keep_every_row_under_its_campaign(tmp_path: Path) -> None:
    written(tmp_path, "one", {"base": LOW}, 1)
    written(tmp_path, "two", {"base": HIGH}, 3)
    records = read(tmp_path, "one", "two")
    together = merged(records, None)
    assert together.arms == ["one: base", "two: base"]
    assert len(together.epochs) == sum(len(one.epochs) for one in records)
    assert set(together.costs["arm"]) == set(together.arms)


def test_the_report_compares_several_campaigns_or_takes_another_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, "one", {"base": LOW, "own": HIGH}, 1)
    written(tmp_path, "two", {"new": HIGH}, 3)
    written(tmp_path, "three", {"other": HIGH}, 4)
    assert main(["report", str(tmp_path), "--campaign", "one", "--campaign", "two"]) == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| two: new | above the baseline by 10.0 points (p = 0.029). |" in text and "three" not in text
    assert main(["report", str(tmp_path), "--campaign", "one", "--baseline", "own"]) == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| base | below the baseline by 10.0 points (p = 0.029). |" in text
    capsys.readouterr()
    assert main(["report", str(tmp_path), "--campaign", "one", "--baseline", "owl"]) == 2
    assert "--baseline: no arm 'owl'. Did you mean 'own'?" in capsys.readouterr().err


def test_a_campaign_that_trains_one_search_again_tells_the_spread_of_trainings(tmp_path: Path) -> None:
    """Searches at 30 and 40, trained once each; a second campaign trains the first one twice more."""
    written(tmp_path, "each", {"base": (0.30, 0.40)}, 1)
    again = FakeCampaign(tmp_path, "again", {"base": 1}, 4)
    manifest = again.manifest(baseline=None)
    first, scores = again.jobs["base", 0, "search"].id, {0: 0.30, 2: 0.32, 3: 0.34}
    manifest["entries"] = [
        entry
        for entry in manifest["entries"]
        if (entry["kind"], entry["repeat"]) in {("search", 0), *(("train", repeat) for repeat in scores)}
    ]
    for repeat, score in scores.items():
        manifest["jobs"][again.jobs["base", repeat, "train"].id]["inputs"] = {"job": first}
        if repeat:  # the first was done by the other campaign
            again.finish("base", repeat, "train", evaluation={"mAP": score, **REST})
    again.storage.write_manifest("again", manifest)
    one, other = read(tmp_path, "each", "again")
    assert spreads(one) is None and spreads(other) is None
    section = across([one, other])
    assert section
    (row,) = section.grids[-1].rows
    assert row[:3] == ("each: base; again: base", "2", "4")
    expected = components({"first": [0.30, 0.32, 0.34], "second": [0.40]})
    assert expected and row[3:5] == (f"{100 * expected.between:.1f}", f"{100 * expected.within:.1f}")
