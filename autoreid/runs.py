"""What a job runs, whatever its kind: the contract between the engine and its runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from autoreid.epochs import Position

Row = dict[str, Any]
# What a run leaves behind: its result, and files by name.
Ending = tuple[dict[str, Any], dict[str, bytes]]
# Asked between two steps: whether to save and stop.
Stop = Callable[[], bool]


class Run(Protocol):
    """What a job runs: it advances epoch by epoch, and can be carried over an interruption between two steps.

    `advance` takes the rest of the present epoch; `check` raises RunError where the state is not finite.
    """

    position: Position
    device: torch.device

    def advance(self) -> Row: ...

    def check(self) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...

    def finish(self) -> Ending: ...


def never() -> bool:
    """Nobody asks to stop."""
    return False
