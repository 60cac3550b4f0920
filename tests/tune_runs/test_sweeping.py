"""A sweep asks, learns, gives up, ends, is killed and extended, without networks and without Ray."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from campaigns import FINGERPRINT
from sweeps import RATE, SWEEP, Bench, by_rate, points_of, sweeping

from autoreid.errors import InputError
from autoreid.leases import Lease, read_lease
from autoreid.recipes import SearchRecipe
from autoreid.storage import Storage
from tune_runs.alone import alone
from tune_runs.dispatch import Dispatch
from tune_runs.planning import make_plan
from tune_runs.points import best_of, of_study
from tune_runs.progress import Progress
from tune_runs.releases import Releases
from tune_runs.site import StorageSite
from tune_runs.steering import cancel, retry
from tune_runs.sweeping import Sweeping, continued


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_every_point_is_searched_twice_and_judged_and_the_best_is_trained(storage):
    bench = Bench(storage)
    bench.launch(sweeping())
    points = points_of(storage)
    assert [point["state"] for point in points] == ["done"] * 6
    kinds = [[bench.plan.jobs[job].kind for job in point["jobs"]] for point in points]
    assert kinds == [["search", "search", "select"]] * 6
    for point in points:
        recipe = bench.plan.jobs[point["jobs"][0]].recipe
        assert (recipe.k, recipe.optimizer.learning_rate) == tuple(point["values"].values())
        assert point["scores"] == [pytest.approx(by_rate(recipe))]
    best = max(points, key=lambda point: point["scores"][0])
    trained = [entry for entry in bench.plan.entries if entry.kind == "train" and entry.arm == "a"]
    assert [bench.plan.jobs[entry.job].genotype for entry in trained] == best["jobs"][:2]
    assert len([entry for entry in bench.plan.entries if entry.arm == "b"]) == 2
    assert set(bench.ran) == set(bench.plan.jobs)


def test_ordinary_arms_come_first(storage):
    bench = Bench(storage)
    bench.launch(sweeping(), stops_after=2)
    assert [bench.plan.jobs[job].kind for job in bench.ran] == ["train", "train"]


def test_a_launch_that_was_killed_goes_on_as_if_it_had_not_been(storage, tmp_path):
    whole = Bench(Storage(tmp_path / "whole"))
    whole.launch(sweeping())
    cut = Bench(storage)
    for _ in range(30):
        cut.launch(sweeping(), stops_after=1)
    assert points_of(storage) == points_of(whole.storage)
    assert sorted(cut.ran) == sorted(whole.ran)
    cut.launch(sweeping())
    assert len(cut.ran) == len(whole.ran)  # nothing was run again


def test_a_sweep_is_extended_and_keeps_what_it_knows(storage):
    bench = Bench(storage)
    bench.launch(sweeping())
    before, ran = points_of(storage), len(bench.ran)
    bench.launch(sweeping("sweep.points=9"))
    after = points_of(storage)
    assert [point | {"best": False} for point in after[:6]] == [point | {"best": False} for point in before]
    assert len(after) == 9
    new = bench.ran[ran:]
    assert not set(new) & {job for point in before for job in point["jobs"]}


def test_points_of_another_recipe_are_not_used(storage):
    bench = Bench(storage)
    bench.launch(sweeping())
    ran = len(bench.ran)
    bench.launch(sweeping("search.epochs=7"))
    assert len(points_of(storage)) == 6
    assert not set(bench.ran[ran:]) & set(bench.ran[:ran])


def test_sizes_are_told_anew_where_the_training_has_changed(storage, tmp_path):
    aims = ("sweep.aims=[mAP, multiply_adds]", "sweep.points=3")
    bench = Bench(storage)
    bench.launch(sweeping(*aims))
    before = points_of(storage)
    bench.launch(sweeping(*aims, "train.width_multiplier=0.5"))
    after = points_of(storage)
    assert [point["jobs"] for point in after] == [point["jobs"] for point in before]
    other = Bench(Storage(tmp_path / "other"))
    other.launch(sweeping(*aims, "train.width_multiplier=0.5"))
    assert [point["scores"] for point in after] == [point["scores"] for point in points_of(other.storage)]


def test_points_out_of_a_narrowed_domain_are_left_out(storage):
    bench = Bench(storage)
    bench.launch(sweeping())
    kept = [point["values"] for point in points_of(storage) if point["values"]["k"] in (1, 2)]
    bench.launch(sweeping("sweep.over.k=[1, 2]"))
    points = points_of(storage)
    assert len(points) == 6 and all(point["values"]["k"] in (1, 2) for point in points)
    assert [point["values"] for point in points[: len(kept)]] == kept
    assert [point["number"] for point in points] == list(range(6))


def test_where_points_can_be_listed_each_is_asked_once_and_then_there_are_no_more(storage):
    text = SWEEP.replace(RATE, "")
    bench = Bench(storage, worth=lambda recipe: 0.1)
    bench.launch(sweeping("sweep.points=50", text=text))
    assert sorted(point["values"]["k"] for point in points_of(storage)) == [1, 2, 3, 4]
    assert [point["state"] for point in points_of(storage)] == ["done"] * 4
    assert bench.plan.count("train") == 4  # the study is over
    widened = text.replace("k: [1, 2, 3, 4]", "k: [1, 2, 3, 4, all]")
    bench.launch(sweeping("sweep.points=50", text=widened))
    assert [point["values"]["k"] for point in points_of(storage)][4:] == ["all"]


NARROW = "    search.optimizer.learning_rate: {low: 0.5, high: 0.5003}\n"


def test_points_that_are_known_are_not_run_again_and_after_ten_in_a_row_there_are_no_more(storage):
    text = SWEEP.replace(RATE, NARROW).replace("    k: [1, 2, 3, 4]\n", "")
    bench = Bench(storage)
    bench.launch(sweeping("sweep.points=50", text=text))
    points, done = points_of(storage), points_of(storage, "done")
    assert {point["values"]["search.optimizer.learning_rate"] for point in done} <= {
        0.5,
        0.5001,
        0.5002,
        0.5003,
    }
    assert [point["state"] for point in points[-10:]] == ["known"] * 10
    scores = {point["values"]["search.optimizer.learning_rate"]: point["scores"] for point in done}
    assert all(
        point["scores"] == scores[point["values"]["search.optimizer.learning_rate"]] for point in points
    )
    assert len(bench.ran) == len(set(bench.ran))
    ran = len(bench.ran)
    bench.launch(sweeping("sweep.points=50", text=text))
    assert points_of(storage) == points and len(bench.ran) == ran
    widened = text.replace("0.5003", "0.6")
    bench.launch(sweeping(f"sweep.points={len(done) + 3}", text=widened))
    assert len(points_of(storage, "done")) == len(done) + 3


@pytest.mark.parametrize("aims", ["[rank_1]", "[mAP, multiply_adds]"])
def test_other_aims_are_read_from_the_results(storage, aims):
    text = SWEEP.replace(RATE, NARROW)
    bench = Bench(storage)
    bench.launch(sweeping("sweep.points=8", text=text))
    ran = len(bench.ran)
    maps = {json.dumps(point["values"]): point["scores"][0] for point in points_of(storage)}
    bench.launch(sweeping("sweep.points=8", f"sweep.aims={aims}", "sweep.train=none", text=text))
    share = 0.5 if "rank_1" in aims else 1.0
    for point in points_of(storage):
        assert len(point["scores"]) == aims.count(",") + 1
        assert point["scores"][0] == pytest.approx(share * maps[json.dumps(point["values"])])
    assert len(bench.ran) == ran


def test_a_point_whose_search_fails_is_failed_and_the_study_goes_on(storage):
    bench = Bench(storage, failing=lambda job: isinstance(job.recipe, SearchRecipe) and job.recipe.k == 2)
    bench.launch(sweeping("sweep.points=12"))
    failed = points_of(storage, "failed")
    assert failed and all(point["values"]["k"] == 2 and "no" in point["reason"] for point in failed)
    assert len(points_of(storage, "done")) + len(failed) == 12
    assert len({point["number"] for point in points_of(storage)}) == len(points_of(storage))


def test_what_is_all_failed_trains_nothing_and_ends(storage):
    bench = Bench(storage, failing=lambda job: isinstance(job.recipe, SearchRecipe))
    bench.launch(sweeping())
    assert [point["state"] for point in points_of(storage)] == ["failed"] * 6
    assert not [entry for entry in bench.plan.entries if entry.kind == "train" and entry.arm == "a"]


def test_a_campaign_that_is_cancelled_asks_for_no_more(storage):
    bench = Bench(storage)
    bench.launch(sweeping(), stops_after=4)
    asked = len(points_of(storage))
    cancel(storage, [], None)
    ran = len(bench.ran)
    dispatch = bench.launch(sweeping())
    assert len(points_of(storage)) == asked and len(bench.ran) == ran and dispatch.over
    retry(storage, [], None)
    bench.launch(sweeping())
    assert [point["state"] for point in points_of(storage)] == ["done"] * 6


def test_a_manifest_that_cannot_be_read_ends_the_launch_with_a_word(storage):
    bench = Bench(storage)
    bench.launch(sweeping())
    plan = continued(make_plan(sweeping("sweep.points=7"), FINGERPRINT), storage)
    storage.folder.write("campaigns/small/manifest.json", b"{")
    supply = Sweeping(plan, storage, lambda plan: None, bench.lines.append)
    done = Releases({job_id: job.needs for job_id, job in plan.jobs.items()}, plan.jobs)
    dispatch = Dispatch(
        done, StorageSite(storage, plan), Progress(plan, write=bench.lines.append), slots=1, supply=supply
    )
    assert dispatch.next() is None and dispatch.over
    assert "manifest.json" in dispatch.refused


def test_one_launch_at_a_time_asks(storage, monkeypatch):
    monkeypatch.setattr("tune_runs.alone.SETTLE_SECONDS", 0)
    with alone(sweeping(), storage), alone(sweeping(), storage):
        pass  # of one process
    Lease("node7", "elsewhere", 7, None, time.time()).write(storage.folder.child("campaigns/small"))
    with (
        pytest.raises(InputError, match=r"small: another launch \(node7, process 7\) asks"),
        alone(sweeping(), storage),
    ):
        pass
    with alone(sweeping(text=SWEEP[: SWEEP.index("sweep:")] + SWEEP[SWEEP.index("arms:") :]), storage):
        pass


def test_of_launches_that_begin_at_once_one_asks(storage, monkeypatch):
    other = Lease("node7", "elsewhere", 7, None, time.time())
    folder = storage.folder.child("campaigns/small")
    # The other one looked before this one wrote, and writes after it.
    monkeypatch.setattr("tune_runs.alone.time.sleep", lambda _: other.write(folder))
    with (
        pytest.raises(InputError, match=r"small: another launch \(node7, process 7\) asks"),
        alone(sweeping(), storage),
    ):
        pass
    assert read_lease(folder) == other


def test_several_aims_give_a_front_that_is_trained_whole(storage):
    bench = Bench(storage)
    bench.launch(sweeping("sweep.aims=[mAP, multiply_adds]", "sweep.points=8"))
    (study,) = bench.plan.campaign.sweep.studies
    assert study.sampler == "nsga2"
    points = of_study(study, bench.plan.points)
    front = best_of(study, points)
    for point in (point for point in points if point.state == "done"):
        better = [
            other
            for other in points
            if other.state == "done"
            and other.scores[0] >= point.scores[0]
            and other.scores[1] <= point.scores[1]
            and other.scores != point.scores
        ]
        assert (point not in front) == bool(better)
    trained = {entry.arm for entry in bench.plan.entries if entry.kind == "train"} - {"b"}
    names = {point["number"]: point["name"] for point in points_of(storage)}
    assert trained == {names[point.number] for point in front}


def test_a_joint_study_chooses_the_arm_too_and_each_arm_has_its_own_domains(storage):
    text = SWEEP.replace("sweep:\n", "select: retrain\nsweep:\n  joint: true\n").replace(
        "  b: {genotype: cdnet-top2}\n",
        "  b: {search: {space: cds-v1, relaxation: softmax}, sweep: [search.optimizer.learning_rate]}\n",
    )
    bench = Bench(storage, worth=lambda recipe: 0.5 + (recipe.relaxation == "top-k") * 0.1)
    bench.launch(sweeping("sweep.points=20", text=text))
    points = points_of(storage)
    assert {point["arm"] for point in points} == {"a", "b"}
    assert all(
        set(point["values"]) == {"search.optimizer.learning_rate"} for point in points if point["arm"] == "b"
    )
    assert all(len(point["values"]) == 2 for point in points if point["arm"] == "a")
    assert sum(point["arm"] == "a" for point in points) > 10  # the better arm is asked for more often
    assert {entry.arm for entry in bench.plan.entries if entry.kind == "train"} == {"a"}


def test_arms_that_are_not_joint_have_a_study_each(storage):
    text = SWEEP.replace("  b: {genotype: cdnet-top2}\n", "  b: {search: {space: cs-v1}}\n")
    bench = Bench(storage)
    bench.launch(sweeping(text=text))
    assert [(point["arm"], point["number"]) for point in points_of(storage)].count(("b", 5)) == 1
    assert len(points_of(storage)) == 12
    assert {entry.arm for entry in bench.plan.entries if entry.kind == "train"} == {"a", "b"}


def test_a_condition_leaves_a_domain_out(storage):
    text = SWEEP.replace(
        "    k: [1, 2, 3, 4]\n",
        "    search.relaxation: [top-k, softmax]\n"
        "    k: {values: [1, 3], when: {search.relaxation: top-k}}\n",
    )
    bench = Bench(storage, worth=lambda recipe: 0.1)
    bench.launch(sweeping("sweep.points=12", text=text))
    points = points_of(storage)
    assert {point["values"]["search.relaxation"] for point in points} == {"top-k", "softmax"}
    assert all(
        ("k" in point["values"]) == (point["values"]["search.relaxation"] == "top-k") for point in points
    )


def test_several_slots_ask_for_several_points(storage):
    bench = Bench(storage)
    bench.launch(sweeping(), slots=5)
    assert [point["state"] for point in points_of(storage)] == ["done"] * 6


def test_where_a_question_runs_another_one_is_asked(storage):
    text = SWEEP.replace(RATE, NARROW).replace("    k: [1, 2, 3, 4]\n", "")
    # Beside two trainings, three of four values at once, each with a search in two repeats.
    Bench(storage).launch(sweeping("sweep.sampler=random", text=text), slots=8, stops_after=1)
    opened = [point["values"]["search.optimizer.learning_rate"] for point in points_of(storage, "open")]
    assert len(opened) == len(set(opened)) == 3


def test_the_manifest_is_plain_json_with_every_point(storage):
    Bench(storage).launch(sweeping())
    manifest = storage.read_manifest("small")
    assert json.loads(json.dumps(manifest["points"])) == manifest["points"]
    assert {"study", "number", "arm", "name", "values", "jobs", "state", "scores"} <= manifest["points"][
        0
    ].keys()
    assert {job for point in manifest["points"] for job in point["jobs"]} <= manifest["jobs"].keys()


@pytest.mark.parametrize(("step", "narrowed"), [("0.0625", "0.25"), ("0.03125", "0.5")])
def test_steps_are_met_exactly_and_others_left_out_when_they_grow(storage, step, narrowed):
    scale = "    search.alpha_scale: {low: 1, high: 2, step: STEP}\n"
    text = SWEEP.replace(RATE, scale).replace("    k: [1, 2, 3, 4]\n", "")
    bench = Bench(storage, worth=lambda recipe: recipe.alpha_scale)
    bench.launch(sweeping("sweep.points=12", text=text.replace("STEP", step)))
    values = [point["values"]["search.alpha_scale"] for point in points_of(storage)]
    assert len(set(values)) == 12 and all((value - 1) / float(step) % 1 == 0 for value in values)
    bench.launch(sweeping("sweep.points=12", text=text.replace("STEP", narrowed)))
    values = [point["values"]["search.alpha_scale"] for point in points_of(storage)]
    assert len(values) == 1 + 1 / float(narrowed)
    assert all((value - 1) / float(narrowed) % 1 == 0 for value in values)
