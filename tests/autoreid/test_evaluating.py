"""Evaluate jobs as a whole: what they give beside the evaluation of a training, and over an interruption."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoreid.data.source import DataSource
from autoreid.errors import InputError, InterruptionError, StorageError, TooLittleMemoryError
from autoreid.evaluate_recipes import EvaluateRecipe
from autoreid.evaluating import EvaluateRun, evaluate, protocol_of
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import Job, evaluate_job, train_job
from autoreid.model_files import unpack_model
from autoreid.published import CDNET_TRAIN
from autoreid.rehearsal import rehearse_job
from autoreid.running import run_job
from autoreid.storage import Storage
from autoreid.values import override
from autoreid.weights import WeightFile
from search_spaces.published import PUBLISHED

SIZE = {"height": 64, "width": 32, "width_multiplier": 0.1, "batch.identities": 4, "batch.images": 2}
TRAIN = override(CDNET_TRAIN, SIZE | {"epochs": 1, "optimizer.learning_rate": 0.01})
CPU = Execution(device="cpu", threads=1)
RERANKED = EvaluateRecipe(rerank=True, k1=4, k2=2)


@dataclass(frozen=True)
class World:
    """A storage with a finished training, and what runs jobs in it."""

    storage: Storage
    source: DataSource
    cache: Path
    training: Job
    data: PreparedData

    def job(self, recipe: EvaluateRecipe = RERANKED) -> Job:
        return evaluate_job(recipe, self.data.fingerprint, self.training.id)

    def result(self, job: Job) -> dict[str, Any]:
        list(run_job(job, self.storage, self.source, CPU, self.cache))
        finished = self.storage.job(job.id).finished()
        assert finished is not None
        return dict(finished[1].result)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, small_source: DataSource, small_data: PreparedData, cache: Path
) -> World:
    storage = Storage(tmp_path_factory.mktemp("trained"))
    training = train_job(TRAIN, small_data.fingerprint, PUBLISHED["cdnet-top2"], train_seed=0)
    list(run_job(training, storage, small_source, CPU, cache))
    return World(storage, small_source, cache, training, small_data)


def test_plain_figures_are_those_of_the_training_and_reranked_ones_stand_beside_them(trained: World) -> None:
    at_the_end = trained.result(trained.training)["evaluation"]
    found = trained.result(trained.job())
    plain, reranked = found["evaluation"], found["evaluation"]["reranked"]
    assert {name: plain[name] for name in at_the_end} == at_the_end
    assert reranked["protocol"] == plain["protocol"] | {
        "reranking": {"k1": 4, "k2": 2, "lambda": 0.3, "flavour": "squared-euclidean"}
    }
    assert reranked["queries"] == plain["queries"]
    assert reranked["mAP"] != plain["mAP"]


def test_what_lies_behind_the_figures_agrees_with_them(trained: World) -> None:
    found = trained.result(trained.job())
    hardest, pairs = found["hardest"], found["camera_pairs"]
    precisions = [row["average_precision"] for row in hardest]
    assert precisions == sorted(precisions)
    assert all(row["name"].startswith("query/") for row in hardest)
    assert len(hardest) == min(20, found["evaluation"]["queries"])
    if len(hardest) == found["evaluation"]["queries"]:
        assert np.mean(precisions) == pytest.approx(found["evaluation"]["mAP"])
    cameras = {int(camera) for camera in np.unique(trained.data.index.cameras)}
    assert {row["query_camera"] for row in pairs} <= cameras
    assert all(row["query_camera"] != row["gallery_camera"] for row in pairs)


def test_each_choice_gives_other_figures(trained: World) -> None:
    recipes = [
        EvaluateRecipe(),
        EvaluateRecipe(flip=True),
        EvaluateRecipe(normalised=False),
        EvaluateRecipe(average_precision="trapezoid"),
    ]
    found = [trained.result(trained.job(recipe))["evaluation"] for recipe in recipes]
    assert len({one["mAP"] for one in found}) == len(recipes)
    assert [one["protocol"]["flip"] for one in found] == [False, True, False, False]
    assert found[2]["protocol"]["normalised"] is False
    assert found[3]["protocol"]["average_precision"] == "trapezoid"
    assert found[3]["rank_1"] == found[0]["rank_1"]


def test_parameters_without_effect_make_no_other_job(trained: World) -> None:
    assert trained.job(EvaluateRecipe(k1=7, weight=0.9)).id == trained.job(EvaluateRecipe()).id
    assert trained.job(replace(RERANKED, k1=5)).id != trained.job().id
    assert trained.job().needs == (trained.training.id,)
    assert Job.from_plain(trained.job().plain()) == trained.job()


def test_recipes_are_protocols() -> None:
    assert protocol_of(EvaluateRecipe()) == Protocol()
    given = EvaluateRecipe(False, "trapezoid", True, True, 9, 3, 0.5)
    assert protocol_of(given) == Protocol(False, "trapezoid", True, True, Reranking(9, 3, 0.5))
    assert list(EvaluateRecipe(rerank=True, k1=2, k2=6).problems()) == [
        ("k2", "6 with k1 = 2. Use 1 to 3; the paper has 6.")
    ]


def test_pictures_are_kept_as_files(trained: World) -> None:
    job = trained.job(EvaluateRecipe(pictures=True))
    trained.result(job)
    finished = trained.storage.job(job.id).finished()
    assert finished is not None
    attempt, outcome = finished
    names = {"pictures-ranked.png", "pictures-activations.png", "features.npz"}
    assert names <= set(outcome.files)
    assert attempt.vouched("pictures-ranked.png", outcome).startswith(b"\x89PNG")


def test_pictures_take_no_more_images_at_once_than_the_ranking(trained: World) -> None:
    model = trained.storage.job(trained.training.id).finished()
    assert model is not None
    file = WeightFile("model.pt", model[0].vouched("model.pt", model[1]))
    few = replace(CPU, evaluation_batch=8)
    run = EvaluateRun(EvaluateRecipe(pictures=True), file, lambda *_: trained.data, few)
    seen: list[int] = []
    hook = run.model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    run.advance()
    hook.remove()
    assert max(seen) == 8


def test_what_was_found_survives_an_interruption(trained: World) -> None:
    model = trained.storage.job(trained.training.id).finished()
    assert model is not None
    file = WeightFile("model.pt", model[0].vouched("model.pt", model[1]))

    def run() -> EvaluateRun:
        return EvaluateRun(EvaluateRecipe(pictures=True), file, lambda *_: trained.data, CPU)

    first, second = run(), run()
    first.advance()
    second.load(first.state())
    assert second.position.epoch == 1
    assert second.finish() == first.finish()


def test_an_evaluation_stops_between_two_batches_and_begins_anew(trained: World) -> None:
    job = trained.job(EvaluateRecipe(flip=True, rerank=True, k1=3, k2=1))
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    few = replace(CPU, evaluation_batch=8)
    with pytest.raises(InterruptionError):
        list(run_job(job, trained.storage, trained.source, few, trained.cache, stop))
    assert trained.storage.job(job.id).finished() is None
    assert trained.result(job)["evaluation"]["reranked"]["queries"] > 0


def test_too_little_memory_is_final_and_names_the_field(trained: World) -> None:
    job = trained.job(EvaluateRecipe(normalised=False, rerank=True, k1=4, k2=2))
    small = replace(CPU, evaluation_memory="2KiB")
    with pytest.raises(TooLittleMemoryError, match=r"^execution\.evaluation_memory: 2KiB is too little"):
        list(run_job(job, trained.storage, trained.source, small, trained.cache))
    failure = trained.storage.job(job.id).failed_for_good()
    assert failure is not None and str(failure.error).startswith("execution.evaluation_memory: 2KiB")


def test_a_training_that_is_not_done_is_named(trained: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the training is not done"):
        list(run_job(trained.job(), Storage(tmp_path), trained.source, CPU, trained.cache))


def test_other_data_than_planned_is_refused(trained: World) -> None:
    job = evaluate_job(EvaluateRecipe(), "f" * 64, trained.training.id)
    with pytest.raises(StorageError, match="fingerprint"):
        list(run_job(job, trained.storage, trained.source, CPU, trained.cache))


def test_it_is_rehearsed_on_a_sample(trained: World, tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    job = trained.job(EvaluateRecipe(rerank=True))
    for one in (trained.training, job):
        storage.job(one.id).describe(one.plain())
        list(rehearse_job(one, storage, trained.source, CPU, trained.cache))
    finished = storage.job(job.id).finished()
    assert finished is not None
    found = finished[1].result["rehearsal"]
    assert (found["epochs"], found["steps"]) == (1, 0)
    assert found["rests"] >= 1
    assert found["predicted_seconds"] > 0


def test_one_camera_alone_is_ranked_by_the_protocol_for_it(trained: World) -> None:
    model = trained.storage.job(trained.training.id).finished()
    assert model is not None
    network, *_ = unpack_model(model[0].vouched("model.pt", model[1]), "model.pt")
    index = replace(trained.data.index, cameras=np.ones_like(trained.data.index.cameras))
    one, asked = (
        replace(trained.data, index=replace(index, single_camera=single)) for single in (False, True)
    )
    device = torch.device("cpu")
    with pytest.raises(InputError, match="no query has"):
        evaluate(network, one, device=device, execution=CPU)
    found = evaluate(network, asked, device=device, execution=CPU).plain()
    assert found["protocol"]["same_camera_ignored"] is False
    assert found["queries"] == len(asked.index.rows("query"))
