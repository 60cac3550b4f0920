"""The points of a sweep in tables and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_storage import FINGERPRINT, FakeCampaign, facts, train_result
from report_pages import grid, made, section

from analysis.collect import collect
from analysis.costing import arm_costs
from analysis.pages import Records
from analysis.sweeps import under_their_arms
from analysis.tables import read
from autoreid.attempts import Outcome
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.jobs import evaluate_job, train_job
from autoreid.published import CDNET_TRAIN
from autoreid.recipes import SelectRecipe

POINTS = {"cdnet, k=1": 1, "cdnet, k=2": 2, "cdnet, k=3": 3}
SCORES = {"cdnet, k=1": (20.0, 24.0), "cdnet, k=2": (30.0, 34.0)}


def swept(root: Path, *, aims: tuple[str, ...] = ("mAP",), best: tuple[int, ...] = (1,)) -> FakeCampaign:
    """Three points of one arm: two done, of which the second is trained, and one that was pruned. Beside it
    an arm that is given."""
    campaign = FakeCampaign(root, "swept", dict(POINTS), repeats=2, select=SelectRecipe(), trainings=0)
    campaign.jobs = {key: job for key, job in campaign.jobs.items() if key[2] != "train"}
    for repeat in range(2):
        search = campaign.jobs["cdnet, k=2", repeat, "search"]
        campaign.jobs["cdnet", repeat, "search"] = search
        for arm, given in (("cdnet", search.id), ("given", "e" * 32)):
            job = train_job(CDNET_TRAIN, FINGERPRINT, given, train_seed=repeat)
            campaign.jobs[arm, repeat, "train"] = job
            campaign.finish(arm, repeat, "train")
    for arm in SCORES:
        for repeat in range(2):
            campaign.finish(arm, repeat, "search")
        campaign.select(arm, *SCORES[arm])
    campaign.attempt("cdnet, k=3", 0, "search", 2)
    campaign.write_manifest(
        baseline="given", sweep={"settings": {"aims": list(aims)}}, points=points(campaign, best)
    )
    return campaign


def points(campaign: FakeCampaign, best: tuple[int, ...]) -> list[dict[str, Any]]:
    found = []
    for number, (name, k) in enumerate(POINTS.items()):
        jobs = [campaign.jobs[name, repeat, "search"].id for repeat in range(2)]
        scores = [sum(SCORES[name]) / 200] if name in SCORES else []
        found.append(
            {
                "study": "cdnet",
                "number": number,
                "arm": "cdnet",
                "name": name,
                "values": {"k": k},
                "jobs": [*jobs, campaign.jobs[name, 0, "select"].id],
                "state": "done" if scores else "pruned",
                "best": number in best,
                "scores": scores,
                "reason": "" if scores else "pruned at epoch 2",
            }
        )
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("swept")
    swept(found)
    return found


def test_the_table_holds_every_point(root: Path) -> None:
    collect(root)
    frame = read(root, "points", "swept")
    assert list(frame["point"]) == list(POINTS)
    assert list(frame["state"]) == ["done", "done", "pruned"]
    assert list(frame["best"]) == [False, True, False]
    assert frame["mAP"].tolist()[:2] == pytest.approx([0.22, 0.32]) and frame["mAP"].isna().tolist()[2]
    assert frame["multiply_adds"].isna().all()
    assert [json.loads(text) for text in frame["values"]] == [{"k": 1}, {"k": 2}, {"k": 3}]
    assert list(frame["reason"])[2] == "pruned at epoch 2"
    trials = read(root, "trials", "swept")
    jobs = {job for text in frame["jobs"] for job in json.loads(text)}
    assert jobs <= set(trials["job"])
    assert set(trials[trials["job"].isin(jobs)]["arm"]) == {*POINTS, "cdnet"}


def test_the_report_shows_the_points_with_the_best_first(root: Path) -> None:
    page = made(root)
    found = grid(page, "Sweep", "Points of cdnet")
    assert found.headings == ("point", "k", "validation mAP, %", "")
    assert found.rows == (
        ("2", "2", "32.0", "best"),
        ("1", "1", "22.0", ""),
        ("3", "3", "-", "pruned at epoch 2"),
    )
    (said,) = section(page, "Sweep").points
    assert said == "cdnet: 3 points (2 done, 1 pruned); best: 2."


def test_both_rankings_of_a_swept_arm_s_evaluation_are_shown(tmp_path: Path) -> None:
    campaign = swept(tmp_path)
    for repeat in range(2):
        training = campaign.jobs["cdnet", repeat, "train"]
        job = evaluate_job(EvaluateRecipe(rerank=True), FINGERPRINT, training.id)
        campaign.jobs["cdnet", repeat, "evaluate"] = job
        plain = train_result(repeat, 0.4)["evaluation"]
        better = plain | {"mAP": 0.6, "protocol": plain["protocol"] | {"reranking": {"k1": 20}}}
        folder = campaign.storage.job(job.id)
        folder.describe(job.plain())
        result = {"evaluation": plain | {"reranked": better}}
        folder.new_attempt().finish(Outcome("done", result=result, facts=facts(5.0, 1)))
    campaign.write_manifest(
        baseline="given", sweep={"settings": {"aims": ["mAP"]}}, points=points(campaign, (1,))
    )
    titles = [found.title for found in section(made(tmp_path), "Other evaluations").grids]
    assert titles == ["Re-ranked, mean ± sd, %", "Not re-ranked, mean ± sd, %"]


def test_the_searches_of_points_count_as_the_arm_s(root: Path) -> None:
    page = made(root)
    (row,) = grid(page, "Search", "Searches").rows
    assert row[:2] == ("cdnet", "4 of 6")
    assert [part.title for part in page.sections].count("Selection") == 0
    assert {row[0] for row in grid(page, "Results", "mAP").rows} == {"cdnet", "given"}


def test_the_reader_is_told_what_was_tuned(root: Path) -> None:
    points = section(made(root), "Read with care").points
    assert any(text.startswith("cdnet was tuned, by 3 points, and given not:") for text in points)
    assert not any("different recipes" in text or "selected repeat" in text for text in points)


def test_a_damaged_point_costs_its_own_row(tmp_path: Path) -> None:
    campaign = swept(tmp_path)
    manifest = campaign.storage.read_manifest("swept")
    manifest["points"][0].pop("state")
    manifest["points"][1]["number"] = "two"
    campaign.storage.write_manifest("swept", manifest)
    found = collect(tmp_path)
    assert list(read(tmp_path, "points", "swept")["number"]) == [2]
    assert [
        warning
        for warning in found.warnings
        if "point 0 is damaged ('state')" in warning or "number" in warning
    ]


def test_several_aims_have_a_column_each(tmp_path: Path) -> None:
    campaign = swept(tmp_path, aims=("mAP", "multiply_adds"), best=(0, 1))
    manifest = campaign.storage.read_manifest("swept")
    for point, adds in zip(manifest["points"][:2], (1e6, 2e6), strict=True):
        point["scores"].append(adds)
    campaign.storage.write_manifest("swept", manifest)
    found = grid(made(tmp_path), "Sweep", "Points of cdnet")
    assert found.headings == ("point", "k", "validation mAP, %", "multiply-adds, M", "")
    assert [row[-2:] for row in found.rows] == [("2.0", "best"), ("1.0", "best"), ("-", "pruned at epoch 2")]


def test_tuning_is_charged_to_every_point_that_is_trained(tmp_path: Path) -> None:
    """With several aims the arm that is swept trains nothing itself: each trained point took the whole."""
    campaign = swept(tmp_path)
    manifest = campaign.storage.read_manifest("swept")
    for entry in manifest["entries"]:
        if entry["arm"] == "cdnet":
            entry["arm"] = "cdnet, k=2"
    campaign.storage.write_manifest("swept", manifest)
    collect(tmp_path)
    found = arm_costs(under_their_arms(Records.read(tmp_path, "swept")))
    assert found["given"].seconds["tuning"] == 0.0
    # Two searches of another point with their selection, and the selection of its own.
    assert found["cdnet, k=2"].seconds["tuning"] == pytest.approx(2 * 40 + 12 + 12)
    assert found["cdnet, k=2"].per_result == pytest.approx(40 + 70 + 2 * 40 + 12 + 12)


def test_every_search_of_a_sweep_has_a_line_of_its_own(tmp_path: Path) -> None:
    """Points have repeats of the same number: a line through several searches would show none of them."""
    swept(tmp_path)
    loss = section(made(tmp_path), "Learning curves").pictures[0]
    assert loss.caption == "Search: training loss; 5 jobs, 6 epochs."
    assert loss.data and len({row[2] for row in loss.data.rows}) == 5
    lines = [path for path in loss.svg.split("<path")[1:] if path.count("L ") == 5]
    assert len(lines) == 4  # and one of two epochs


def test_the_health_of_a_swept_arm_is_the_mean_over_its_searches(tmp_path: Path) -> None:
    """Four searches of six epochs and one of two: each has an end of its own."""
    swept(tmp_path)
    collect(tmp_path)
    records = under_their_arms(Records.read(tmp_path, "swept"))
    searches = records.epochs[records.epochs["kind"] == "search"]
    ends = searches.sort_values("epoch").groupby("job")["alpha_entropy"].last()
    assert len(ends) == 5
    (row,) = grid(made(tmp_path), "Search health", "Searches at their end").rows
    assert float(row[7]) == pytest.approx(ends.mean(), abs=0.005)
    assert row[7] != f"{searches.sort_values('epoch')['alpha_entropy'].iloc[-1]:.2f}"
