"""The repeat protocol: what repeats vary, what is selected, and what is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaigns import FINGERPRINT, SMALL

from autoreid.data.index import ImageIndex
from autoreid.errors import InputError
from autoreid.published import CDNET_TRAIN, SELECT_RECIPES, shortened
from autoreid.values import digest
from tune_runs.campaign import Campaign, read_campaign
from tune_runs.checks import check_data
from tune_runs.planning import Plan, make_plan
from tune_runs.protocol import Protocol, Seeds

OTHERS = """\
  p: {genotype: cnet-top1}
  s: {search: {}, train: false}
grid: {search.k: [1, 2]}
seed: 7
"""


def read(*lines: str, text: str = SMALL, settings: tuple[str, ...] = ()) -> Campaign:
    return read_campaign(text + "".join(f"{line}\n" for line in lines), "small.yaml", None, settings)


def plan(*lines: str, text: str = SMALL) -> Plan:
    return make_plan(read(*lines, text=text), FINGERPRINT)


def order(found: Plan) -> list[tuple[str, int, str]]:
    return [(entry.arm, entry.repeat, entry.kind) for entry in found.entries]


def seeds(found: Plan, kind: str, arm: str = "a") -> list[dict[str, int]]:
    entries = [entry for entry in found.entries if (entry.kind, entry.arm) == (kind, arm)]
    return [dict(found.jobs[entry.job].seeds) for entry in entries]


def problems_of(*lines: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read(*lines)
    return tuple(caught.value.problems)


# Digests of the planned entries, ids included, as they were before there were selections and seeds of stages.
@pytest.mark.parametrize(
    ("text", "entries", "known"),
    [(SMALL, 8, "a3f96943ec872cff"), (SMALL + OTHERS, 22, "40f2614d27d1ff76")],
    ids=["plain", "grid, genotype, seed"],
)
def test_a_campaign_without_the_new_keys_plans_what_it_always_did(
    text: str, entries: int, known: str
) -> None:
    found = plan(text=text)
    assert (len(found.entries), digest([entry.plain() for entry in found.entries])[:16]) == (entries, known)
    assert found.campaign.protocol.trained == "each"
    assert all(arm.select is None for arm in found.campaign.arms)


def test_the_best_search_of_each_arm_is_selected_after_all_searches() -> None:
    found = plan("select: supernet")
    each = plan()
    assert order(found) == [*order(each), ("a", 0, "select"), ("b", 0, "select")]
    assert [entry.job for entry in found.entries[:8]] == [entry.job for entry in each.entries]
    for arm, entry in zip("ab", found.entries[8:], strict=True):
        job = found.jobs[entry.job]
        searches = [e.job for e in found.entries if (e.arm, e.kind) == (arm, "search")]
        assert job.searches == job.needs == tuple(searches)
        assert (job.recipe, job.seeds, job.data) == (SELECT_RECIPES["supernet"], (), FINGERPRINT)
    assert found.count("select") == 2


def test_the_best_alone_is_trained_as_often_as_asked() -> None:
    found = plan("select: supernet", "trained: best", "trainings: 3", "seeds: {train: 40}")
    assert order(found)[4:6] == [("a", 0, "select"), ("b", 0, "select")]
    assert order(found)[6:] == [(arm, training, "train") for training in range(3) for arm in "ab"]
    select = found.entries[4].job
    trained = [found.jobs[entry.job] for entry in found.entries if (entry.kind, entry.arm) == ("train", "a")]
    assert [job.genotype for job in trained] == [select] * 3
    assert [dict(job.seeds) for job in trained] == [{"train": seed} for seed in (40, 41, 42)]


def test_trainings_are_as_many_as_repeats_unless_given() -> None:
    text = SMALL + "  p: {genotype: cnet-top1}\n"
    found = plan("select: supernet", "trained: best", text=text)
    counts = {arm: len(seeds(found, "train", arm)) for arm in "abp"}
    assert counts == {"a": 2, "b": 2, "p": 2}
    assert [arm.select is None for arm in found.campaign.arms] == [False, False, True]
    assert seeds(plan("select: supernet", "trained: best", "trainings: 1", text=text), "train", "p") == [
        {"train": 0}
    ]


@pytest.mark.parametrize(
    ("lines", "searches", "trainings"),
    [
        (["seed: 3"], [(3, 3), (4, 4)], [3, 4]),
        (["seeds: {split: 5, search: 6, train: 7}"], [(5, 6), (6, 7)], [7, 8]),
        (["seeds: {search: 6}", "vary: [search]"], [(0, 6), (0, 7)], [0, 0]),
        (["vary: [train, split]"], [(0, 0), (1, 0)], [0, 1]),
        (["seed: 2", "vary: [train]"], [(2, 2)], [2, 3]),
    ],
)
def test_seeds_of_the_stages_vary_apart(
    lines: list[str], searches: list[tuple[int, int]], trainings: list[int]
) -> None:
    found = plan(*lines)
    assert seeds(found, "search") == [{"split": split, "search": search} for split, search in searches]
    assert seeds(found, "train") == [{"train": seed} for seed in trainings]


def test_repeats_that_ask_the_same_are_planned_once() -> None:
    """One search, trained twice; a given network whose training does not vary is trained once."""
    assert order(plan("vary: [train]"))[:3] == [("a", 0, "search"), ("a", 0, "train"), ("b", 0, "search")]
    assert order(plan("vary: [train]"))[4:] == [("a", 1, "train"), ("b", 1, "train")]
    given = plan("vary: [search]", text=SMALL + "  p: {genotype: cnet-top1}\n")
    assert seeds(given, "train", "p") == [{"train": 0}]
    assert len(seeds(given, "train", "a")) == 2


def test_a_short_training_is_the_arms_own_in_a_tenth_of_its_epochs() -> None:
    lines = ("select: {rule: retrain, fraction: 0.2, train: {optimizer.learning_rate: 0.01}}",)
    campaign = read(*lines, settings=("train.epochs=40", "train.width=64"))
    select = campaign.arms[0].select
    assert select is not None
    assert campaign.arms[0].train is not None
    expected = shortened(campaign.arms[0].train)
    assert (select.train.epochs, select.train.width, select.fraction) == (4, 64, 0.2)
    assert select.train.optimizer.learning_rate == 0.01
    assert select.train.optimizer.schedule == expected.optimizer.schedule
    assert select.train.optimizer.schedule.milestones == (15, 22, 30)
    untrained = read("select: retrain", text=SMALL.replace("cs-v1}", "cs-v1}, train: false"))
    assert untrained.arms[0].select is not None
    assert untrained.arms[0].select.train == shortened(CDNET_TRAIN)


def test_a_selection_that_trains_has_seeds() -> None:
    found = plan("select: retrain", "seeds: {split: 3, train: 9}")
    assert seeds(found, "select") == [{"split": 3, "train": 9}]
    assert {job.size for job in found.jobs.values()} == {(256, 128)}


@pytest.mark.parametrize("off", ["select: false", "select:"])
def test_a_selection_can_be_switched_off(off: str) -> None:
    assert order(plan(off)) == order(plan())


def test_settings_may_take_the_short_form_and_change_it() -> None:
    def rules(*lines: str, settings: tuple[str, ...]) -> set[str]:
        return {arm.select.rule for arm in read(*lines, settings=settings).arms if arm.select is not None}

    assert rules(settings=("select=retrain",)) == {"retrain"}
    assert rules("select: supernet", settings=("select.rule=retrain",)) == {"retrain"}
    assert rules("select: retrain", settings=("select=false",)) == set()
    assert read(settings=("data=rendered",)).source.set == "rendered"
    with pytest.raises(InputError, match=r"^--set select\.rule: 'best' is not one of supernet, retrain"):
        read(settings=("select=best",))


def test_an_empty_group_selects_in_the_supernet() -> None:
    assert plan("select: {}").jobs.keys() == plan("select: supernet").jobs.keys()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["select: supernt"], ["10: select.rule: 'supernt' is not one of supernet, retrain."]),
        (["select: 3"], ["10: select: 3 is not a group of fields."]),
        (["select: {rule: retrain, fracton: 1}"], ["10: select.fracton: no field 'fracton'. Did you mean"]),
        (["select: {rule: retrain, fraction: 2}"], ["10: select.fraction: 2.0 is too large. Use 0.9 or"]),
        (
            ["select:", "  rule: retrain", "  train: {epohcs: 3}"],
            ["12: select.train.epohcs: no field 'epohcs'."],
        ),
        (["select: {fraction: 0.2}"], ["10: select.fraction: nothing is trained by the rule 'supernet'."]),
        (
            ["select: {rule: retrain, train: {objective: {cross_entropy: 0, triplet: 0}}}"],
            ["10: select.train.objective.cross_entropy: every weight is 0"],
        ),
        (["trained: bets"], ["10: trained: 'bets' is not one of each, best."]),
        (["trained: best"], ["10: trained: nothing says which one is the best."]),
        (["trainings: 2"], ["10: trainings: each search is followed by one training."]),
        (
            ["select: supernet", "trained: best", "trainings: 0"],
            ["12: trainings: 0 is too small. Use 1 or more."],
        ),
        (["vary: [serch]"], ["10: vary: ['serch'] is not a list, each item one of split, search, pretrain,"]),
        (["vary: []"], ["10: vary: nothing varies, so 2 repeats are one."]),
        (["select: supernet", "vary: [train]"], ["10: select: all repeats are one search"]),
        (["seed: 1", "seeds: {split: 2}"], ["11: seeds: 'seed' is given too."]),
        (["seeds: 3"], ["10: seeds: 3 is not a group of fields."]),
        (["seeds: {splt: 3}"], ["10: seeds.splt: no field 'splt'. Did you mean 'split'?"]),
        (["seeds: {split: -3}"], ["10: seeds.split: -3 is too small. Use 0 or more."]),
        (
            ["trained: bets", "seeds: {train: x}", "select: {rul: retrain}"],
            [
                "10: trained: ",
                "11: seeds.train: 'x' is not a whole number.",
                "12: select.rul: no field 'rul'.",
            ],
        ),
    ],
)
def test_mistakes_name_their_place_and_remedy(lines: list[str], expected: list[str]) -> None:
    found = problems_of(*lines)
    assert len(found) == len(expected), found
    for problem, words in zip(found, expected, strict=True):
        assert problem.startswith(f"small.yaml:{words}")


def test_nothing_to_select_from_is_a_mistake() -> None:
    text = SMALL.split("arms:")[0] + "arms: {p: {genotype: cnet-top1}}\nselect: supernet\n"
    with pytest.raises(InputError) as caught:
        read(text=text)
    assert caught.value.problems == ("small.yaml:8: select: no arm has a search. Remove it.",)


def test_one_repeat_is_nothing_to_vary() -> None:
    assert read("vary: []", "select: supernet", settings=("repeats=1",)).protocol.vary == ()


def index_of(identities: int, cameras: int) -> ImageIndex:
    rows = [(identity, camera) for identity in range(identities) for camera in range(cameras)]
    return ImageIndex(
        root=Path("made-up"),
        names=tuple(f"{n:05d}.png" for n in range(len(rows))),
        identities=np.array([identity for identity, _ in rows]),
        cameras=np.array([camera for _, camera in rows]),
        splits=np.array(["train"] * len(rows)),
    )


def test_what_the_data_cannot_give_is_refused_before_any_work() -> None:
    fitting = ("search.batch.identities=4", "train.batch.identities=4")
    check_data(read("select: supernet", settings=fitting), index_of(8, 2))
    selection = read("select: {rule: retrain, fraction: 0.5, train: {batch.identities: 5}}", settings=fitting)
    with pytest.raises(InputError) as caught:
        check_data(selection, index_of(8, 2))
    assert caught.value.problems == (
        "small.yaml:10: select.train.batch.identities: 5, but a selection trains on 4 of 8. Use at most 4.",
    )
    with pytest.raises(InputError, match="no training identity was seen by two cameras"):
        check_data(read("select: supernet", settings=fitting), index_of(8, 1))


def test_a_protocol_counts_its_seeds() -> None:
    protocol: Any = Protocol(seeds=Seeds(1, 2, 3), vary=("split", "train"))
    assert [protocol.seeds_of(repeat) for repeat in (0, 2)] == [Seeds(1, 2, 3), Seeds(3, 2, 5)]
