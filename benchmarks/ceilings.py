"""What a machine can do at most, measured: bytes copied and multiply-adds of a matrix product, per second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from side_by_side import timed

COPIED_BYTES = 2**28  # more than caches hold
SIDES = {"cpu": 2048, "cuda": 8192}  # of the square matrices
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Of a device with so many threads; what a copy reads and what it writes both count as its bytes."""

    device: str
    threads: int
    bytes_per_second: float
    multiply_adds_per_second: dict[str, float]

    def floor_seconds(self, moved_bytes: float, multiply_adds: float, precision: str) -> float:
        """No less time is possible where all bytes go through memory: the larger of what either takes.

        >>> ceilings = Ceilings("cpu", 1, 100.0, {"fp32": 10.0})
        >>> ceilings.floor_seconds(200, 10, "fp32"), ceilings.floor_seconds(200, 30, "fp32")
        (2.0, 3.0)
        """
        return max(
            moved_bytes / self.bytes_per_second, multiply_adds / self.multiply_adds_per_second[precision]
        )


def lowest(run: Callable[[], object], device: str, calls: int) -> float:
    """The seconds of the quickest call, after one that is not counted."""
    run()
    return min(timed(run, device)[0] for _ in range(calls))


def measure_ceilings(device: str, threads: int, calls: int = 10) -> Ceilings:
    """Take the quickest of some calls of each; the process keeps the threads that it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
        target = torch.ones_like(source)
        copied = 2 * COPIED_BYTES / lowest(lambda: target.copy_(source), device, calls)
        side = SIDES[torch.device(device).type]
        products = {}
        for name, kind in TYPES.items():
            one, other = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))
            products[name] = side**3 / lowest(lambda one=one, other=other: one @ other, device, calls)  # type: ignore[misc]
    finally:
        torch.set_num_threads(before)
    return Ceilings(device, threads, copied, products)
