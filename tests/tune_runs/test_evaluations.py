"""The evaluation key of campaigns: what is planned and refused, and a campaign with re-ranked figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import FINGERPRINT, SMALL, small
from test_selection_launch import CAMPAIGN, autoreid

from analysis.tables import read
from autoreid.data.source import open_index
from autoreid.errors import InputError
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.storage import Storage
from tune_runs.checks import check_data
from tune_runs.manifest import save_manifest
from tune_runs.overview import plan_plain
from tune_runs.plan_words import plan_text
from tune_runs.planning import make_plan
from tune_runs.standings import planned_of

RERANKED = "evaluation={rerank: true, lambda: 0.2}"


def test_every_training_is_followed_by_its_evaluation() -> None:
    plan = make_plan(small(RERANKED), FINGERPRINT)
    kinds = [(entry.repeat, entry.arm, entry.kind) for entry in plan.entries]
    assert kinds == [
        (repeat, arm, kind) for repeat in (0, 1) for arm in "ab" for kind in ("search", "train", "evaluate")
    ]
    for _, trained, evaluated in zip(*[iter(plan.entries)] * 3, strict=True):
        job = plan.jobs[evaluated.job]
        assert job.needs == (trained.job,) and job.data == FINGERPRINT and job.seeds == ()
        assert job.recipe == EvaluateRecipe(rerank=True, weight=0.2)


def test_the_trainings_are_those_of_a_campaign_without_it() -> None:
    before, after = make_plan(small(), FINGERPRINT), make_plan(small(RERANKED), FINGERPRINT)
    assert before.jobs.keys() < after.jobs.keys()
    assert {after.jobs[job].kind for job in after.jobs.keys() - before.jobs.keys()} == {"evaluate"}


def test_a_campaign_that_asks_for_it_later_adds_evaluations_alone(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    save_manifest(storage, make_plan(small(), FINGERPRINT))
    change = save_manifest(storage, make_plan(small(RERANKED), FINGERPRINT))
    assert (change.new, change.gone) == (4, 0)
    planned = planned_of(storage.read_manifest("small"))
    assert [task.epochs for task in planned.tasks.values() if task.kind == "evaluate"] == [1] * 4


def test_a_teacher_is_evaluated_too_and_guides_by_its_training() -> None:
    text = SMALL.replace("cdnet, epochs: 2", "kdas, epochs: 200").replace("cs-v1", "reid-v1")
    text = text.replace("  b: {search: {space: cds-v1}}", "  T: {genotype: resnet18}\nteacher: T")
    text = text.replace("search: {space: reid-v1}", "search: {space: reid-v1}, train: {recipe: cdnet}")
    plan = make_plan(small(RERANKED, text=text), FINGERPRINT)
    first = [(entry.arm, entry.kind) for entry in plan.entries][:3]
    assert first == [("T", "train"), ("T", "evaluate"), ("a", "search")]
    teacher, search = plan.entries[0].job, plan.entries[2].job
    assert plan.jobs[search].teacher == teacher


def test_a_plan_says_what_is_evaluated() -> None:
    plan = make_plan(small(RERANKED), FINGERPRINT)
    plain = plan_plain(plan, None, None)
    assert plain["jobs"]["evaluate"] == 4
    text = plan_text(plain)
    assert "evaluated once more: re-ranked (k1 20, k2 6, lambda 0.2)" in text
    assert "4 evaluations" in text


def test_mistakes_are_reported_together() -> None:
    wrong = "evaluation={rerank: maybe, k1: 0, lambda: 2, trapezoids: true}"
    with pytest.raises(InputError) as error:
        small(wrong, "execution.evaluation_memory=lots")
    found = "\n".join(error.value.problems)
    for words in (
        "evaluation.rerank: 'maybe' is not true or false.",
        "evaluation.k1: 0 is too small. Use 1 or more.",
        "evaluation.lambda: 2 is not between 0 and 1.",
        "evaluation.trapezoids: ",
        "execution.evaluation_memory: 'lots' is no amount of memory.",
    ):
        assert words in found


def test_more_images_smoothed_over_than_neighbours_is_refused() -> None:
    with pytest.raises(InputError, match=r"evaluation\.k2: 6 with k1 = 3\. Use 1 to 4"):
        small("evaluation={rerank: true, k1: 3}")


def test_an_evaluation_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"evaluation: no arm is trained\. Remove it\."):
        small(RERANKED, "train=false", text=SMALL.replace("train: {recipe: cdnet, epochs: 3}\n", ""))


def test_more_neighbours_than_test_images_are_refused_before_any_work(cache: Path) -> None:
    campaign = small(
        "evaluation={rerank: true, k1: 500}", "search.batch.identities=4", "train.batch.identities=4"
    )
    with pytest.raises(InputError, match=r"evaluation\.k1: 500 of \d+ test images\. Use 1 to \d+"):
        check_data(campaign, open_index(campaign.source, cache))


@pytest.mark.ray
@pytest.mark.slow
def test_both_figures_of_every_network_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CAMPAIGN)
    run = ("campaign", "run", "a.yaml", "--storage", "storage", "--quiet", "--set", "repeats=1")
    assert autoreid(tmp_path, *run)["ran"] == 2
    again = autoreid(tmp_path, *run, "--set", "evaluation={rerank: true, k1: 5, k2: 2, pictures: true}")
    assert (again["ran"], again["reused"], again["exit_code"]) == (1, 2, 0)
    autoreid(tmp_path, "report", "storage")
    (row,) = read(tmp_path / "storage", "retrains").to_dict("records")
    assert 0 < row["reranked_mAP"] <= 1 and row["reranked_mAP"] != row["mAP"]
    text = (tmp_path / "storage/report/report.md").read_text()
    assert "Re-ranked, mean ± sd, %" in text
