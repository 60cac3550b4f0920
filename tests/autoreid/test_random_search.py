"""Random architectures, and random search at the budget of a search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from states import repeatable

from autoreid.data.source import DataSource
from autoreid.errors import InputError, InterruptionError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import Job, random_search_job, search_job
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.random_search import build_random_search, candidates, sampled
from autoreid.recipes import Budget, RandomSearchRecipe, Split
from autoreid.rehearsal import rehearse_job
from autoreid.running import run_job
from autoreid.storage import Storage
from autoreid.values import override
from search_spaces.genotype import Genotype
from search_spaces.registry import SPACES

SIZE = {"height": 64, "width": 32, "width_multiplier": 0.1, "batch.identities": 4, "batch.images": 2}
SEARCH = override(CDNET_SEARCH, SIZE | {"space": "cs-v1", "epochs": 2, "split.held_out": 2})
TRAIN = override(CDNET_TRAIN, SIZE | {"epochs": 2, "optimizer.learning_rate": 0.01})
RECIPE = RandomSearchRecipe("cs-v1", samples=2, fraction=0.25, budget=Budget.of(SEARCH), train=TRAIN)
CPU = Execution(device="cpu", threads=1)
MEASURED = ("search_seconds", "milliseconds_per_image")


def run(
    job: Job, storage: Storage, source: DataSource, cache: Path, stop: Callable[[], bool] = lambda: False
) -> list[dict[str, Any]]:
    return list(run_job(job, storage, source, CPU, cache, stop))


def result(job: Job, storage: Storage) -> dict[str, Any]:
    attempt, outcome = storage.job(job.id).finished() or pytest.fail("not done")
    assert Genotype.from_json(attempt.read("genotype.json").decode()).plain() == outcome.result["genotype"]
    return {name: value for name, value in outcome.result.items() if name not in MEASURED}


@pytest.mark.parametrize("space", sorted(SPACES))
def test_architectures_are_drawn_from_the_space_and_differ(space: str) -> None:
    count = min(3, max(map(len, SPACES[space].places.values())))  # OSNet has two forms
    several = [tuple(candidates(space, count, seed)) for seed in range(9)]
    ones = [sampled(space, seed) for seed in range(9)]
    assert [len(set(drawn)) for drawn in several] == [count] * 9
    for genotype in [*several[0], *ones]:
        SPACES[space].check(genotype)
    assert (several[2], ones[2]) == (tuple(candidates(space, count, 2)), sampled(space, 2))
    assert len(set(several)) > 1
    assert len(set(ones)) > 1


def test_every_option_of_a_place_is_as_likely() -> None:
    """Chi-squared with 5 degrees of freedom is below 20.5 with probability 0.999; the seeds are fixed."""
    drawn = [sampled("cs-v1", seed) for seed in range(600)]
    for place, options in SPACES["cs-v1"].places.items():
        counts = Counter(genotype[place] for genotype in drawn)
        assert sum((counts[option] - 100) ** 2 / 100 for option in options) < 20.5


def test_more_samples_than_a_space_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    only = sampled("cs-v1", 0)

    class One:
        def sample(self, _: Any) -> Genotype:
            return only

    monkeypatch.setitem(SPACES, "one-v1", One())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="samples: 3, but only 1 different architectures of one-v1"):
        candidates("one-v1", 3, 0)


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, small_source: DataSource, small_data: PreparedData, cache: Path
) -> tuple[Job, Storage]:
    storage = Storage(tmp_path_factory.mktemp("random"))
    job = random_search_job(RECIPE, small_data.fingerprint, split_seed=5, search_seed=6)
    assert [row["epoch"] for row in run(job, storage, small_source, cache)] == [1, 2, 3, 4]
    return job, storage


def test_it_sees_as_many_images_as_the_search_and_chooses_by_validation(
    done: tuple[Job, Storage], small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job, storage = done
    search = search_job(SEARCH, small_data.fingerprint, split_seed=5, search_seed=6)
    run(search, storage, small_source, cache)
    found = result(job, storage)
    # 32 of 48 images move the weights: 4 batches of 8 in each of 2 epochs, and as many for the alphas.
    assert result(search, storage)["images_seen"] == found["budget_images"] == 128
    assert found["images_seen"] == 2 * 2 * 4 * 8 == 128  # samples, epochs, batches, images
    attempt, _ = storage.job(job.id).finished() or pytest.fail("not done")
    assert sum(row["images"] for row in attempt.records()) == found["images_seen"]
    drawn = candidates("cs-v1", 2, 6)
    assert [score["genotype_digest"] for score in found["scores"]] == [genotype.digest for genotype in drawn]
    scores = [score["mAP"] for score in found["scores"]]
    assert len(set(scores)) == 2
    assert found["genotype"] == drawn[scores.index(max(scores))].plain()
    assert found["validation_mAP"] == max(scores)


def test_what_the_budget_does_not_divide_into_is_left(small_data: PreparedData) -> None:
    """Never more than the budget, and less by at most a batch in every epoch of every sample."""
    for samples in (2, 3, 5, 8):
        recipe = replace(RECIPE, samples=samples)
        seen, budget = samples * 2 * recipe.steps(32) * 8, recipe.budget.images(32)
        assert budget - samples * 2 * 8 < seen <= budget


def test_a_budget_that_is_too_small_names_the_remedy() -> None:
    with pytest.raises(InputError) as caught:
        replace(RECIPE, samples=9).steps(32)
    assert caught.value.problems == (
        "samples: 9 samples, but the search sees 128 images: less than one batch of 8 in each of the 2 "
        "epochs of a sample. Use at most 8 samples, or search for longer.",
    )
    with pytest.raises(InputError, match=r"of a sample\. Search for longer\."):
        replace(RECIPE, budget=Budget.of(override(SEARCH, {"epochs": 1, "batch.identities": 2}))).steps(4)


def test_the_test_set_is_never_read(
    done: tuple[Job, Storage], small_data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, storage = done
    noise = np.zeros(small_data.images.shape, dtype=np.uint8)
    noise[small_data.train_rows] = small_data.images[small_data.train_rows]
    poisoned = replace(small_data, images=noise)
    training = build_random_search(job, RECIPE, lambda *_: poisoned, CPU)
    while training.position.epoch < training.position.epochs:
        training.advance()
    found = {name: value for name, value in training.finish()[0].items() if name not in MEASURED}
    assert found == result(job, storage)


@pytest.mark.parametrize("beats", [3, 16])
def test_an_interrupted_one_equals_an_undisturbed_one(
    beats: int, done: tuple[Job, Storage], small_source: DataSource, cache: Path, tmp_path: Path
) -> None:
    """Within an epoch of the first sample, and with the second one."""
    job, undisturbed = done
    storage, asked = Storage(tmp_path), iter(range(10**6))
    with pytest.raises(InterruptionError):
        run(job, storage, small_source, cache, stop=lambda: next(asked) == beats)
    assert run(job, storage, small_source, cache)
    records = [
        repeatable((each.job(job.id).finished() or pytest.fail("not done"))[0].records())
        for each in (undisturbed, storage)
    ]
    assert records[0] == records[1]
    assert result(job, storage) == result(job, undisturbed)


def test_contradictions_are_named_before_any_work(small_data: PreparedData) -> None:
    train = override(TRAIN, {"channels": 2, "objective": {"cross_entropy": 0, "triplet": 0}})
    recipe = replace(RECIPE, space="reid-v1", train=train)
    job = random_search_job(recipe, "f", split_seed=0, search_seed=0)
    with pytest.raises(InputError) as caught:
        build_random_search(job, recipe, lambda *_: small_data, CPU)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [
        "train.objective",
        "train.channels",
        "train.height",
    ]


def test_a_job_comes_back_from_its_plain_form() -> None:
    recipe = replace(RECIPE, budget=replace(RECIPE.budget, split=Split("by-image")))
    job = random_search_job(recipe, "f" * 64, split_seed=1, search_seed=2)
    assert Job.from_plain(job.plain()) == job
    assert (job.needs, job.size, job.epochs) == ((), (64, 32), 4)


def test_a_rehearsal_goes_through_all_of_it_in_small(
    small_source: DataSource, small_data: PreparedData, cache: Path, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, samples=8, budget=replace(RECIPE.budget, epochs=500), fraction=0.5)
    batch = override(recipe, {"train.batch.identities": 2, "train.epochs": 9})
    job = random_search_job(batch, small_data.fingerprint, split_seed=0, search_seed=0)
    storage = Storage(tmp_path)
    rows = list(rehearse_job(job, storage, small_source, CPU, cache))
    assert [row["epoch"] for row in rows] == [1, 2]  # of two samples, after an interruption within the first
    found = result(job, storage)
    assert (len(found["scores"]), found["rehearsal"]["step_seconds"] > 0) == (2, True)
    # Eight trainings of nine epochs, and as many evaluations, on all of the data: the sample holds it.
    assert (found["rehearsal"]["epochs"], found["rehearsal"]["rests"]) == (72, 8)
    trained = len(small_data.train_rows) - 2 * small_data.identities  # of each two are held out
    assert found["rehearsal"]["steps"] == batch.steps(trained)
    assert found["rehearsal"]["checkpoint_bytes"] > 100_000  # with a network in it, though none is left
    assert len(storage.job(job.id).attempts()) == 2
