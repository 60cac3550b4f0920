"""What of a campaign a job answers for, as manifests hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoreid.jobs import JobKind


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell of the campaign: which job answers for this repeat of this arm.

    An arm has one selection, which is of repeat 0; where the best genotype alone is trained, the repeats of
    the trainings count these. `sampled` is the seed from which the architecture was drawn, if it was. `timed`
    are the arm's networks in a job that times them: their repeats, and their numbers there.
    """

    job: str
    arm: str
    repeat: int
    kind: JobKind
    network: str | None = None
    sampled: int | None = None
    timed: tuple[tuple[int, int], ...] = ()

    def plain(self) -> dict[str, Any]:
        """The entry as JSON values; `network` is there where the arm names the network it trains, and
        `sampled` where the architecture was drawn."""
        plain: dict[str, Any] = {
            "job": self.job,
            "arm": self.arm,
            "repeat": self.repeat,
            "kind": self.kind,
        }
        plain |= {} if self.network is None else {"network": self.network}
        plain |= {"timed": [list(one) for one in self.timed]} if self.timed else {}
        return plain if self.sampled is None else plain | {"sampled": self.sampled}
