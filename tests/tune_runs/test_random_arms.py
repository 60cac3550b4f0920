"""Random arms and grids of several fields, from the file to the plan."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from campaigns import FINGERPRINT, SMALL
from test_protocol import index_of

from autoreid.errors import InputError
from autoreid.published import CDNET_TRAIN, shortened
from autoreid.random_search import sampled
from autoreid.recipes import Budget, RandomSearchRecipe, TrainRecipe
from autoreid.storage import Storage
from search_spaces.genotype import Genotype
from tune_runs.campaign import Campaign, load_campaign, read_campaign
from tune_runs.checks import check_data
from tune_runs.manifest import save_manifest
from tune_runs.overview import plan_plain
from tune_runs.plan_words import plan_text
from tune_runs.planning import Plan, make_plan
from tune_runs.status import status_plain
from tune_runs.why import why_plain, why_text

RANDOM = "  r: {random: cs-v1}\n"
FOUND = "  s: {random: {space: cs-v1, budget: search}}\n"


def read(*lines: str, settings: tuple[str, ...] = ()) -> Campaign:
    return read_campaign(SMALL + "".join(lines), "small.yaml", None, settings)


def plan(*lines: str, settings: tuple[str, ...] = ()) -> Plan:
    return make_plan(read(*lines, settings=settings), FINGERPRINT)


def trained(found: Plan, arm: str) -> list[Genotype | str | None]:
    entries = [entry for entry in found.entries if (entry.arm, entry.kind) == (arm, "train")]
    return [found.jobs[entry.job].genotype for entry in entries]


def problems_of(*lines: str, settings: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read(*lines, settings=settings)
    return tuple(caught.value.problems)


def test_each_repeat_trains_an_architecture_that_its_search_seed_draws() -> None:
    found = plan(RANDOM, settings=("repeats=3", "seeds={search: 5}"))
    assert trained(found, "r") == [sampled("cs-v1", seed) for seed in (5, 6, 7)]
    entries = [entry.plain() for entry in found.entries if entry.arm == "r"]
    assert [entry["sampled"] for entry in entries] == [5, 6, 7]
    assert all("sampled" not in entry.plain() for entry in found.entries if entry.arm != "r")
    long = plan("  r: {random: {space: cs-v1}}\n", settings=("repeats=3", "seeds={search: 5}"))
    assert long.entries == found.entries
    set_later = plan("  r: {genotype: cnet-top1}\n", settings=("arms.r={random: cs-v1}",))
    assert trained(set_later, "r") == [sampled("cs-v1", seed) for seed in (0, 1)]


def test_equal_genotypes_are_one_job() -> None:
    """Two arms that draw from one space; and repeats in which neither the draw nor the training varies."""
    both = plan(RANDOM, "  other: {random: cs-v1}\n")
    assert both.count("train") == 2 * 3
    assert len(trained(plan(RANDOM, "vary: [split]\n"), "r")) == 1
    assert len(set(trained(plan(RANDOM, "vary: [train]\n"), "r"))) == 1


def test_a_random_search_has_the_budget_of_the_defaults_and_the_form_of_the_training() -> None:
    settings = ("search.batch.images=2", "search.split.held_out=3", "train.width=64")
    found = plan("  s: {random: {space: cs-v1, budget: search, samples: 5}}\n", settings=settings)
    jobs = [found.jobs[entry.job] for entry in found.entries if entry.arm == "s"]
    assert [job.kind for job in jobs] == ["random-search", "train"] * 2
    assert [dict(job.seeds) for job in jobs[::2]] == [{"search": r, "split": r} for r in (0, 1)]
    assert (jobs[0].needs, jobs[1].needs) == ((), (jobs[0].id,))
    searched, training = found.campaign.arms[0].search, found.campaign.arms[2].train
    assert searched is not None
    assert training is not None
    expected = RandomSearchRecipe("cs-v1", 5, 0.1, Budget.of(searched), shortened(training))
    assert jobs[0].recipe == expected
    assert (expected.budget.epochs, expected.budget.batch.images, expected.budget.split.held_out) == (2, 2, 3)
    own = read("  s: {random: {space: cs-v1, budget: search, fraction: 0.3, train: {epochs: 4}}}\n")
    assert own.arms[2].random is not None
    assert own.arms[2].random.search is not None
    assert (own.arms[2].random.search.fraction, own.arms[2].random.search.train.epochs) == (0.3, 4)


def test_random_arms_are_trained_in_every_repeat_where_searches_are_selected_from() -> None:
    found = plan(RANDOM, FOUND, "select: supernet\n", "trained: best\n", "trainings: 1\n")
    assert Counter((entry.arm, entry.kind) for entry in found.entries) == {
        ("a", "search"): 2,
        ("b", "search"): 2,
        ("a", "select"): 1,
        ("b", "select"): 1,
        ("a", "train"): 1,
        ("b", "train"): 1,
        ("r", "train"): 2,
        ("s", "random-search"): 2,
        ("s", "train"): 2,
    }


def test_plan_status_and_why_know_random_arms(tmp_path: Path) -> None:
    found = plan(RANDOM, FOUND)
    text = plan_text(plan_plain(found, None, None))
    assert "cs-v1, one random architecture a repeat" in text
    assert "cs-v1, random search: best of 8 at the search's budget, 256 x 128, batch 16 x 4, 1 epoch" in text
    assert "jobs: 4 searches, 2 random searches, 8 trainings" in text
    storage = Storage(tmp_path)
    save_manifest(storage, found)
    (status,) = status_plain(storage)["campaigns"]
    assert [arm["epochs"] for arm in status["arms"] if arm["kind"] == "random-search"] == [2 * 8]
    job = next(entry.job for entry in found.entries if entry.kind == "random-search")
    why = why_text(why_plain(storage, job))
    assert f"random-search {job}" in why
    assert "planned by small: s, repeat 1" in why
    assert "recipe.budget.epochs" in why


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{random: cs-v2}", "10: arms.r.random.space: no space 'cs-v2'. Did you mean"),
        ("{random: {budget: search}}", "10: arms.r.random.space: missing. Name a space"),
        (
            "{random: {space: cs-v1, budget: 9}}",
            "10: arms.r.random.budget: 9 is not a budget. Write 'search'",
        ),
        ("{random: {space: cs-v1, samples: 4}}", "10: arms.r.random.samples: nothing is searched. Write"),
        (
            "{random: {space: cs-v1, budget: search, samples: 1}}",
            "10: arms.r.random.samples: 1 is too small. Use 2 or more.",
        ),
        (
            "{random: {space: cs-v1, budget: search, train: {epohcs: 1}}}",
            "10: arms.r.random.train.epohcs: no field 'epohcs'.",
        ),
        (
            "{random: {space: cs-v1, budget: {epochs: 3}}}",
            "10: arms.r.random.budget.epochs: nothing is searched. Write",
        ),
        ("{random: cs-v1, genotype: cnet-top1}", "10: arms.r: has a genotype and a random space. Keep one"),
        ("{random: cs-v1, search: {}}", "10: arms.r: has a search and a random space. Keep one"),
        ("{random: cs-v1, train: false}", "10: arms.r: has nothing to do: no search, and train is false."),
        ("{random: 3}", "10: arms.r.random: 3 is not a group of fields."),
        ("{random: reid-v1, train: {height: 96}}", "10: arms.r.train.height: 96 gives a last map of 3 rows"),
    ],
)
def test_mistakes_name_their_place_and_remedy(line: str, expected: str) -> None:
    (problem,) = problems_of(f"  r: {line}\n")
    assert problem.startswith(f"small.yaml:{expected}")


def test_a_budget_needs_the_search_of_the_defaults() -> None:
    text = SMALL.replace("search: {recipe: cdnet, epochs: 2}\n", "").split("arms:")[0] + "arms:\n" + FOUND
    with pytest.raises(InputError) as caught:
        read_campaign(text, "small.yaml", None, ())
    (problem,) = caught.value.problems
    assert problem.startswith("small.yaml: search.recipe: missing. Name a recipe.")


def test_what_the_data_cannot_give_is_refused_before_any_work() -> None:
    fitting = ("search.batch.identities=2", "search.batch.images=2", "train.batch.identities=2")
    check_data(read(FOUND, settings=(*fitting, "search.epochs=128")), index_of(8, 2))
    with pytest.raises(InputError) as caught:  # 8 of 16 images move the weights: 2 batches of 4, twice
        check_data(read(FOUND, settings=fitting), index_of(8, 2))
    assert caught.value.problems == (
        "small.yaml:10: arms.s.random.samples: 8 samples, but the search sees 32 images: less than one batch "
        "of 8 in each of the 1 epochs of a sample. Use at most 4 samples, or search for longer.",
    )
    wide = "  s: {random: {space: cs-v1, budget: search, fraction: 0.5, train: {batch.identities: 5}}}\n"
    with pytest.raises(InputError) as caught:
        check_data(read(wide, settings=(*fitting, "search.epochs=128")), index_of(8, 2))
    assert caught.value.problems == (
        "small.yaml:10: arms.s.random.train.batch.identities: 5, but a random search trains on 4 of 8. "
        "Use at most 4.",
    )
    with pytest.raises(InputError, match="seen by two cameras: leave 'budget: search' out"):
        check_data(read(FOUND, settings=(*fitting, "search.epochs=128")), index_of(16, 1))


PAIR = "grid:\n  search.objective.triplet, search.alpha_objective.triplet: [0, 0.5]\n"


def test_an_axis_sets_two_fields_at_once() -> None:
    found = read(RANDOM, PAIR)
    assert [arm.name for arm in found.arms] == [
        "a, triplet=0",
        "a, triplet=0.5",
        "b, triplet=0",
        "b, triplet=0.5",
        "r",
    ]
    for arm, expected in zip(found.arms[:2], (0.0, 0.5), strict=True):
        assert arm.search is not None
        assert (arm.search.objective.triplet, arm.search.alpha_objective.triplet) == (expected, expected)


def test_an_axis_over_both_kinds_leaves_arms_alone_that_have_one() -> None:
    found = read("  p: {genotype: cnet-top1}\n", "grid: {'search.height, train.height': [64, 128]}\n")
    names = [arm.name for arm in found.arms]
    assert names == ["a, height=64", "a, height=128", "b, height=64", "b, height=128", "p"]
    assert [arm.train and arm.train.height for arm in found.arms] == [64, 128, 64, 128, CDNET_TRAIN.height]


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (
            "{'search.k, epochs': [1]}",
            "grid.search.k, epochs: an axis is a field of search, pretrain or train",
        ),
        ("{'search.k, search.k': [1]}", "grid.search.k, search.k: a field is in the grid twice."),
        (
            "{search.k: [1], 'search.k, search.epochs': [1]}",
            "grid.search.k, search.epochs: a field is in the",
        ),
        ("{'search.k, search.epohcs': [1]}", "grid.search.epohcs: no field 'epohcs'."),
    ],
)
def test_mistakes_of_axes(grid: str, expected: str) -> None:
    assert problems_of(f"grid: {grid}\n")[0].startswith(f"small.yaml:10: {expected}")


def test_a_field_of_a_pair_that_an_arm_fixes() -> None:
    (problem,) = problems_of("  c: {search: {alpha_objective: {triplet: 1}}}\n", PAIR)
    assert problem.startswith("small.yaml:10: arms.c.search.alpha_objective.triplet: is an axis of the grid")


def shipped(name: str) -> Plan:
    return make_plan(load_campaign(name), FINGERPRINT)


def counts(found: Plan) -> dict[str, int]:
    return dict(Counter(job.kind for job in found.jobs.values()))


def test_one_search_of_table_2_serves_its_four_trainings() -> None:
    found = shipped("auto_reid_table2")
    for repeat in range(4):
        jobs = {entry.job for entry in found.entries if entry.repeat == repeat}
        assert Counter(found.jobs[job].kind for job in jobs) == {"search": 4, "train": 16}
    served = Counter(job.genotype for job in found.jobs.values() if job.kind == "train")
    assert set(served.values()) == {4}
    sizes = {
        (job.recipe.channels, job.recipe.layers)
        for job in found.jobs.values()
        if isinstance(job.recipe, TrainRecipe)
    }
    assert sizes == {(width, depth) for width in (16, 32) for depth in ((2, 2, 2, 2), (3, 4, 6, 3))}


def test_table_1_has_every_arm_of_the_paper_and_both_random_arms_of_each_space() -> None:
    found = shipped("auto_reid_table1")
    assert counts(found) == {"search": 12, "random-search": 8, "train": 48, "select": 3}
    arms = {arm.name: arm for arm in found.campaign.arms}
    assert len({arm.train for arm in arms.values()}) == 1
    objectives = [
        (arm.search.space, arm.search.objective.cross_entropy, arm.search.alpha_objective.triplet)
        for arm in arms.values()
        if arm.search
    ]
    assert objectives == [("base-v1", 1, 0), ("reid-v1", 1, 0), ("reid-v1", 0.5, 0.5)]
    random = [(arm.random.space, arm.random.search is None) for arm in arms.values() if arm.random]
    assert random == [("base-v1", True), ("reid-v1", True), ("base-v1", False), ("reid-v1", False)]


def test_the_grid_of_lambda_follows_in_both_objectives() -> None:
    found = shipped("auto_reid_lambda")
    assert counts(found) == {"search": 20, "random-search": 4, "train": 28, "select": 5}
    for arm, share in zip(found.campaign.arms[:5], (0, 0.25, 0.5, 0.75, 1), strict=True):
        assert arm.name == f"Search, lambda={share}"
        assert arm.search is not None
        assert arm.search.objective == arm.search.alpha_objective
        assert arm.search.objective.cross_entropy == share
        assert arm.train is not None
        assert arm.train.objective.cross_entropy == 0.5
