"""Class-balanced batches: P identities, K images of each. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from autoreid.data.streams import generator
from autoreid.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class IdentityBatches:
    """The batches of one split: `batch(step)` is a pure function of the fields and the step.

    identities: int (images,), the identity of every image of the split. A batch holds P distinct identities,
    uniformly drawn, and K images of each: without replacement, or with it where an identity has fewer than K.
    Source: Auto-ReID, section 3.3, and KDAS-ReID (8 x 2 and 8 x 4); CDNet, section 4.1 (16 x 4).

    >>> batches = IdentityBatches(np.array([5, 5, 5, 8, 8, 9]), 2, 2, seed=0)
    >>> batches.batch(step=0).shape
    (4,)
    """

    identities: np.ndarray
    identities_per_batch: int
    images_per_identity: int
    seed: int
    _positions: np.ndarray = field(init=False, repr=False)
    _starts: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        P, K = self.identities_per_batch, self.images_per_identity
        if P < 1 or K < 1:
            raise InputError(f"batch: {P} identities x {K} images is too small. Use 1 or more of both.")
        known, starts = np.unique(np.sort(self.identities), return_index=True)
        if len(known) < P:
            raise InputError(
                f"batch: {P} identities a batch, but the training split has {len(known)}. "
                f"Use at most {len(known)} identities a batch, or a data set with more of them."
            )
        object.__setattr__(self, "_positions", np.argsort(self.identities, kind="stable"))
        object.__setattr__(self, "_starts", np.append(starts, len(self.identities)))

    def batch(self, step: int) -> np.ndarray:
        """Positions into `identities`, int64 (P*K,): the K images of one identity stand together.

        The work is proportional to P*K, whatever the size of the split.
        """
        P, K = self.identities_per_batch, self.images_per_identity
        uniforms = generator(self.seed, "batch", step).random(P + P * K)
        result = np.empty((P, K), dtype=np.int64)
        for row, identity in enumerate(_distinct(uniforms[:P], len(self._starts) - 1)):
            first, end = self._starts[identity], self._starts[identity + 1]
            draws = uniforms[P + row * K : P + row * K + K]
            count = int(end - first)
            within = _distinct(draws, count) if count >= K else [int(draw * count) for draw in draws]
            result[row] = self._positions[first + np.array(within)]
        return result.reshape(-1)


def _distinct(uniforms: np.ndarray, count: int) -> list[int]:
    """One number below `count` for each uniform, all different: the first swaps of a Fisher-Yates shuffle,
    kept in a dict so that the other numbers need not be touched."""
    moved: dict[int, int] = {}
    chosen = []
    for place, uniform in enumerate(uniforms):
        other = place + int(uniform * (count - place))
        chosen.append(moved.get(other, other))
        moved[other] = moved.get(place, place)
    return chosen
