"""How work is run on a machine, as opposed to what is computed (autoreid.recipes). Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from autoreid.values import bounded

# The fields that choose between forms of one computation.
FORMS = {"supernet", "recompute", "memory_format", "compile", "optimizers", "prefetch", "deterministic"}


@dataclass(frozen=True, slots=True)
class Execution:
    """How work is run on a machine. Nothing here may change a result by more than rounding.

    A checkpoint is written every `checkpoint_epochs`, and within an epoch every `checkpoint_minutes`. An
    attempt that makes no step for `stall_minutes` is ended. 0 minutes turn either off. A search measures the
    largest eigenvalue of its alphas' Hessian every `eigenvalue_epochs`, 0 for never; one that stops by it
    does so after every epoch. An evaluation takes `evaluation_batch` images at once, and ranks within
    `evaluation_memory` beside their features. `workers` processes read the images of a pretraining; 0: its
    own.

    The last fields choose between forms of one computation, whose steps differ by rounding at most. A
    `supernet` of cells runs its many small kernels as few, and with `recompute` keeps of a cell only what
    enters it. `compile` hands the network to torch.compile, `optimizers` takes torch's fused ones where the
    device has them, `prefetch` prepares the next batch while a step runs on a GPU, and `deterministic` takes
    only kernels that give the same bits every time. `keep_memory`, which changes no bit: a process keeps the
    memory of a step for the next one.
    """

    device: str = "auto"
    threads: int = bounded(0, 0, 512)
    checkpoint_epochs: int = bounded(1, 1)
    checkpoint_minutes: float = bounded(15.0, 0)
    stall_minutes: float = bounded(30.0, 0)
    evaluation_batch: int = bounded(128, 1)
    evaluation_memory: str = "4GiB"
    eigenvalue_epochs: int = bounded(0, 0)
    workers: int = bounded(0, 0, 512)
    supernet: Literal["fused", "plain"] = "fused"
    recompute: bool = False
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    compile: bool = False
    optimizers: Literal["fused", "plain"] = "fused"
    prefetch: bool = True
    deterministic: bool = False
    keep_memory: bool = True

    def forms(self) -> str:
        """The forms of the computation that differ from the usual ones, or `default`.

        >>> Execution(supernet="plain", compile=True).forms()
        'supernet=plain compile=true'
        """
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        found = [f"{name}={str(value).lower()}" for name, value in chosen.items() if name in FORMS]
        return " ".join(found) or "default"
