"""Where a run is: its epoch, its step within the epoch, and what has been summed up since the epoch began."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from autoreid.errors import DivergedError


def no_pulse() -> None:
    """What happens between two steps unless somebody attends the run: nothing."""


class Position:
    """The place of a run among its epochs, each of `steps` steps.

    `pulse` is called between steps, and between the batches of an evaluation. It may raise: the run's state
    is whole at that moment, so that the run can be continued from there.
    """

    def __init__(self, epochs: int, steps: int) -> None:
        self.epochs, self.steps = epochs, steps
        self.epoch = self.step = 0
        self.sums: Tensor | None = None
        self.seconds = self.epoch_seconds = 0.0
        # Of these seconds, those of earlier attempts, from whose checkpoint the run continues.
        self.earlier_seconds = 0.0
        self.pulse: Callable[[], None] = no_pulse

    def __str__(self) -> str:
        """
        >>> position = Position(epochs=3, steps=10)
        >>> str(position)
        'the start'
        >>> position.epoch, position.step = 1, 4
        >>> str(position)
        'epoch 1 and 4 of 10 steps'
        """
        if not self.epoch and not self.step:
            return "the start"
        return f"epoch {self.epoch}" + (f" and {self.step} of {self.steps} steps" if self.step else "")

    def finish_epoch(self, take: Callable[[int], Tensor], sound: Callable[[], Tensor]) -> list[float]:
        """Take the steps that are left of this epoch; the means of what they gave.

        `take` makes the step of a number that counts through all epochs, and gives a vector. DivergedError
        when a mean, or what `sound` looks at after the last step, is not finite.
        """
        while self.step < self.steps:
            begin = time.perf_counter()
            given = take(self.epoch * self.steps + self.step)
            self.sums = given if self.sums is None else self.sums + given
            self.step += 1
            self.epoch_seconds += time.perf_counter() - begin
            self.pulse()
        begin = time.perf_counter()
        assert self.sums is not None
        means: list[float] = (self.sums / self.steps).tolist()  # the epoch's one wait for the device
        if not (np.isfinite(means).all() and sound().item()):
            raise_not_finite(means, self.epoch + 1)
        self.epoch_seconds += time.perf_counter() - begin
        return means

    def next_epoch(self) -> float:
        """Go on to the next epoch; the seconds that the last one took."""
        seconds = self.epoch_seconds
        self.seconds += seconds
        self.epoch, self.step, self.sums, self.epoch_seconds = self.epoch + 1, 0, None, 0.0
        return seconds

    def check(self, sound: Callable[[], Tensor]) -> None:
        """DivergedError when the sums so far, or what `sound` looks at, are not finite."""
        sums = [] if self.sums is None else self.sums.tolist()
        if not (np.isfinite(sums).all() and sound().item()):
            raise_not_finite([value / self.step for value in sums], self.epoch + (self.step > 0))

    def state(self) -> dict[str, Any]:
        """Plain values and a tensor, as a checkpoint holds them."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
            "epoch_seconds": self.epoch_seconds,
        }

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Go where `state` was taken."""
        self.epoch, self.step = state["epoch"], state["step"]
        self.sums = None if state["sums"] is None else state["sums"].to(device)
        self.seconds, self.epoch_seconds = state["seconds"], state["epoch_seconds"]
        self.earlier_seconds = self.seconds + self.epoch_seconds


def all_finite(held: Iterable[Tensor]) -> Tensor:
    """Whether all tensors are free of NaN and infinity, as a tensor: nothing waits for the device yet."""
    with torch.no_grad():
        return torch.stack([tensor.isfinite().all() for tensor in held]).all()


def raise_not_finite(means: list[float], epoch: int) -> NoReturn:
    what = "weights" if np.isfinite(means).all() else "loss"
    raise DivergedError(
        f"epoch {epoch}: the {what} became NaN or infinite (means of the epoch: "
        f"{', '.join(f'{mean:.3g}' for mean in means)}). Lower optimizer.learning_rate."
    )
