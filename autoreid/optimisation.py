"""Optimizers, learning rates and precision, as pure functions of a recipe and an epoch."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from autoreid.byte_sizes import byte_count
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.recipes import Optimizer


def stream(seed: int, name: str) -> int:
    """The seed of one named stream of random numbers: independent streams from one seed.

    >>> stream(0, "weights") != stream(0, "batches")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7], "big")


def build_optimizer(
    recipe: Optimizer, parameters: Iterable[Tensor], *, fused: bool = False
) -> torch.optim.Optimizer:
    """The optimizer that a recipe describes; its learning rate is set before every epoch.

    `fused` takes one kernel for all parameters. Those without a gradient are left alone by either form.
    """
    if recipe.name != "sgd":
        return torch.optim.Adam(
            parameters,
            lr=recipe.learning_rate,
            betas=(recipe.momentum, recipe.beta2),
            weight_decay=recipe.weight_decay,
            amsgrad=recipe.name == "amsgrad",
            fused=fused,
        )
    optimizer = torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        fused=fused,
    )
    _begin_momentum(optimizer)
    return optimizer


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Continue with the state of an optimizer that may have been fused or not: this one stays as it is."""
    groups = [
        {**group, "fused": own["fused"]}
        for group, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    _follow_layouts(optimizer)
    if isinstance(optimizer, torch.optim.SGD):
        _begin_momentum(optimizer)


def _follow_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Lay what is kept of each parameter in memory as the parameter lies now: fused kernels of a CPU read
    both from end to end."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)


def _begin_momentum(optimizer: torch.optim.SGD) -> None:
    """Zeros where there is no momentum yet: momentum * 0 + gradient is what a first step makes of it.

    The fused kernel wants all buffers or none, and of a supernet some branches have had gradients and others
    have not.
    """
    for group in optimizer.param_groups:
        if group["fused"] and group["momentum"]:
            for parameter in group["params"]:
                state = optimizer.state[parameter]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(parameter)


def learning_rate(recipe: Optimizer, epoch: int, epochs: int) -> float:
    """The learning rate of an epoch counted from 0. A milestone m holds from epoch m on.

    >>> from autoreid.published import CDNET_TRAIN
    >>> [round(learning_rate(CDNET_TRAIN.optimizer, e, 350), 6) for e in (0, 149, 150, 300)]
    [0.065, 0.065, 0.0065, 6.5e-05]
    """
    schedule, start = recipe.schedule, recipe.learning_rate
    if schedule.name == "cosine":
        return schedule.end + (start - schedule.end) * (1 + math.cos(math.pi * epoch / epochs)) / 2
    if schedule.name == "steps":
        passed = sum(milestone <= epoch for milestone in schedule.milestones)
        return float(start * schedule.factor**passed)
    return start


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` is the first GPU, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"device: no device {name!r}. Use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: {name} asked, but torch sees {torch.cuda.device_count()} GPUs here.")
    return device


def execution_problems(execution: Execution) -> Iterator[tuple[str, str]]:
    """What of an execution is not there, or cannot be read, as (field, message)."""
    checks: dict[str, Callable[[], object]] = {
        "evaluation_memory": lambda: byte_count(execution.evaluation_memory),
        "device": lambda: choose_device(execution.device),
    }
    for field, check in checks.items():
        try:
            check()
        except InputError as error:
            yield field, str(error).removeprefix(f"{field}: ")


def set_up(execution: Execution, precision: str) -> torch.device:
    """Threads and matrix-product precision of this process; the device to work on."""
    device = choose_device(execution.device)
    if execution.threads:
        torch.set_num_threads(execution.threads)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        mode = "tf32" if precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = mode
        torch.backends.cudnn.conv.fp32_precision = mode  # type: ignore[attr-defined]
    return device


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bf16 autocast where the recipe asks for it; else nothing."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
