"""What only a GPU shows: the same loops on CUDA, and work that moves between devices."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoreid.building import build_run
from autoreid.data.source import DataSource
from autoreid.errors import OutOfMemoryError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import search_job, train_job
from autoreid.memory import free_memory, memory_explained
from autoreid.models.assembly import build_supernet
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.running import run_job
from autoreid.storage import Storage
from autoreid.validation import score_in_supernet
from autoreid.values import override
from search_spaces.published import PUBLISHED

pytestmark = pytest.mark.gpu
SIZE = {
    "height": 64,
    "width": 32,
    "width_multiplier": 0.25,
    "batch": {"identities": 4, "images": 2},
    "epochs": 2,
}
CDNET = PUBLISHED["cdnet-top2"]
CUDA = Execution(device="cuda")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("kind", ["search", "train"])
def test_an_epoch_runs_in_every_precision(kind: str, precision: str, small_data: PreparedData) -> None:
    settings = SIZE | {"precision": precision}
    if kind == "search":
        recipe = override(CDNET_SEARCH, settings | {"split.held_out": 2})
        job = search_job(recipe, small_data.fingerprint, split_seed=0, search_seed=0)
    else:
        job = train_job(override(CDNET_TRAIN, settings), small_data.fingerprint, CDNET, train_seed=0)
    row = build_run(job, CDNET, small_data, CUDA).advance()
    assert row["loss"] > 0


@pytest.mark.parametrize("kind", ["search", "train"])
def test_a_step_waits_for_nothing(kind: str, small_data: PreparedData) -> None:
    """Batches and copies to the device are a part of it. torch raises an error where the host waits."""
    if kind == "search":
        recipe = override(CDNET_SEARCH, SIZE | {"split.held_out": 2, "k": "all"})
        job = search_job(recipe, small_data.fingerprint, split_seed=0, search_seed=0)
    else:
        job = train_job(override(CDNET_TRAIN, SIZE), small_data.fingerprint, CDNET, train_seed=0)
    run = build_run(job, CDNET, small_data, CUDA)
    run._step(0)  # type: ignore[attr-defined]  # what is set up once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        run._step(1)  # type: ignore[attr-defined]
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_first_loss_is_that_of_the_cpu(small_data: PreparedData) -> None:
    job = train_job(override(CDNET_TRAIN, SIZE), small_data.fingerprint, CDNET, train_seed=0)
    found = [build_run(job, CDNET, small_data, Execution(device=d))._step(0) for d in ("cpu", "cuda")]  # type: ignore[attr-defined]
    torch.testing.assert_close(found[1].cpu(), found[0], rtol=1e-3, atol=1e-3)


def test_work_begun_on_the_cpu_continues_on_the_gpu(
    tmp_path: Path, small_source: DataSource, small_data: PreparedData, cache: Path
) -> None:
    job = train_job(override(CDNET_TRAIN, SIZE), small_data.fingerprint, CDNET, train_seed=0)
    begun = run_job(job, Storage(tmp_path), small_source, Execution(device="cpu"), cache)
    next(begun)
    begun.close()
    rows = list(run_job(job, Storage(tmp_path), small_source, CUDA, cache))
    assert [row["epoch"] for row in rows] == [2]


def test_a_genotype_scores_in_its_supernet_as_on_the_cpu(small_data: PreparedData) -> None:
    recipe = override(CDNET_SEARCH, SIZE | {"split.held_out": 2})
    model = build_supernet(recipe.space, recipe.neck, small_data.identities, recipe.macro)
    found = [
        score_in_supernet(
            recipe, CDNET, model.state_dict(), small_data, split_seed=0, execution=Execution(device=device)
        ).mean_average_precision
        for device in ("cpu", "cuda")
    ]
    assert found[1] == pytest.approx(found[0], abs=0.01)


def test_memory_that_does_not_suffice_is_told_and_is_given_back() -> None:
    device = torch.device("cuda")
    free_memory()
    before = torch.cuda.memory_reserved(device)
    held = torch.empty(64 << 20, dtype=torch.uint8, device=device)
    assert torch.cuda.memory_reserved(device) > before
    total = torch.cuda.get_device_properties(device).total_memory
    recipe, words = override(CDNET_TRAIN, SIZE), r"out of memory on the GPU \(.*this process holds"
    with pytest.raises(OutOfMemoryError, match=words), memory_explained(recipe, CUDA):
        torch.empty(2 * total, dtype=torch.uint8, device=device)
    del held
    free_memory()
    assert torch.cuda.memory_reserved(device) <= before
