"""Select jobs as a whole: what is chosen, by which images, and over an interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from states import repeatable

from autoreid import selecting
from autoreid.building import found_genotype
from autoreid.data.source import DataSource
from autoreid.data.views import Images
from autoreid.errors import InputError, InterruptionError, RunError
from autoreid.evaluation.ranking import RankingScores
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import Job, search_job, select_job, train_job
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN, SELECT_RECIPES, shortened
from autoreid.running import run_job
from autoreid.selecting import build_selection, read_candidates
from autoreid.snapshots import newest_checkpoint
from autoreid.storage import Storage
from autoreid.validation import score_in_supernet
from autoreid.values import override
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED

SIZE = {"height": 64, "width": 32, "width_multiplier": 0.1, "batch.identities": 4, "batch.images": 2}
SEARCH = override(CDNET_SEARCH, SIZE | {"space": "cs-v1", "epochs": 1, "split.held_out": 2})
TRAIN = override(CDNET_TRAIN, SIZE | {"epochs": 2, "optimizer.learning_rate": 0.01})
SUPERNET = SELECT_RECIPES["supernet"]
RETRAIN = replace(SELECT_RECIPES["retrain"], fraction=0.25, train=TRAIN)
CPU = Execution(device="cpu", threads=1)
SEARCHES = 3


@dataclass(frozen=True)
class World:
    """A storage with finished searches, and what runs jobs in it."""

    storage: Storage
    source: DataSource
    cache: Path
    searches: tuple[str, ...]
    data: PreparedData

    def select(self, recipe: Any = SUPERNET, searches: tuple[str, ...] | None = None) -> Job:
        return select_job(recipe, self.data.fingerprint, searches or self.searches)

    def run(self, job: Job, stop: Callable[[], bool] = lambda: False) -> list[dict[str, Any]]:
        return list(run_job(job, self.storage, self.source, CPU, self.cache, stop))

    def result(self, job: Job) -> dict[str, Any]:
        finished = self.storage.job(job.id).finished()
        assert finished is not None
        return dict(finished[1].result)


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, small_source: DataSource, small_data: PreparedData, cache: Path
) -> World:
    """Three finished searches, the last one with the genotype of the second."""
    storage = Storage(tmp_path_factory.mktemp("searched"))
    jobs = [
        search_job(SEARCH, small_data.fingerprint, split_seed=seed, search_seed=seed)
        for seed in range(SEARCHES)
    ]
    for job in jobs:
        list(run_job(job, storage, small_source, CPU, cache))
    return World(storage, small_source, cache, tuple(job.id for job in jobs), small_data)


@pytest.fixture
def world(searched: World, tmp_path: Path) -> Iterator[World]:
    """A copy of the storage, to be written to."""
    shutil.copytree(str(searched.storage.folder), tmp_path / "storage")
    yield replace(searched, storage=Storage(tmp_path / "storage"))


@pytest.fixture(scope="module")
def undisturbed(searched: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The storage after a selection that trains."""
    folder = tmp_path_factory.mktemp("undisturbed") / "storage"
    shutil.copytree(str(searched.storage.folder), folder)
    world = replace(searched, storage=Storage(folder))
    world.run(world.select(RETRAIN))
    return world


