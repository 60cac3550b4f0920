from __future__ import annotations

from pathlib import Path

from fake_storage import ARMS, FakeCampaign
from report_pages import grid, made, section

from analysis.cautions import PAIRED, mixtures
from analysis.collect import collect
from analysis.pages import Page, Records
from analysis.random_arms import NO_RANDOM_ARM

FIRST, SECOND = ARMS


def test_cautions_say_what_is_missing(example_page: Page) -> None:
    points = section(example_page, "Read with care").points
    assert NO_RANDOM_ARM in points and "This campaign has no random arm." in NO_RANDOM_ARM
    assert any(f"{FIRST}: 4 of 4; {SECOND}: 1 of 4" in point for point in points)
    assert any("rendered" in point for point in points)
    assert not any("mix" in point for point in points)


def test_spreads_name_their_arms_and_paired_seeds_are_told(example_page: Page, tmp_path: Path) -> None:
    points = section(example_page, "Read with care").points
    assert PAIRED in points
    both = f"{FIRST}; {SECOND}: a repeat is a search and a training of what it found"
    assert [point for point in points if point.startswith(both)]
    assert not any("training only" in point or "same quantity" in point for point in points)

    campaign = FakeCampaign(tmp_path / "mixed", "mixed", {"searched": 2, "given": 3}, repeats=2)
    manifest = campaign.manifest()
    manifest["entries"] = [
        entry for entry in manifest["entries"] if (entry["arm"], entry["kind"]) != ("given", "search")
    ]
    campaign.storage.write_manifest("mixed", manifest)
    (mixed,) = [p for p in section(made(tmp_path / "mixed"), "Read with care").points if "spread" in p]
    assert mixed == (
        "searched: a repeat is a search and a training of what it found; its spread covers search and "
        "training. given: a repeat is a training of a given network; its spread covers training only. "
        "The two spreads are not the same quantity."
    )


def test_without_a_search_no_random_arm_is_missed(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "given", {"only": 2}, repeats=2)
    manifest = campaign.manifest()
    manifest["entries"] = [entry for entry in manifest["entries"] if entry["kind"] == "train"]
    campaign.storage.write_manifest("given", manifest)
    points = section(made(tmp_path), "Read with care").points
    assert NO_RANDOM_ARM not in points and PAIRED not in points


def test_seeds_that_differ_between_arms_are_not_called_paired(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "apart", {"a": 2, "b": 3}, repeats=1)
    manifest = campaign.manifest()
    manifest["jobs"][campaign.jobs["b", 0, "train"].id]["seeds"] = {"train": 99}
    campaign.storage.write_manifest("apart", manifest)
    assert PAIRED not in section(made(tmp_path), "Read with care").points


def test_fields_in_which_the_recipes_of_arms_differ_are_listed(
    example_page: Page, campaign: FakeCampaign, storage: Path
) -> None:
    assert grid(example_page, "Arms", "Fields that differ").rows == (
        ("search.k", "2", FIRST),
        ("search.k", "all", SECOND),
    )
    manifest = campaign.manifest()
    for repeat in range(4):
        manifest["jobs"][campaign.jobs[FIRST, repeat, "search"].id]["recipe"]["k"] = "all"
        manifest["jobs"][campaign.jobs[SECOND, repeat, "train"].id]["recipe"]["optimizer"]["momentum"] = 0.5
    campaign.storage.write_manifest(campaign.name, manifest)
    assert grid(made(storage), "Arms", "Fields that differ").rows == (
        ("train.optimizer.momentum", "0.9", FIRST),
        ("train.optimizer.momentum", "0.5", SECOND),
    )


def test_mixed_machines_versions_and_protocols_are_flagged(campaign: FakeCampaign, storage: Path) -> None:
    campaign.finish(SECOND, 3, "search", torch_version="2.12.0", threads=2)
    campaign.finish(SECOND, 2, "search", forms="supernet=plain")
    evaluation = {"mAP": 0.3, "rank_1": 0.5, "rank_5": 0.6, "rank_10": 0.7, "mINP": 0.1, "queries": 99}
    campaign.finish(SECOND, 3, "train", device="H200", evaluation={**evaluation, "protocol": {"version": 2}})
    collect(storage)
    found = mixtures(Records.read(storage, "two-arms"))
    assert [sentence.split(":")[0] for sentence in found] == [
        "The finished jobs mix versions of torch",
        "The finished jobs mix devices",
        "The finished jobs mix thread counts",
        "The finished jobs mix forms of the computation",
        "The finished jobs mix evaluation protocols",
        "The finished jobs mix numbers of queries",
    ]
    assert "2.11.0 (13 jobs), 2.12.0 (1 job)" in found[0]
    assert "default (13 jobs), supernet=plain (1 job)" in found[3]


def test_mixed_recipes_within_an_arm_are_flagged(campaign: FakeCampaign, storage: Path) -> None:
    manifest = campaign.manifest()
    manifest["jobs"][campaign.jobs[FIRST, 3, "train"].id]["recipe_digest"] = "0" * 12
    campaign.storage.write_manifest(campaign.name, manifest)
    collect(storage)
    found = mixtures(Records.read(storage, "two-arms"))
    assert found == [f"The train jobs of arm {FIRST} have 2 different recipes."]


def test_two_repeats_are_called_few_and_impossible_ends_are_cut(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, "pair", {"a": 2, "b": 3}, repeats=2)
    evaluation = {"rank_1": 0.5, "rank_5": 0.6, "rank_10": 0.7, "mINP": 0.1, "queries": 9}
    for arm, scores in {"a": (0.08, 0.25), "b": (0.2, 0.2)}.items():
        for repeat, score in enumerate(scores):
            campaign.finish(arm, repeat, "search")
            campaign.finish(arm, repeat, "train", evaluation={"mAP": score, **evaluation})
    campaign.write_manifest()
    found = made(tmp_path)
    scores_grid = grid(found, "Results", "mAP")
    assert [row[3] for row in scores_grid.rows] == ["0.0 to 100.0", "repeats are equal"]
    assert "the part within is shown" in scores_grid.note and grid(found, "Results", "rank-1").note == ""
    difference = grid(found, "Comparison", "Difference to the baseline, a: mAP")
    assert difference.rows[0][3] == "-100.0 to +100.0"
    assert "No difference lies beyond 100 points" in difference.note
    difference = grid(found, "Comparison", "Difference to the baseline, a: rank-1")
    assert difference.rows[0][3] == "repeats are equal" and "beyond 100" not in difference.note
    assert any("12.7 standard errors" in point for point in section(found, "Read with care").points)
