"""Calls, bytes and multiply-adds of whatever runs, by operator.

Bytes are those of the tensors that an operator reads and writes, each once: what it moves at least where
nothing stays in a cache between two operators. Views move nothing. Multiply-adds are counted of
convolutions and matrix products, forward and backward, as in autoreid.complexity.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

PREFIX = "counted: "  # of the ranges that a profiler sees
NOT_READ = {"copy_", "zero_", "fill_", "normal_", "uniform_", "bernoulli_", "random_"}


@dataclass(slots=True)
class Count:
    """Of one operator."""

    calls: int = 0
    moved_bytes: int = 0
    multiply_adds: int = 0

    def add(self, other: Count) -> None:
        self.calls += other.calls
        self.moved_bytes += other.moved_bytes
        self.multiply_adds += other.multiply_adds


class Counter(TorchDispatchMode):
    """Counts all operators that run within it, in `counts`; a profiler sees each as a range of its own.

    >>> with Counter() as counter:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 4)
    >>> counter.counts["mm"]
    Count(calls=1, moved_bytes=104, multiply_adds=24)
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: defaultdict[str, Count] = defaultdict(Count)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func, args)
        with record_function(PREFIX + name):
            result = func(*args, **kwargs)
        moved = 0 if moves_nothing(func) else moved_bytes(func, args, kwargs, result)
        self.counts[name].add(Count(1, moved, multiply_adds(func, args, kwargs, result)))
        return result

    def total(self) -> Count:
        found = Count()
        for count in self.counts.values():
            found.add(count)
        return found


def name_of(func: Any, args: Any) -> str:
    """The operator's name; of a convolution with its kind: depthwise, grouped, pointwise or dense."""
    name: str = func._schema.name.split("::")[-1]
    if name not in ("convolution", "convolution_backward"):
        return name
    backward = name.endswith("_backward")
    weight, groups = (args[2], args[9]) if backward else (args[1], args[8])
    kind = "pointwise" if math.prod(weight.shape[2:]) == 1 else "dense"
    if groups > 1:
        kind = "depthwise" if weight.shape[1] == 1 else "grouped"
    return f"{kind} {name.replace('_', ' ')}"


def moves_nothing(func: Any) -> bool:
    """Views, and memory that is only reserved."""
    name = func._schema.name.split("::")[-1]
    return func.is_view or name in ("detach", "_unsafe_view") or name.removeprefix("new_").startswith("empty")


def size(tensors: Iterable[Any]) -> int:
    """Bytes of all different tensors among some values; what is expanded counts as what is stored."""
    found = {id(one): one for one in tensors if isinstance(one, Tensor)}
    return sum(
        min(one.numel() * one.element_size(), one.untyped_storage().nbytes()) for one in found.values()
    )


def moved_bytes(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """Of what it reads, and of what it writes: results, and arguments that it changes."""
    given = list(zip(func._schema.arguments, args, strict=False))
    given += [
        (argument, kwargs[argument.name]) for argument in func._schema.arguments if argument.name in kwargs
    ]
    changed = tree_leaves([value for argument, value in given if argument.is_write])
    taken = tree_leaves([args, kwargs])
    known = {id(one) for one in taken}
    written = [one for one in tree_leaves(result) if id(one) not in known]
    if func._schema.name.split("::")[-1] in NOT_READ:
        taken = [one for one in taken if not any(one is other for other in changed)]
    return size(taken) + size(changed) + size(written)


def multiply_adds(func: Any, args: Any, kwargs: Any, result: Any) -> int:
    """Of convolutions and matrix products; of a backward pass those of the gradients that are asked for."""
    packet = func._overloadpacket
    if packet is torch.ops.aten.convolution:
        return result.numel() * math.prod(args[1].shape[1:])
    if packet is torch.ops.aten.convolution_backward:
        wanted = sum(args[10][:2])
        return wanted * args[0].numel() * math.prod(args[2].shape[1:])
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=result)) // 2
    return 0
