"""The scores of features under a protocol, plain and re-ranked. Loads torch only for the latter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoreid.evaluation.protocol import Protocol
from autoreid.evaluation.ranking import RankingScores, rank_features
from autoreid.evaluation.sides import DEFAULT_MEMORY

if TYPE_CHECKING:
    import torch

__all__ = ["DEFAULT_MEMORY", "Scored", "score_features"]
# A fact that is shown with a data set and never compared.
SHOWN = "layout"


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores with the protocol that gave them; `reranked` where it asks for them.

    facts: what the reader of a data set says of it, by plain names; stored with the protocol, less "layout".
    """

    scores: RankingScores
    reranked: RankingScores | None
    protocol: Protocol
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As a result holds it: the plain figures, with those of the re-ranked distances under "reranked"."""
        facts = {name: value for name, value in self.facts.items() if name != SHOWN}
        protocol = self.protocol.plain() | facts
        reranking = {"reranking": protocol.pop("reranking", None)}
        plain = self.scores.plain(protocol)
        if self.reranked is None:
            return plain
        return plain | {"reranked": self.reranked.plain(protocol | reranking)}


def score_features(
    found: Mapping[str, Any],
    protocol: Protocol,
    *,
    device: torch.device | str = "cpu",
    memory: int = DEFAULT_MEMORY,
    facts: Mapping[str, str | int | bool] | None = None,
) -> Scored:
    """Score what `features.of_test_images` gives, or a file of features.

    device: where the products of re-ranking run. memory: bytes that are held at once beside `found`, on the
    machine and on the device together (`rank_features`, `rerank_features`). Raises InputError as these do.
    """
    scores = rank_features(**found, protocol=protocol, memory=memory)
    reranked = None
    if protocol.reranking is not None:
        from autoreid.evaluation.reranking import rerank_features  # deferred: loads torch

        reranked = rerank_features(**found, protocol=protocol, device=device, memory=memory)
    return Scored(scores, reranked, protocol, facts or {})
