"""The next batch, prepared by a thread: the same bits, its errors where they belong, and no thread left."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import autoreid.feed
from autoreid.ahead import Ahead
from autoreid.feed import Batches, PreparedData
from autoreid.recipes import Augmentation, Batch

CPU = torch.device("cpu")


def batches(
    data: PreparedData,
    *,
    prefetch: bool,
    device: torch.device = CPU,
    layout: torch.memory_format = torch.channels_last,
) -> Batches:
    return Batches(
        data,
        np.arange(len(data.train_rows)),
        batch=Batch(identities=4, images=2),
        augmentation=Augmentation(),
        seed=3,
        device=device,
        layout=layout,
        prefetch=prefetch,
    )


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are prepared ahead on processors too."""
    monkeypatch.setattr(autoreid.feed, "PREFETCHED", ("cpu", "cuda"))


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("next-batch")]


@pytest.mark.usefixtures("everywhere")
def test_batches_are_the_same_in_any_order(small_data: PreparedData) -> None:
    """Steps in turn, one again, one left out, and from the middle on as after an interruption."""
    plain, ahead = batches(small_data, prefetch=False), batches(small_data, prefetch=True)
    resumed = batches(small_data, prefetch=True)
    for feed, steps in ((ahead, (0, 1, 2, 2, 5, 6, 0)), (resumed, (2, 3))):
        for step in steps:
            for found, expected in zip(feed.batch(step), plain.batch(step), strict=True):
                assert torch.equal(found, expected), step


@pytest.mark.usefixtures("everywhere")
def test_the_next_batch_is_made_by_a_thread_that_ends_with_its_batches(small_data: PreparedData) -> None:
    before = helpers()
    feed = batches(small_data, prefetch=True)
    feed.batch(0)
    (thread,) = (thread for thread in helpers() if thread not in before)
    del feed
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_a_processor_is_left_to_the_step(small_data: PreparedData) -> None:
    before = helpers()
    batches(small_data, prefetch=True).batch(0)
    assert helpers() == before


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_layout_changes_no_value(small_data: PreparedData, layout: torch.memory_format) -> None:
    images, _ = batches(small_data, prefetch=False, layout=layout).batch(1)
    assert images.is_contiguous(memory_format=layout)
    assert torch.equal(images, batches(small_data, prefetch=False).batch(1)[0])


def test_only_the_next_step_is_computed_by_the_thread() -> None:
    who: dict[int, list[bool]] = {}
    last = threading.Event()

    def prepare(step: int) -> int:
        who.setdefault(step, []).append(threading.current_thread() is threading.main_thread())
        if step == 3:
            last.set()
        return -step

    ahead = Ahead(prepare)
    assert [ahead(step) for step in (4, 5, 6, 2)] == [-4, -5, -6, -2]
    assert last.wait(timeout=30)
    who.pop(7, None)  # begun or not when another step than this was asked for
    assert who == {4: [True], 5: [False], 6: [False], 2: [True], 3: [False]}


def test_what_goes_wrong_in_the_thread_is_raised_where_its_step_is_asked_for() -> None:
    raised = threading.Event()

    def prepare(step: int) -> int:
        if step == 1 and not raised.is_set():
            raised.set()
            raise OSError("the disk is gone")
        return step

    ahead = Ahead(prepare)
    assert ahead(0) == 0
    assert raised.wait(timeout=30)
    with pytest.raises(OSError, match="the disk is gone"):
        ahead(1)
    assert [ahead(1), ahead(2)] == [1, 2]  # it is tried again where it is asked for again


def test_what_goes_wrong_with_a_step_that_nobody_asks_for_is_nobodys_error() -> None:
    def prepare(step: int) -> int:
        if step == 1:
            raise OSError("the disk is gone")
        return step

    assert [Ahead(prepare)(0), Ahead(prepare)(2)] == [0, 2]


@pytest.mark.gpu
def test_on_a_gpu_the_thread_gives_the_bits_of_the_processor(small_data: PreparedData) -> None:
    plain = batches(small_data, prefetch=False)
    ahead = batches(small_data, prefetch=True, device=torch.device("cuda"))
    for step in (0, 1, 2, 7, 8, 1):
        images, labels = ahead.batch(step)
        # What the step does with them is enqueued before the thread makes the next ones.
        images = images * 1.0
        torch.cuda.synchronize()
        expected, classes = plain.batch(step)
        assert torch.equal(images.cpu(), expected)
        assert torch.equal(labels.cpu(), classes)
