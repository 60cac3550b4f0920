from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_storage import FakeCampaign, genotype
from scipy import stats

from analysis.collect import collect
from analysis.comparability import Grounds, grounds, obstacles
from analysis.comparing import comparison_section, verdicts
from analysis.comparisons import comparisons, corrected, verdict
from analysis.pages import Grid, Records, Section
from autoreid.recipes import SelectRecipe

REST = {"rank_1": 0.5, "rank_5": 0.6, "rank_10": 0.7, "mINP": 0.1, "queries": 9, "protocol": {"version": 1}}
LOW, HIGH = (0.30, 0.31, 0.32, 0.33), (0.40, 0.42, 0.41, 0.43)


def campaign_of(root: Path, scores: dict[str, tuple[float, ...]], **changes: Any) -> FakeCampaign:
    """Arms with these mAPs, all done; `changes` go over the results of the last arm's trainings."""
    repeats = max(map(len, scores.values()))
    campaign = FakeCampaign(root, "scores", dict(zip(scores, (2, 3, 4, 1, "all"), strict=False)), repeats)
    for arm, given in scores.items():
        for repeat, score in enumerate(given):
            more = changes if arm == list(scores)[-1] else {}
            campaign.finish(arm, repeat, "search")
            evaluation = {"mAP": score, **REST, **more.get("evaluation", {})}
            facts = {name: value for name, value in more.items() if name != "evaluation"}
            campaign.finish(arm, repeat, "train", evaluation=evaluation, **facts)
    campaign.write_manifest()
    return campaign


def records_of(root: Path, scores: dict[str, tuple[float, ...]], **changes: Any) -> Records:
    campaign_of(root, scores, **changes)
    collect(root)
    return Records.read(root, "scores")


def grid_of(section: Section | None, part: str) -> Grid:
    assert section is not None
    (found,) = [grid for grid in section.grids if grid.title.startswith(part)]
    return found


def test_four_against_four_pass_alone_and_the_figures_are_scipys(tmp_path: Path) -> None:
    (found,) = comparisons(records_of(tmp_path, {"base": LOW, "new": HIGH}), "mAP")
    assert found.exact and found.exact.p == pytest.approx(2 / 70) == found.adjusted
    expected = stats.ttest_ind(HIGH, LOW, equal_var=False).confidence_interval()
    assert found.difference and found.difference.interval == pytest.approx(tuple(expected))
    assert verdict(found) == "above the baseline by 10.0 points (p = 0.029)."


def test_two_comparisons_cannot_pass_and_the_report_names_the_repeats_that_could(tmp_path: Path) -> None:
    records = records_of(tmp_path, {"base": LOW, "new": HIGH, "other": tuple(x + 0.2 for x in HIGH)})
    found = comparisons(records, "mAP")
    assert [one.adjusted for one in found] == pytest.approx([4 / 70] * 2) and all(
        one.hopeless for one in found
    )
    assert "with 4 and 4 repeats and 2 comparisons no difference can pass" in verdict(found[0])
    assert "it takes 5 repeats of each" in verdict(found[0])
    section = verdicts(records)
    assert section and "5 repeats of each arm make it possible" in section.points[0]


def test_a_comparison_still_to_come_counts_in_the_correction(tmp_path: Path) -> None:
    records = records_of(tmp_path, {"base": LOW, "new": HIGH, "later": ()})
    new, later = comparisons(records, "mAP")
    assert new.family == later.family == 2 and new.adjusted == pytest.approx(4 / 70)
    assert verdict(later) == "no verdict yet: later has no finished training."


def test_a_difference_below_what_the_design_sees_is_called_underpowered(tmp_path: Path) -> None:
    (found,) = comparisons(records_of(tmp_path, {"base": LOW, "new": (0.31, 0.32, 0.30, 0.34)}), "mAP")
    said = verdict(found)
    assert said.startswith("not told apart (+0.3 points, p = ") and "Underpowered" in said
    assert found.least and f"one below about {100 * found.least:.1f} points" in said
    assert "no difference" not in said and "equal" not in said


