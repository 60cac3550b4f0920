"""What Optuna does for a sweep, from points alone."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from sweeps import SWEEP, Bench, sweeping

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.points import best_of
from tune_runs.studies import is_hopeless, next_point
from tune_runs.sweep_overview import export_sweeps, sweeps_plain, sweeps_text
from tune_runs.sweeps import Sweep

TWO = SWEEP.replace(
    "    k: [1, 2, 3, 4]\n    search.optimizer.learning_rate: {low: 0.001, high: 0.1, log: true}\n",
    "    search.optimizer.weight_decay: {low: 0, high: 1}\n"
    "    search.alpha_optimizer.weight_decay: {low: 0, high: 1}\n",
)


def study_of(*settings, text=SWEEP):
    return sweeping(*settings, text=text).sweep.studies[0]


def asked(study, worth, count):
    """So many points of a study, each done at once."""
    points = []
    for _ in range(count):
        point = next_point(study, points)
        points.append(replace(point, state="done", scores=worth(point.values)))
    return points


def hill(values):
    """Highest, at 0, in the middle of two ranges."""
    x, y = values.values()
    return (-((x - 0.5) ** 2) - (y - 0.5) ** 2,)


def test_a_point_depends_on_the_points_before_it_and_on_the_seed_alone():
    study = study_of(text=TWO)
    points = asked(study, hill, 12)
    assert asked(study, hill, 12) == points
    assert next_point(study, points[:7]) == replace(points[7], state="open", scores=())
    other = asked(study_of("sweep.seed=1", text=TWO), hill, 12)
    assert [point.values for point in other] != [point.values for point in points]


def test_tpe_learns_where_chance_does_not():
    means = {}
    for sampler in ("tpe", "random"):
        ends = []
        for seed in range(4):
            study = study_of(f"sweep.sampler={sampler}", f"sweep.seed={seed}", "sweep.points=40", text=TWO)
            ends += [point.scores[0] for point in asked(study, hill, 40)[25:]]
        means[sampler] = sum(ends) / len(ends)
    assert means["tpe"] > -0.1 > -0.13 > means["random"]  # uniform points have -1/6 on average


def test_a_point_that_runs_is_not_asked_for_again():
    study = study_of("sweep.points=8")
    points = [replace(point, state="open", scores=()) for point in asked(study, lambda values: (0.1,), 4)]
    later = next_point(study, points)
    assert later.question not in {point.question for point in points}


def test_values_are_rounded_and_within_their_domains():
    study = study_of()
    points = asked(study, lambda values: (values["k"],), 20)
    for point in points:
        rate = point.values["search.optimizer.learning_rate"]
        assert 0.001 <= rate <= 0.1 and rate == float(f"{rate:.4g}")
        assert point.values["k"] in (1, 2, 3, 4) and isinstance(point.values["k"], int)


def test_whole_numbers_and_steps():
    text = SWEEP.replace("k: [1, 2, 3, 4]", "k: {low: 1, high: 7, step: 2}")
    study = study_of("sweep.sampler=random", text=text)
    seen = {point.values["k"] for point in asked(study, lambda values: (0.1,), 40)}
    assert seen == {1, 3, 5, 7} and all(isinstance(value, int) for value in seen)


def test_generations_go_on_where_they_were():
    study = study_of("sweep.aims=[mAP, multiply_adds]", "sweep.points=32", text=TWO)
    points = asked(study, lambda values: (*hill(values), sum(values.values())), 24)
    generations = [point.notes["NSGAIISampler:generation"] for point in points]
    assert generations == sorted(generations) and set(generations) == {0, 1, 2}
    assert [generations.count(number) for number in (0, 1, 2)] == [8, 8, 8]


def test_the_front_is_what_none_surpasses():
    study = study_of("sweep.aims=[mAP, multiply_adds]", text=TWO)
    scores = [(0.5, 10.0), (0.4, 5.0), (0.4, 7.0), (0.5, 10.0), (0.6, 20.0), (0.1, 50.0)]
    points = [
        replace(point, scores=pair)
        for point, pair in zip(asked(study, lambda values: (0.0, 0.0), 6), scores, strict=True)
    ]
    assert [point.number for point in best_of(study, points)] == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("epoch", "accuracy", "hopeless"), [(1, 0.0, False), (2, 0.1, True), (2, 0.35, False), (3, 0.1, True)]
)
def test_a_point_below_the_median_is_hopeless_from_the_epoch_on_that_is_given(epoch, accuracy, hopeless):
    study = study_of("sweep.pruning=true", "sweep.pruning_epoch=2", "sweep.pruning_points=3")
    points = asked(study, lambda values: (0.5,), 3)
    curves = ({1: 0.2, 2: 0.3, 3: 0.4}, {1: 0.2, 2: 0.2, 3: 0.2}, {1: 0.3, 2: 0.4, 3: 0.5})
    points = [replace(point, curve=curve) for point, curve in zip(points, curves, strict=True)]
    open_point = replace(next_point(study, points), curve={epoch: accuracy})
    assert is_hopeless(study, [*points, open_point], open_point) == hopeless
    of_another_arm = [replace(other, arm="b") for other in points]
    assert not is_hopeless(study, [*of_another_arm, open_point], open_point)
    few = [*points[:2], open_point]
    assert not is_hopeless(study, few, open_point)
    patient = study_of("sweep.pruning_epoch=2", "sweep.pruning_points=3")
    assert not is_hopeless(patient, [*points, open_point], open_point)


def test_a_sweep_is_read_back_from_its_manifest():
    text = SWEEP.replace("sweep:\n", "select: retrain\nsweep:\n").replace(
        "    k: [1, 2, 3, 4]\n",
        "    l: [[1, 1, 1, 1], [2, 2, 2, 2]]\n    k: {values: [1, all], when: {l: [[1, 1, 1, 1]]}}\n",
    )
    text = text.replace("space: cds-v1", "recipe: auto-reid, relaxation: top-k")
    sweep = sweeping(text=text).sweep
    again = Sweep.from_plain(sweep.plain())
    assert again.plain() == sweep.plain()
    domains = [domain for swept in sweep.swept for domain in swept.domains]
    read = [domain for swept in again.swept for domain in swept.domains]
    assert [(d.name, d.values, d.when) for d in read] == [(d.name, d.values, d.when) for d in domains]
    with pytest.raises(InputError, match="does not know the recipes"):
        again.swept[0].at({})


def test_the_export_is_a_study_of_optuna(tmp_path):
    storage = Storage(tmp_path / "storage")
    failing = lambda job: job.kind == "search" and job.recipe.k == 2  # noqa: E731
    Bench(storage, failing=failing).launch(sweeping("sweep.points=10"))
    file = tmp_path / "small.journal"
    assert export_sweeps(storage, None, file) == 1
    backend = optuna.storages.journal.JournalFileBackend(str(file))
    study = optuna.load_study(study_name="small: a", storage=optuna.storages.JournalStorage(backend))
    (plain,) = sweeps_plain(storage)
    states = {"done": "COMPLETE", "failed": "FAIL", "known": "COMPLETE"}
    by_number = {point["point"] - 1: point for point in plain["points"]}
    assert len(study.trials) == len(by_number)
    for trial in study.trials:
        point = by_number[trial.number]
        assert trial.params == point["values"]
        assert trial.state.name in (states[point["state"]], "FAIL" if not point["scores"] else "COMPLETE")
        assert (trial.values or None) == (list(point["scores"].values()) if point["scores"] else None)
    assert study.best_value == plain["points"][0]["scores"]["mAP"]
    with pytest.raises(InputError, match="exists"):
        export_sweeps(storage, None, file)


def test_the_overview_shows_the_best_first(tmp_path):
    storage = Storage(tmp_path)
    Bench(storage).launch(sweeping())
    (plain,) = sweeps_plain(storage, "small")
    scores = [point["scores"]["mAP"] for point in plain["points"]]
    assert scores == sorted(scores, reverse=True)
    assert [point["best"] for point in plain["points"]] == [True] + [False] * 5
    lines = sweeps_text([plain]).splitlines()
    assert lines[0] == "small, study a: mAP (max.), by tpe"
    assert lines[2] == "  6 points asked of 6: 6 done"
    assert lines[1].startswith("  a: k of 1, 2, 3, 4; learning_rate from 0.001 to 0.1")
    assert lines[3].split() == ["point", "k", "learning_rate", "mAP"]
    assert lines[4].split()[-1] == "best"


def test_a_storage_without_a_sweep_says_so(tmp_path):
    storage = Storage(tmp_path)
    Bench(storage).launch(
        sweeping("repeats=1", text=SWEEP[: SWEEP.index("sweep:")] + SWEEP[SWEEP.index("arms:") :])
    )
    with pytest.raises(InputError, match="no campaign of this storage sweeps"):
        sweeps_plain(storage)
    with pytest.raises(InputError, match="campaign 'small' has no sweep"):
        sweeps_plain(storage, "small")


def test_a_damaged_manifest_is_named(tmp_path):
    storage = Storage(tmp_path)
    Bench(storage).launch(sweeping())
    manifest = storage.read_manifest("small")
    manifest["points"][0].pop("values")
    storage.write_manifest("small", manifest)
    with pytest.raises(InputError, match=r"manifest\.json: damaged"):
        sweeps_plain(storage)
