"""Sweeps as a file gives them: what is read, and every mistake with its place."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from campaigns import FINGERPRINT
from sweeps import OVER, SWEEP, Bench, sweeping

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.campaign import load_campaign
from tune_runs.domains import Choice, Range
from tune_runs.enumeration import every_point
from tune_runs.foresight import foreseen, unswept
from tune_runs.opening import read_data
from tune_runs.planning import make_plan
from tune_runs.rehearsing import rehearsal_plan
from tune_runs.studies import next_point
from tune_runs.sweeping import continued
from tune_runs.sweeps import Sweep

FITS = "height: 64, width: 32, batch: {identities: 4, images: 2}, epochs: 2"
AUTO_REID = """\
name: named
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
search: {recipe: auto-reid}
train: {recipe: auto-reid}
teacher: Teacher
select: retrain
sweep: {over: [lambda, C, l, k, T0]}
arms:
  Teacher: {genotype: resnet18, train: {recipe: kdas-teacher, weights: ""}}
  Cells: {search: {space: reid-v1}, sweep: [lambda, C, l]}
  CDNet: {search: {recipe: cdnet}, train: {recipe: cdnet}, sweep: [k]}
  KDAS: {search: {recipe: kdas}, train: {recipe: kdas}, sweep: [T0]}
"""


def test_names_stand_for_the_fields_of_the_papers():
    sweep = sweeping(text=AUTO_REID).sweep
    domains = {swept.name: {domain.name: domain for domain in swept.domains} for swept in sweep.swept}
    assert {arm: list(found) for arm, found in domains.items()} == {
        "Cells": ["lambda", "C", "l"],
        "CDNet": ["k"],
        "KDAS": ["T0"],
    }
    assert domains["Cells"]["lambda"].values == Range(0.0, 1.0)
    assert domains["Cells"]["C"].values == Choice((8, 16, 24, 32))
    at = {swept.name: swept.at for swept in sweep.swept}
    cells = at["Cells"]({"lambda": 0.25, "C": 16, "l": [1, 1, 1, 1]})
    assert (cells.search.channels, cells.search.layers, cells.train.channels) == (16, (1, 1, 1, 1), 64)
    for objective in (cells.search.objective, cells.search.alpha_objective):
        assert (objective.cross_entropy, objective.triplet) == (0.25, 0.75)
    assert cells.train.objective.cross_entropy == 0.5
    assert cells.name == "Cells, lambda=0.25, C=16, l=[1, 1, 1, 1]"
    kdas = at["KDAS"]({"T0": 4.0})
    objectives = (kdas.search.objective, kdas.search.alpha_objective, kdas.train.objective)
    assert [objective.temperature.start for objective in objectives] == [4.0] * 3
    assert at["CDNet"]({"k": "all"}).search.k == "all"


def test_a_name_is_an_axis_of_a_grid_too():
    text = AUTO_REID.replace("sweep: {over: [lambda, C, l, k, T0]}\n", "grid: {T0: [1, 4]}\n")
    for names in ("[lambda, C, l]", "[k]", "[T0]"):
        text = text.replace(f", sweep: {names}", "")
    arms = {arm.name: arm for arm in sweeping(text=text).arms}
    assert arms["KDAS, T0=4"].search.objective.temperature.start == 4.0


def test_a_range_of_a_field_of_whole_numbers_is_whole():
    text = SWEEP.replace("k: [1, 2, 3, 4]", "k: {low: 1, high: 4}")
    whole, real = (domain.values for domain in sweeping(text=text).sweep.swept[0].domains)
    assert (whole.whole, whole.step, real.whole) == (True, 1, False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            OVER,
            "    search.alpha_scale: [.nan, 1]\n",
            "alpha_scale: a value is not a finite number",
        ),
        (OVER, "    k: {low: 1, high: 4, step: 0.5}\n", "9: sweep.over.k.step: 0.5 is not a whole number"),
        (OVER, "    k: [1, 1.0]\n", "9: sweep.over.k: two of its values are the same"),
        (
            OVER,
            "    train.epochs: [1, 2]\n",
            "train.epochs: has no part in what a point is",
        ),
        (
            OVER,
            "    lambda: {low: 0, high: 1}\n    k: {values: [1, 2], when: {lambda: 0.5}}\n",
            "k.when.lambda: any number of a range may be chosen",
        ),
        (
            "points: 6",
            "pruning: true\n  pruning_epoch: 6",
            "12: sweep.pruning_epoch: 6, of 6 epochs",
        ),
        (
            "points: 6",
            "pruning: true\n  points: 5",
            "sweep.pruning_points: 5, of 5 points",
        ),
        (
            "points: 6\narms:\n  a: {search: {space: cds-v1}}",
            "aims: [mAP, parameters]\narms:\n  a: {search: {space: cds-v1}, train: false}",
            "sweep.aims: arm a trains no network to be counted",
        ),
        (OVER, "    q: [1]\n", "9: sweep.over.q: is neither a name nor a field. Known: lambda, C, l, k, T0"),
        (OVER, "    k: [1, 1]\n", "9: sweep.over.k: a value is listed twice"),
        (OVER, "    k: []\n", "9: sweep.over.k: [] is no list of values and no range"),
        (OVER, "    k: {low: 1}\n", "9: sweep.over.k.high: missing"),
        (OVER, "    k: {low: 3, high: 2}\n", "9: sweep.over.k.high: 2 is not above low, 3"),
        (OVER, "    k: {low: 1, high: 4, step: 2}\n", "9: sweep.over.k.high: 4 is not reached in steps of 2"),
        (
            OVER,
            "    k: {low: 1, high: 3, stp: 2}\n",
            "9: sweep.over.k.stp: no field 'stp'. Did you mean 'step'?",
        ),
        (OVER, "    k: {low: 0, high: 3}\n", "9: sweep.over.k: search.k: 0 is too small. Use 1 or more"),
        (
            OVER,
            "    lambda: {low: 0, high: 2}\n",
            "lambda: search.objective.lambda: 2 is not between 0 and 1",
        ),
        (OVER, "    lambda: {low: 0, high: 1, log: true}\n", "9: sweep.over.lambda.low: 0 has no logarithm"),
        (
            OVER,
            "    search.space: [cds-v1, cds-v9]\n",
            "9: sweep.over.search.space: no space 'cds-v9'",
        ),
        (OVER, "    search.epochs:\n", "9: sweep.over.search.epochs: nothing to choose from"),
        (OVER, "    k: [1]\n    search.k: [2]\n", "10: sweep.over.search.k: search.k is in the sweep twice"),
        (
            OVER,
            "    k: {values: [1], when: {lambda: 1}}\n",
            "k.when.lambda: no domain before this one 'lambda'",
        ),
        (OVER, "    l: [[1]]\n    k: {values: [1], when: {l: [[2]]}}\n", "l: [[2]] is never chosen: [1]"),
        (OVER, "    pretrain.epochs: [1]\n", "7: sweep: no arm has a search and a field"),
        ("  over:\n" + OVER, "", "7: sweep.over: names no domain"),
        ("points: 6", "points: 0", "11: sweep.points: 0 is too small. Use 1 or more"),
        ("points: 6", "point: 6", "11: sweep.point: no field 'point'. Did you mean 'points'?"),
        ("points: 6", "aims: [mAP, speed]", "11: sweep.aims: no aim 'speed'. Known: mAP, multiply_adds"),
        ("points: 6", "aims: []", "11: sweep.aims: each aim is named once, and at least one"),
        ("points: 6", "sampler: best", "11: sweep.sampler: 'best' is not one of auto, tpe, nsga2, random"),
        ("points: 6", "sampler: nsga2", "11: sweep.sampler: nsga2 trades several aims against each other"),
        (
            "points: 6",
            "aims: [mAP, parameters]\n  pruning: true",
            "12: sweep.pruning: a point that is worse in one",
        ),
        (
            "points: 6",
            "aims: [parameters]\n  pruning: true",
            "12: sweep.pruning: a curve of accuracies says nothing",
        ),
        (
            "{search: {space: cds-v1}}",
            "{search: {space: cds-v1, k: 2}}",
            "arms.a.search.k: is in the sweep too",
        ),
        ("{search: {space: cds-v1}}", "{search: {}, sweep: [q]}", "arms.a.sweep: no domain 'q'"),
        (
            "{search: {space: cds-v1}}",
            "{search: {}, sweep: true}",
            "arms.a.sweep: True is no list of domains",
        ),
        (
            "{search: {space: cds-v1}}",
            "{search: {}, sweep: false}",
            "7: sweep: no arm has a search and a field",
        ),
        ("{genotype: cdnet-top2}", "{genotype: cdnet-top2, sweep: [k]}", "arms.b.sweep: has no search"),
        (
            OVER,
            "    C: [8, 16]\n",
            "9: sweep.over.C: supernets of several sizes or spaces have scores that cannot",
        ),
        (
            "points: 6\narms:",
            "joint: true\narms:\n  c: {search: {space: cs-v1}}",
            "11: sweep.joint: supernets of several arms have scores that cannot",
        ),
        ("arms:", "grid: {search.epochs: [1, 2]}\narms:", "grid: and a sweep. Give the values of the grid"),
        (
            OVER,
            "    search.alpha_scale: {low: 1, high: 2, step: 0.3333333333333333}\n",
            "9: sweep.over.search.alpha_scale.high: 2 is not reached in steps of 0.3333333333333333. Use "
            "1.9999999999999999.",
        ),
        (
            OVER + "  points: 6",
            "    search.relaxation: [top-k, softmax]\n"
            "    k: {values: [1], when: {search.relaxation: top-k}}\n"
            "  aims: [mAP, parameters]\n  sampler: nsga2",
            "12: sweep.sampler: nsga2 mixes points of the same domains, and here some points lack a domain",
        ),
    ],
)
def test_a_mistake_names_its_place_and_remedy(old, new, message):
    assert old in SWEEP
    with pytest.raises(InputError) as caught:
        sweeping(text=SWEEP.replace(old, new))
    assert any(message in problem for problem in caught.value.problems), caught.value.problems
    assert all(problem.startswith("small.yaml:") for problem in caught.value.problems)


def test_a_batch_that_the_data_cannot_fill_is_told_before_anything_is_run():
    text = SWEEP.replace(OVER, "    search.batch.identities: [4, 40]\n").replace(
        "cdnet, epochs: 6", f"cdnet, {FITS}"
    )
    campaign = sweeping(text=text.replace("cdnet, epochs: 3", f"cdnet, {FITS}"))
    with pytest.raises(InputError) as caught:
        read_data(campaign)
    message = "9: sweep.over.search.batch.identities: 40, but the training set has 8. Use at most 8."
    assert caught.value.problems == (f"small.yaml:{message}",)


def test_an_arm_has_no_sweep_of_its_own():
    text = SWEEP[: SWEEP.index("sweep:")] + "arms:\n  a: {search: {space: cds-v1}, sweep: [k]}\n"
    with pytest.raises(InputError, match=r"arms\.a\.sweep: there is no 'sweep:' at the top"):
        sweeping(text=text)


def test_several_mistakes_are_told_at_once():
    with pytest.raises(InputError) as caught:
        sweeping(text=SWEEP.replace("k: [1, 2, 3, 4]", "k: [0, 9, q]").replace("points: 6", "points: 0"))
    assert len(caught.value.problems) == 3


def test_labels_are_the_shortest_ends_of_fields_and_keys_are_whole():
    rates = "{low: 0.001, high: 0.1}"
    text = SWEEP.replace(
        OVER, f"    search.optimizer.learning_rate: {rates}\n    search.alpha_scale: [1, 2]\n"
    )
    (swept,) = sweeping(text=text).sweep.swept
    values = {"search.optimizer.learning_rate": 0.025, "search.alpha_scale": 2}
    assert swept.allows(values) and swept.at(values).name == "a, learning_rate=0.025, alpha_scale=2"
    two = text.replace("search.alpha_scale: [1, 2]", f"search.alpha_optimizer.learning_rate: {rates}")
    sweep = sweeping(text=two).sweep
    values = dict.fromkeys(("search.optimizer.learning_rate", "search.alpha_optimizer.learning_rate"), 0.025)
    name = "a, optimizer.learning_rate=0.025, alpha_optimizer.learning_rate=0.025"
    assert sweep.swept[0].at(values).name == name
    assert Sweep.from_plain(json.loads(json.dumps(sweep.plain()))).plain() == sweep.plain()


@pytest.mark.parametrize(
    "text",
    ["{low: 0.1, high: 0.7, step: 0.2}", "{low: 0, high: 0.9999999999999999, step: 0.3333333333333333}"],
)
def test_every_number_of_a_range_with_steps_can_be_asked(text):
    text = SWEEP.replace(OVER, f"    search.alpha_optimizer.weight_decay: {text}\n")
    (study,) = sweeping(text=text).sweep.studies
    points = every_point(study)
    assert len(points) == 4 and all(study.swept[0].allows(point.values) for point in points)
    asked = [
        replace(point, number=number, state="done", scores=(0.1,)) for number, point in enumerate(points)
    ]
    assert study.swept[0].allows(next_point(study, asked).values)


def test_a_long_range_of_whole_numbers_is_not_listed():
    text = SWEEP.replace(OVER, "    search.epochs: {low: 1, high: 1000000}\n")
    campaign = sweeping(text=text)
    (study,) = campaign.sweep.studies
    assert study.swept[0].domains[0].values.numbers() is None and every_point(study) is None
    points = foreseen(make_plan(campaign, FINGERPRINT)).points
    assert len(points) == 6 and all(study.swept[0].allows(point.values) for point in points)


def test_nsga2_is_chosen_where_every_point_has_the_same_domains():
    aims = "sweep.aims=[mAP, multiply_adds]"
    assert [study.sampler for study in sweeping(aims).sweep.studies] == ["nsga2"]
    assert [study.sampler for study in sweeping().sweep.studies] == ["tpe"]
    joint = SWEEP.replace("sweep:\n", "select: retrain\nsweep:\n  joint: true\n").replace(
        "  b: {genotype: cdnet-top2}\n", "  b: {search: {space: cs-v1}}\n"
    )
    assert [study.sampler for study in sweeping(aims, text=joint).sweep.studies] == ["tpe"]
    when = OVER.replace("[1, 2, 3, 4]", "{values: [1, 2], when: {search.relaxation: top-k}}")
    text = SWEEP.replace(OVER, f"    search.relaxation: [top-k, softmax]\n{when}")
    assert [study.sampler for study in sweeping(aims, text=text).sweep.studies] == ["tpe"]


def test_what_will_come_is_counted_before_it_is_asked():
    plan = make_plan(sweeping(), FINGERPRINT)
    whole = foreseen(plan)
    assert (plan.count("search"), plan.count("train")) == (0, 2)
    assert (whole.count("search"), whole.count("select"), whole.count("train")) == (12, 6, 4)
    assert {entry.arm for entry in whole.entries} == {"a", "b"}
    assert foreseen(make_plan(sweeping("sweep.train=none"), FINGERPRINT)).count("train") == 2
    front = foreseen(make_plan(sweeping("sweep.aims=[mAP, multiply_adds]"), FINGERPRINT))
    assert (front.count("search"), front.count("train")) == (12, 4)
    assert len(set(front.entries)) == len(front.entries) == 12 + 6 + 4


def test_what_will_come_counts_what_was_asked(tmp_path):
    storage = Storage(tmp_path)
    Bench(storage).launch(sweeping(), stops_after=9)
    plan = continued(make_plan(sweeping(), FINGERPRINT), storage)
    whole = foreseen(plan)
    assert plan.points and set(plan.jobs) <= set(whole.jobs)
    assert (whole.count("search"), whole.count("select"), whole.count("train")) == (12, 6, 4)


def test_a_rehearsal_takes_swept_arms_as_the_file_gives_them():
    plan = unswept(make_plan(sweeping(), FINGERPRINT))
    small = rehearsal_plan(plan)
    assert {(entry.arm, entry.kind) for entry in small.entries} == {
        ("a", "search"),
        ("a", "train"),
        ("b", "train"),
    }


@pytest.mark.parametrize(
    ("name", "domains", "studies"),
    [
        ("sweep_lambda", {"lambda"}, 1),
        ("sweep_channels_layers", {"C", "l"}, 1),
        ("sweep_topk", {"k", "search.alpha_optimizer.learning_rate"}, 2),
        ("sweep_t0", {"T0"}, 1),
        ("sweep_joint", {"lambda", "C", "l", "k", "T0"}, 1),
    ],
)
def test_the_shipped_sweeps_are_what_their_names_say(name, domains, studies):
    campaign = load_campaign(name)
    assert {domain.name for swept in campaign.sweep.swept for domain in swept.domains} == domains
    assert len(campaign.sweep.studies) == studies
    assert any(arm.random is not None for arm in campaign.arms)
    if name == "sweep_joint":
        assert len(campaign.sweep.swept) == 3
    if domains == {"C", "l"}:
        assert campaign.sweep.settings.aims == ("mAP", "multiply_adds")


def test_a_large_sweep_is_foreseen_at_once():
    """Not point by point: each would be drawn after all that were drawn before."""
    whole = foreseen(make_plan(sweeping("sweep.points=1000", "sweep.repeats=1"), FINGERPRINT))
    assert whole.count("select") > 900  # of 1000 draws a few are alike