def test_one_repeat_is_shown_without_a_verdict_that_it_cannot_bear(tmp_path: Path) -> None:
    (found,) = comparisons(records_of(tmp_path, {"base": LOW, "new": (0.9,)}), "mAP")
    assert found.exact and found.exact.p == pytest.approx(0.2) and found.hopeless
    assert "Underpowered: with 1 and 4 repeats" in verdict(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluation": {"protocol": {"version": 2}}}, "evaluation protocols differ"),
        ({"evaluation": {"queries": 8}}, "numbers of queries differ: new 8; base 9"),
    ],
)
def test_scores_of_another_protocol_are_not_compared(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    records = records_of(tmp_path, {"base": LOW, "new": HIGH}, **changes)
    (found,) = comparisons(records, "mAP")
    assert (
        found.difference is None and verdict(found).startswith("not comparable: ") and words in verdict(found)
    )
    grid = grid_of(comparison_section(records), "Difference to the baseline, base: mAP")
    assert grid.rows[0][2] == "not comparable" and words in grid.note


def test_scores_on_other_data_are_not_compared(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, {"base": LOW, "new": HIGH})
    manifest = campaign.manifest()
    for repeat in range(4):
        manifest["jobs"][campaign.jobs["new", repeat, "train"].id]["data"] = "cd" * 32
    campaign.storage.write_manifest("scores", manifest)
    collect(tmp_path)
    (reason,) = obstacles(Records.read(tmp_path, "scores"), ("new", "base"))
    assert reason.startswith("data fingerprints differ: ") and "new cdcd" in reason and "base abab" in reason


def test_repeats_of_several_recipes_are_not_compared_and_the_fields_are_named(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, {"base": LOW, "new": HIGH})
    manifest = campaign.manifest()
    job = manifest["jobs"][campaign.jobs["new", 3, "train"].id]
    job["recipe"]["epochs"], job["recipe_digest"] = 12, "0" * 12
    campaign.storage.write_manifest("scores", manifest)
    collect(tmp_path)
    records = Records.read(tmp_path, "scores")
    assert obstacles(records, ("new", "base")) == ("the train jobs of new differ in epochs (8 or 12)",)
    assert obstacles(records, ("base",)) == ()


def test_a_best_of_four_is_not_compared_with_a_mean_of_four(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "best", {"chosen": 2, "mean": 3}, 4, SelectRecipe(), trainings=4)
    manifest = campaign.manifest()
    for repeat in range(4):
        job = campaign.jobs["mean", repeat, "train"]
        search = campaign.jobs["mean", repeat, "search"]
        manifest["jobs"][job.id]["inputs"] = {"job": search.id}
    manifest["entries"] = [e for e in manifest["entries"] if (e["arm"], e["kind"]) != ("mean", "select")]
    campaign.storage.write_manifest("best", manifest)
    collect(tmp_path)
    (reason,) = obstacles(Records.read(tmp_path, "best"), ("mean", "chosen"))
    assert reason == "chosen is the best of 4 searches, mean a mean: compare the best of as many"


def best_of_four(root: Path, *, second: int) -> Grounds:
    """`chosen` and `other` train the best of 4 and of so many searches; `given` trains one given network."""
    arms = {"chosen": 2, "other": 3, "given": 4}
    campaign = FakeCampaign(root, "best", arms, 4, SelectRecipe(), trainings=4)
    manifest = campaign.manifest()
    for number in range(4):
        inputs = {"genotype": genotype(number=0).plain()}
        manifest["jobs"][campaign.jobs["given", number, "train"].id]["inputs"] = inputs
    manifest["entries"] = [
        entry
        for entry in manifest["entries"]
        if (entry["arm"] != "given" or entry["kind"] == "train")
        and (entry["arm"] != "other" or entry["kind"] != "search" or entry["repeat"] < second)
    ]
    campaign.storage.write_manifest("best", manifest)
    collect(root)
    return grounds(Records.read(root, "best"))


def test_the_best_of_four_is_compared_with_the_best_of_four_alone(tmp_path: Path) -> None:
    assert best_of_four(tmp_path / "equal", second=4).obstacles(("other", "chosen")) == ()
    (reason,) = best_of_four(tmp_path / "fewer", second=3).obstacles(("other", "chosen"))
    said = "they are the best of different numbers of searches (other of 3, chosen of 4)"
    assert reason == f"{said}: compare the best of as many"


def test_a_given_network_is_no_mean_over_searches(tmp_path: Path) -> None:
    """What was selected on validation was trained anew: its test scores stand beside those of one network."""
    assert best_of_four(tmp_path, second=4).obstacles(("given", "chosen")) == ()


def test_arms_that_share_trainings_are_not_compared(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, {"base": LOW, "new": HIGH})
    manifest = campaign.manifest()
    base = campaign.jobs["base", 0, "train"].id
    for entry in manifest["entries"]:
        if (entry["arm"], entry["repeat"], entry["kind"]) == ("new", 0, "train"):
            entry["job"] = base
    campaign.storage.write_manifest("scores", manifest)
    collect(tmp_path)
    records = Records.read(tmp_path, "scores")
    assert obstacles(records, ("new", "base")) == ("they share 1 training",)
    assert obstacles(records, ("base",)) == ()


def test_pairs_are_compared_where_repeats_share_their_seeds(tmp_path: Path) -> None:
    section = comparison_section(records_of(tmp_path, {"base": LOW, "new": HIGH}))
    (row,) = grid_of(section, "Paired with the baseline, base").rows
    expected = stats.ttest_rel(HIGH, LOW).confidence_interval()
    low, high = (f"{100 * end:+.1f}" for end in expected)
    assert row == ("new", "4", "+10.0 · +11.0 · +9.0 · +10.0", "+10.0", f"{low} to {high}", "0.125 (0.125)")


def test_several_trainings_of_a_search_tell_its_spread_from_theirs(tmp_path: Path) -> None:
    campaign = campaign_of(tmp_path, {"base": (0.30, 0.32, 0.40, 0.42)})
    manifest = campaign.manifest()
    searches = [campaign.jobs["base", repeat, "search"].id for repeat in range(4)]
    for repeat in range(4):
        manifest["jobs"][campaign.jobs["base", repeat, "train"].id]["inputs"] = {"job": searches[repeat // 2]}
    campaign.storage.write_manifest("scores", manifest)
    collect(tmp_path)
    (row,) = grid_of(comparison_section(Records.read(tmp_path, "scores")), "What the spread is made of").rows
    assert row[:6] == ("base", "2", "4", "7.0", "1.4", "0.7 to 8.9") and row[6] == "96%"


def test_one_training_of_each_search_separates_nothing(tmp_path: Path) -> None:
    section = comparison_section(records_of(tmp_path, {"base": LOW, "new": HIGH}))
    assert section and not [grid for grid in section.grids if grid.title.startswith("What the spread")]


def test_arms_of_different_numbers_of_repeats_may_pass_one_after_another(tmp_path: Path) -> None:
    """Ten against four can reach p = 0.001; four against four comes second then, and is not hopeless."""
    records = records_of(
        tmp_path, {"base": LOW, "new": tuple(0.4 + x / 100 for x in range(10)), "four": HIGH}
    )
    new, four = comparisons(records, "mAP")
    assert (new.adjusted or 1) < 0.01 and four.adjusted == pytest.approx(2 / 70) and not four.hopeless


def test_no_comparison_at_all_is_corrected(tmp_path: Path) -> None:
    assert corrected([]) == []
    records = records_of(tmp_path, {"only": LOW})
    assert comparisons(records, "mAP") == [] and verdicts(records) is None


def test_a_p_from_drawn_ways_is_not_called_exact(tmp_path: Path) -> None:
    """12 against 12 have 2.7 million ways."""
    many = tuple(0.3 + x / 1000 for x in range(12))
    section = comparison_section(records_of(tmp_path / "many", {"base": many, "new": many[::-1]}))
    assert "20,000 are drawn" in grid_of(section, "Difference to the baseline, base: mAP").note
    section = comparison_section(records_of(tmp_path / "few", {"base": LOW, "new": HIGH}))
    assert "drawn" not in grid_of(section, "Difference to the baseline, base: mAP").note


def test_a_baseline_without_trainings_is_named(tmp_path: Path) -> None:
    """As an arm that is swept, while its study goes on."""
    campaign = campaign_of(tmp_path, {"base": LOW, "new": HIGH, "other": HIGH})
    entries = [
        entry
        for entry in campaign.manifest()["entries"]
        if (entry["arm"], entry["kind"]) != ("base", "train")
    ]
    for baseline, said in (("base", "The baseline, base, has no training"), (None, "names no baseline")):
        campaign.write_manifest(entries=entries, baseline=baseline)
        collect(tmp_path)
        section = verdicts(Records.read(tmp_path, "scores"))
        assert section and said in section.intro and not section.grids