def forced(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """Let the searches score so, in the order in which they are asked."""
    given = iter(scores)

    def score(*_: Any, **__: Any) -> RankingScores:
        value = next(given)
        one = np.array([value])
        return RankingScores(value, one, value, 9, one, np.array([1]), np.array([1]), np.array([True]))

    monkeypatch.setattr(selecting, "score_in_supernet", score)


@pytest.mark.parametrize(
    ("scores", "chosen"), [([0.2, 0.4, 0.3], 1), ([0.4, 0.2, 0.4], 0), ([0.1, 0.1, 0.2], 2)]
)
def test_the_best_search_is_chosen_and_of_equal_ones_the_first(
    scores: list[float], chosen: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced(monkeypatch, scores)
    job = world.select()
    rows = world.run(job)
    assert [(row["epoch"], row["search"]) for row in rows] == list(enumerate(world.searches, 1))
    result = world.result(job)
    assert (result["search"], result["validation_mAP"]) == (world.searches[chosen], scores[chosen])
    assert [(entry["search"], entry["mAP"]) for entry in result["scores"]] == list(
        zip(world.searches, scores, strict=True)
    )
    expected = found_genotype(world.storage, world.searches[chosen])
    assert found_genotype(world.storage, job.id) == expected
    assert result["genotype_digest"] == expected.digest
    attempt, _ = world.storage.job(job.id).finished() or pytest.fail("not done")
    assert Genotype.from_json(attempt.read("genotype.json").decode()) == expected


def test_a_selection_scores_each_search_by_its_own_supernet_and_split(world: World) -> None:
    job = world.select()
    world.run(job)
    scores = [entry["mAP"] for entry in world.result(job)["scores"]]
    candidates = read_candidates(job, world.storage)
    expected = [
        score_in_supernet(
            SEARCH, found.genotype, found.supernet(), world.data, split_seed=seed, execution=CPU
        ).mean_average_precision
        for seed, found in enumerate(candidates)
    ]
    assert scores == expected
    assert len(set(scores)) == SEARCHES


def test_a_training_takes_what_a_selection_chose(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    forced(monkeypatch, [0.1, 0.3, 0.2])
    job = world.select()
    world.run(job)
    training = train_job(replace(TRAIN, epochs=1), world.data.fingerprint, job.id, train_seed=0)
    world.run(training)
    assert (
        world.result(training)["genotype_digest"] == found_genotype(world.storage, world.searches[1]).digest
    )


class Tripwire:
    """Images whose test rows must not be read; the others are given out as they are."""

    def __init__(self, images: Images, allowed: np.ndarray) -> None:
        self.images, self.allowed = images, allowed

    @property
    def shape(self) -> tuple[int, ...]:
        return self.images.shape

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        assert np.isin(rows, self.allowed).all(), "an image of the test set was read"
        return self.images[rows]


@pytest.mark.parametrize("recipe", [SUPERNET, RETRAIN], ids=["supernet", "retrain"])
def test_the_test_set_is_never_read(recipe: Any, world: World, undisturbed: World) -> None:
    """With noise in place of all test images, and a trap on reading them, every score stays as it is."""
    world = undisturbed if recipe is RETRAIN else world
    job = world.select(recipe)
    world.run(job)
    noise = np.random.default_rng(0).integers(0, 256, world.data.images.shape, dtype=np.uint8)
    allowed = world.data.train_rows
    noise[allowed] = world.data.images[allowed]
    poisoned = replace(world.data, images=Tripwire(noise, allowed))
    run = build_selection(job, recipe, read_candidates(job, world.storage), lambda *_: poisoned, CPU)
    while run.position.epoch < run.position.epochs:
        run.advance()
    found = run.finish()[0] | {"select_seconds": 0}
    assert found == world.result(job) | {"select_seconds": 0}
    with pytest.raises(AssertionError, match="test set was read"):
        poisoned.images[world.data.index.rows("query")[:1]]


def give(world: World, search: str, genotype: Genotype) -> None:
    """Let a search have found this genotype: its outcome is written again."""
    attempt, outcome = world.storage.job(search).finished() or pytest.fail("not done")
    attempt.files = {name: dict(vouched) for name, vouched in outcome.files.items()}
    result = dict(outcome.result) | {"genotype": genotype.plain(), "genotype_digest": genotype.digest}
    attempt.finish(replace(outcome, result=result))


def test_short_trainings_are_shared_by_searches_that_found_the_same(world: World) -> None:
    """Training seeds are the same, so an equal genotype has an equal score."""
    first, second = PUBLISHED["cnet-top1"], PUBLISHED["cnet-top4"]
    for search, genotype in zip(world.searches, (first, second, first), strict=True):
        give(world, search, genotype)
    job = world.select(RETRAIN)
    rows = world.run(job)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    result = world.result(job)
    digests = [entry["genotype_digest"] for entry in result["scores"]]
    scores = [entry["mAP"] for entry in result["scores"]]
    assert digests == [first.digest, second.digest, first.digest]
    assert scores[0] == scores[2] != scores[1]
    assert result["search"] == world.searches[0 if scores[0] > scores[1] else 1]
    assert {entry["queries"] for entry in result["scores"]} == {12}


def same(job: Job, one: World, other: World) -> None:
    """Assert that both storages have finished the job alike, what a clock gave aside."""
    first, second = (world.storage.job(job.id).finished() for world in (one, other))
    assert first is not None
    assert second is not None
    assert repeatable(second[0].records()) == repeatable(first[0].records())
    results = [dict(outcome.result) | {"select_seconds": 0} for _, outcome in (first, second)]
    assert results[0] == results[1]


WITHIN_AN_EPOCH, IN_AN_EVALUATION, WITH_THE_SECOND_CANDIDATE = 9, 12, 17


@pytest.mark.parametrize("beats", [WITHIN_AN_EPOCH, IN_AN_EVALUATION, WITH_THE_SECOND_CANDIDATE])
def test_an_interrupted_selection_equals_an_undisturbed_one(
    beats: int, world: World, undisturbed: World
) -> None:
    """Every candidate is trained for 2 epochs of 4 steps, and evaluated before and after in 2 batches."""
    job = world.select(RETRAIN)
    asked = iter(range(10**6))
    with pytest.raises(InterruptionError):
        world.run(job, stop=lambda: next(asked) == beats)
    (interrupted,) = world.storage.job(job.id).attempts()
    found = newest_checkpoint([interrupted])
    assert found is not None
    assert (found[1].epoch, found[1].step) == {9: (1, 2), 12: (1, 4), 17: (2, 1)}[beats]
    assert [row["epoch"] for row in world.run(job)] == list(range(found[1].epoch + 1, 7))
    same(job, undisturbed, world)


@pytest.mark.slow
@pytest.mark.parametrize("beats", [4, WITHIN_AN_EPOCH, IN_AN_EVALUATION, WITH_THE_SECOND_CANDIDATE, 30])
def test_a_killed_selection_equals_an_undisturbed_one(beats: int, world: World, undisturbed: World) -> None:
    """The process is killed between two steps, with no chance to save anything more."""
    job = world.select(RETRAIN)
    world.storage.job(job.id).describe(job.plain())
    folder, source = str(world.storage.folder), json.dumps(world.source.plain())
    script = Path(__file__).with_name("killed_selection.py")
    command = [sys.executable, str(script), folder, str(world.cache), source, job.id, str(beats)]
    killed = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    (attempt,) = world.storage.job(job.id).attempts()
    assert attempt.outcome() is None
    assert newest_checkpoint([attempt]) is not None
    assert world.run(job)
    same(job, undisturbed, world)


def test_a_selection_in_supernets_keeps_the_scores_that_it_has(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced(monkeypatch, [0.3, 0.5, 0.4])
    job = world.select()
    asked = iter(range(10**6))
    with pytest.raises(InterruptionError):
        world.run(job, stop=lambda: next(asked) == 1)
    assert [row["epoch"] for row in world.run(job)] == [2, 3]
    assert world.result(job)["search"] == world.searches[1]


def test_all_that_does_not_fit_is_named_before_any_work(world: World) -> None:
    missing = search_job(SEARCH, world.data.fingerprint, split_seed=9, search_seed=9)
    training = train_job(shortened(TRAIN), world.data.fingerprint, PUBLISHED["cnet-top1"], train_seed=0)
    world.run(training)
    job = world.select(searches=(world.searches[0], missing.id, training.id))
    with pytest.raises(InputError) as caught:
        world.run(job)
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "the search is not done. Run it first.",
        "a train job. Select from searches.",
    ]
    other = select_job(SUPERNET, "0" * 64, world.searches)
    with pytest.raises(InputError, match="a search on other data"):
        world.run(other)
    assert world.storage.job(job.id).attempts() == world.storage.job(other.id).attempts() == []


def test_an_altered_supernet_is_refused(world: World) -> None:
    attempt, _ = world.storage.job(world.searches[1]).finished() or pytest.fail("not done")
    path = Path(str(attempt.folder)) / "supernet.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    small = len(content) <= 1 << 20
    job = world.select()
    with pytest.raises(InputError if small else RunError, match="not done" if small else "damaged"):
        world.run(job)


def test_a_recipe_that_contradicts_itself_is_refused(world: World) -> None:
    job = world.select(replace(SUPERNET, fraction=0.3))
    with pytest.raises(InputError, match="fraction: nothing is trained by the rule 'supernet'"):
        world.run(job)
