"""Activation checkpointing: what a module computed inside is computed once more on the way back, not kept."""

from __future__ import annotations

import contextlib
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, *inputs: Any) -> Tensor:
    """What the module gives, keeping its inputs only. It must draw no random numbers.

    A batch is seen twice, but counts once: running statistics stay when it is seen again.
    """

    def contexts() -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), _Still(module)

    found: Tensor = checkpoint(
        module, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return found


class _Still(contextlib.AbstractContextManager[None]):
    """No running statistics of a batch norm move, nor the count of its batches. May be entered again."""

    def __init__(self, module: nn.Module) -> None:
        self.norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
        self.before: list[tuple[float | None, Tensor | None]] = []

    def __enter__(self) -> None:
        self.before = [(norm.momentum, norm.num_batches_tracked) for norm in self.norms]
        for norm in self.norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None

    def __exit__(self, *_: object) -> None:
        for norm, (momentum, batches) in zip(self.norms, self.before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
