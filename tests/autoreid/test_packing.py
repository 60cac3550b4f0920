"""Tensors side by side in a checkpoint."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import Any

import pytest
import torch

from autoreid.packing import pack, unpack


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and (a.dtype, a.shape) == (b.dtype, b.shape) and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


STATE = {
    "model": OrderedDict(weight=torch.randn(2, 3), steps=torch.tensor(7), empty=torch.zeros(0, 4)),
    "optimizer": {
        "state": {0: {"momentum": None, "step": torch.tensor(2.0)}},
        "groups": [{"betas": (0.5, 1)}],
    },
    "half": torch.randn(5).to(torch.bfloat16),
    "bytes": torch.arange(3, dtype=torch.uint8),
    "mask": torch.tensor([True, False]),
    "records": '{"epoch": 1}\n',
    "none": None,
}


@pytest.mark.parametrize("state", [STATE, {}, {"epoch": 1}, [torch.randn(2, 2)], torch.ones(3)])
def test_what_was_packed_is_the_same_again(state: Any) -> None:
    written = io.BytesIO()
    torch.save(pack(state), written)
    written.seek(0)
    assert same(unpack(torch.load(written, weights_only=True)), state)


def test_the_order_in_memory_does_not_matter() -> None:
    given = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    found = unpack(pack(given))
    assert found.is_contiguous()
    assert torch.equal(found, given)


def test_tensors_share_no_memory() -> None:
    """What continues from a checkpoint changes its tensors in place."""
    given = {"a": torch.zeros(2), "b": torch.zeros(2)}
    found = unpack(pack(given))
    found["a"] += 1
    assert found["b"].tolist() == given["a"].tolist() == [0, 0]


def test_there_is_one_tensor_for_each_dtype() -> None:
    assert len(pack([torch.zeros(3)] * 1000 + [torch.zeros(1, dtype=torch.int64)])["joined"]) == 2
