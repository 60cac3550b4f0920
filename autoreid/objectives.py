"""What a network learns by, as values: weights of losses, and the temperature of a distillation.

Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from autoreid.values import Spelling, bounded


@dataclass(frozen=True, slots=True)
class Temperature:
    """The temperature of a distillation over the epochs: constant at `start`, or linear from `start` down to
    `end`, which it reaches at epoch `until`, counted from 0, and so at the last epoch or before (KDAS-ReID,
    Eq. 8). At 0 the labels take the teacher's place.

    `gradient` scales what flows back: as `relative` by T / start, so that it stays bounded as T falls, as
    `literal` by 1 (as printed), and as `squared` by T^2 (Hinton et al.).
    """

    name: Literal["linear", "constant"] = "linear"
    start: float = bounded(2.0, 0.001)
    end: float = bounded(0.0, 0)
    until: int = bounded(190, 1)
    gradient: Literal["relative", "literal", "squared"] = "relative"

    def at(self, epoch: int) -> float:
        """The temperature of an epoch, counted from 0.

        >>> [Temperature().at(epoch) for epoch in (0, 95, 190, 199)]
        [2.0, 1.0, 0.0, 0.0]
        """
        if self.name == "constant":
            return self.start
        if epoch >= self.until:
            return self.end
        return self.start + (self.end - self.start) * epoch / self.until

    def scale(self, epoch: int) -> float:
        """By what the loss of an epoch is multiplied; where the labels have taken over, 1."""
        temperature = self.at(epoch)
        if temperature == 0 or self.gradient == "literal":
            return 1.0
        return temperature / self.start if self.gradient == "relative" else temperature**2

    @property
    def falls(self) -> bool:
        """Whether it differs from epoch to epoch."""
        return self.name == "linear" and self.end < self.start

    def effective(self) -> Temperature:
        """The same temperature, with the default in each field that has no effect: a constant one has no end,
        and T / start is 1."""
        if self.falls:
            return self
        gradient: Literal["relative", "squared"] = "squared" if self.gradient == "squared" else "relative"
        return Temperature("constant", self.start, gradient=gradient)

    def problems(self, epochs: int) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows, as (field, message), for a run of so many epochs."""
        if self.name == "linear" and self.end > self.start:
            message = (
                f"{self.end:g}, but the temperature falls from {self.start:g}. Use at most {self.start:g}."
            )
            yield "end", message
        last = epochs - 1
        if self.falls and not last:
            yield "name", "linear, but a single epoch has one temperature. Use constant, or 2 epochs or more."
        elif self.falls and self.until > last:
            counted = f"the last of {epochs} epochs, counted from 0, is {last}"
            yield "until", f"{self.until}, but {counted}. Use at most {last}."


FALLING = Temperature()


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted sum of losses. CDNet's L_tri + L_id is 1 and 1; Auto-ReID's retrieval loss is lambda and
    1 - lambda; cross-entropy alone is 1 and 0; KDAS-ReID's is `distillation` 1, `triplet` 1 and
    `cross_entropy` 0, at a `temperature` that falls. With `soft_margin` the triplet's hinge and its margin
    give way to ln(1 + exp(d_p - d_n))."""

    cross_entropy: float = bounded(1.0, 0)
    triplet: float = bounded(1.0, 0)
    margin: float = bounded(0.3, 0)
    label_smoothing: float = bounded(0.0, 0, 1)
    soft_margin: bool = bounded(False, added=True)
    distillation: float = bounded(0.0, 0, added=True)
    temperature: Temperature = bounded(FALLING, added=True)
    spellings: ClassVar[Mapping[str, Spelling]] = {
        "lambda": Spelling(0, 1, lambda share: {"cross_entropy": share, "triplet": 1 - share})
    }

    def problems(self, epochs: int) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows, as (.field, message), for a run of so many epochs."""
        if self.cross_entropy == self.triplet == self.distillation == 0:
            yield "", "every weight is 0, so nothing would be learned. Give one of them a weight."
        if self.distillation:
            for field, message in self.temperature.problems(epochs):
                yield f".temperature.{field}", message

    def effective(self) -> Objective:
        """The same objective, with the default in each field of the temperature that has no effect."""
        return replace(self, temperature=self.temperature.effective() if self.distillation else FALLING)

    @classmethod
    def retrieval(cls, share: float = 0.5) -> Objective:
        """Auto-ReID's retrieval loss, share * L_s + (1 - share) * L_t; the paper calls the share lambda, and
        so do campaign files and --set."""
        return cls(cross_entropy=share, triplet=1 - share)

    @classmethod
    def distilled(cls, temperature: Temperature = FALLING) -> Objective:
        """KDAS-ReID's L_d + L_t (Eq. 9)."""
        return cls(cross_entropy=0.0, triplet=1.0, distillation=1.0, temperature=temperature)


# CDNet's, and the default of every recipe.
IDENTITY_AND_TRIPLET = Objective()
