"""The job that times networks: what it leaves, over an interruption, and what its rehearsal tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autoreid.attempts import Outcome
from autoreid.data.source import DataSource
from autoreid.errors import InputError, InterruptionError
from autoreid.execution import Execution
from autoreid.jobs import Job, latency_job, search_job
from autoreid.latency import WARM_UP
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.latency_runs import LatencyRun, timed_batches
from autoreid.memory import remedies
from autoreid.published import CDNET_SEARCH
from autoreid.recipes import Neck
from autoreid.rehearsal import rehearse_job
from autoreid.running import run_job
from autoreid.storage import Storage
from search_spaces.published import PUBLISHED

CPU = Execution(device="cpu", threads=1, checkpoint_minutes=0)
SMALL = Build(64, 32, width_multiplier=0.25, neck=Neck(name="bnneck"))
RECIPE = LatencyRecipe(batch=(1, 2), images=3, passes=2)
GENOTYPE, OTHER = PUBLISHED["cdnet-top2"], PUBLISHED["cdnet-top1"]


def searched(storage: Storage, seed: int) -> str:
    """A finished search, which found the genotype that is given too."""
    search = search_job(CDNET_SEARCH, "f" * 64, split_seed=seed, search_seed=seed)
    attempt = storage.job(search.id).new_attempt()
    found = {"genotype": GENOTYPE.plain(), "genotype_digest": GENOTYPE.digest}
    attempt.finish(Outcome("done", result=found, facts={}))
    return search.id


def result_of(job: Job, storage: Storage) -> dict[str, Any]:
    finished = storage.job(job.id).finished()
    assert finished is not None
    return dict(finished[1].result)


def test_what_searches_found_is_timed_once_and_told_of_each(tmp_path: Path, small_source: DataSource) -> None:
    storage = Storage(tmp_path)
    found = [searched(storage, seed) for seed in (0, 1)]
    job = latency_job(RECIPE, [(GENOTYPE, SMALL), (OTHER, SMALL), *((one, SMALL) for one in found)])
    (row,) = run_job(job, storage, small_source, CPU)
    assert row["epoch"] == 1 and row["wall_seconds"] > 0
    result = result_of(job, storage)
    rows = {(one["network"], one["batch"]): one for one in result["latency"]}
    assert rows.keys() == {(number, batch) for number in range(4) for batch in (1, 2)}
    for number, network in enumerate(job.networks):
        digest = OTHER.digest if network == OTHER else GENOTYPE.digest
        assert {rows[number, batch]["genotype_digest"] for batch in (1, 2)} == {digest}
    same = [number for number, network in enumerate(job.networks) if network != OTHER]
    assert len({tuple(rows[number, 1]["passes_seconds"]) for number in same}) == 1
    one = rows[0, 2]
    assert (one["precision"], one["device_kind"], one["threads"], one["forms"]) == (
        "fp32",
        "cpu",
        1,
        "default",
    )
    assert len(one["passes_seconds"]) == 2 and one["pass_images"] == 3
    assert result["latency_seconds"] > 0
    # It is not run again.
    assert list(run_job(job, storage, small_source, CPU)) == []


def test_a_search_that_is_not_done_is_named(tmp_path: Path, small_source: DataSource) -> None:
    job = latency_job(RECIPE, [("a" * 32, SMALL)])
    with pytest.raises(InputError, match=f"{'a' * 32}: the search is not done"):
        list(run_job(job, Storage(tmp_path), small_source, CPU))


def test_interrupted_between_two_batches_it_begins_again(tmp_path: Path, small_source: DataSource) -> None:
    storage, job = Storage(tmp_path), latency_job(RECIPE, [(GENOTYPE, SMALL)])
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(len(asked) > 2 * WARM_UP)
        return asked[-1]

    with pytest.raises(InterruptionError):
        list(run_job(job, storage, small_source, CPU, stop=stop))
    assert storage.job(job.id).finished() is None
    list(run_job(job, storage, small_source, CPU))
    (attempt, outcome) = storage.job(job.id).finished() or (None, None)
    assert attempt is not None and attempt.number == 2 and outcome is not None
    assert [len(one["passes_seconds"]) for one in outcome.result["latency"]] == [2, 2]


def test_a_finished_one_is_carried_over_an_interruption() -> None:
    job = latency_job(RECIPE, [(GENOTYPE, SMALL)])
    assert isinstance(job.recipe, LatencyRecipe)
    first, second = (LatencyRun(job.recipe, [GENOTYPE], CPU) for _ in range(2))
    first.advance()
    second.load(first.state())
    assert second.position.epoch == 1 and second.finish()[0] == first.finish()[0]


def test_a_rehearsal_times_each_network_once_and_tells_the_whole(
    tmp_path: Path, small_source: DataSource
) -> None:
    storage, whole = Storage(tmp_path), LatencyRecipe(batch=(1, 2), images=64, passes=3)
    job = latency_job(whole, [(GENOTYPE, SMALL)])
    list(rehearse_job(job, storage, small_source, CPU))
    result = result_of(job, storage)
    assert {(one["pass_images"], len(one["passes_seconds"])) for one in result["latency"]} == {(2, 1)}
    told = result["rehearsal"]
    # Two to warm up and the passes: of a real job 2 + 3 * 64 and 2 + 3 * 32, here 2 + 2 and 2 + 1.
    assert timed_batches(whole) == 292 and told["rests"] == pytest.approx(292 / 7)
    assert told["predicted_seconds"] >= told["rests"] * told["rests_seconds"][0]


def test_memory_that_does_not_suffice_names_the_batches() -> None:
    assert remedies(LatencyRecipe(batch=(1, 512)), CPU) == "Time smaller batches: batch is 1, 512."


@pytest.fixture(autouse=True)
def same_threads() -> None:
    torch.set_num_threads(1)
