"""The sweep of a campaign: which fields of which arms are chosen, by what, how often, and for what aim.

A sweep asks for points: values of the domains of one arm. It never sees a test image: what a point is worth
is a selection's figure, which comes from validation data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autoreid.errors import InputError
from autoreid.values import bounded, from_plain, plain
from tune_runs.arms import Arm
from tune_runs.domains import Domain
from tune_runs.protocol import MOST_REPEATS

# What may be aimed at, and how: the first two are the selection's, the others those of the network trained.
AIMS: dict[str, Literal["maximize", "minimize"]] = {
    "mAP": "maximize",
    "rank_1": "maximize",
    "multiply_adds": "minimize",
    "parameters": "minimize",
}
MOST_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How a sweep goes about it.

    `points` is how many each study asks for, `repeats` how often each is run: its figures are means over
    these. `joint` makes one study that also chooses the arm; else every arm has a study of its own. With
    `pruning` a point is given up whose first repeat has, at an epoch from `pruning_epoch` on, never had the
    median validation accuracy that `pruning_points` or more finished ones of its arm had at that epoch. When
    a study is over, `train: best` trains the point that was best, or those that none surpasses in all aims.
    """

    points: int = bounded(20, 1, MOST_POINTS)
    repeats: int = bounded(4, 1, MOST_REPEATS)
    aims: tuple[str, ...] = ("mAP",)
    sampler: Literal["auto", "tpe", "nsga2", "random"] = "auto"
    seed: int = bounded(0, 0)
    joint: bool = False
    pruning: bool = False
    pruning_epoch: int = bounded(10, 1)
    pruning_points: int = bounded(5, 2)
    train: Literal["best", "none"] = "best"


@dataclass(frozen=True, slots=True)
class Swept:
    """An arm that is swept: its name, its domains in the order in which they are chosen, the arm that it is
    at given values (InputError where its recipes refuse these), and those at the ends of each domain."""

    name: str
    domains: tuple[Domain, ...]
    at: Callable[[Mapping[str, Any]], Arm] = field(compare=False)
    ends: tuple[Arm, ...] = field(default=(), compare=False)

    def allows(self, values: Mapping[str, Any]) -> bool:
        """Whether exactly the domains that apply have a value, each one of its own."""
        wanted = [domain for domain in self.domains if domain.applies(values)]
        return set(values) == {domain.name for domain in wanted} and all(
            values[domain.name] in domain.values for domain in wanted
        )


@dataclass(frozen=True, slots=True)
class Study:
    """Arms whose points are asked for together, and how."""

    name: str
    swept: tuple[Swept, ...]
    settings: Settings

    @property
    def sampler(self) -> str:
        """What chooses the points."""
        if self.settings.sampler != "auto":
            return self.settings.sampler
        return "tpe" if self.has_one_aim or self.is_conditional else "nsga2"

    @property
    def has_one_aim(self) -> bool:
        """Whether a point has one figure, so that one point is the best."""
        return len(self.settings.aims) == 1

    @property
    def is_conditional(self) -> bool:
        """Whether some points have a domain that others lack: NSGA-II would draw its values by chance."""
        return len(self.swept) > 1 or any(domain.when for swept in self.swept for domain in swept.domains)

    def arm(self, name: str) -> Swept | None:
        """One of its arms by name."""
        return next((swept for swept in self.swept if swept.name == name), None)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The sweep of a campaign."""

    settings: Settings
    swept: tuple[Swept, ...]

    @property
    def studies(self) -> tuple[Study, ...]:
        """One for all arms together, or one for each."""
        if self.settings.joint:
            return (Study("joint", self.swept, self.settings),)
        return tuple(Study(swept.name, (swept,), self.settings) for swept in self.swept)

    def plain(self) -> dict[str, Any]:
        """The sweep as JSON values."""
        swept = {swept.name: [domain.plain() for domain in swept.domains] for swept in self.swept}
        return {"settings": plain(self.settings), "arms": swept}

    @classmethod
    def from_plain(cls, given: Mapping[str, Any]) -> Sweep:
        """Read what `plain` wrote; its arms cannot be built. KeyError, TypeError or InputError where it is
        something else."""
        swept = (
            Swept(name, tuple(map(Domain.from_plain, domains)), _unknown_recipes)
            for name, domains in given["arms"].items()
        )
        return cls(from_plain(Settings, given["settings"], "settings"), tuple(swept))

    @property
    def arms(self) -> frozenset[str]:
        """Names of the arms that are swept."""
        return frozenset(swept.name for swept in self.swept)


def _unknown_recipes(values: Mapping[str, Any]) -> Arm:
    raise InputError("a sweep that was read from a manifest does not know the recipes of its arms.")
