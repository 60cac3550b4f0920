"""Scores as lines for a terminal. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def scores_text(scores: Mapping[str, Any]) -> str:
    """Percentages: rank-1, rank-5, rank-10, mAP, mINP; below them the intervals over the queries' identities.

    `scores` is what `RankingScores.plain` gives, with those after re-ranking under `reranked`, if there are
    any; few identities have no interval.
    """
    if "reranked" in scores:
        plain = {name: value for name, value in scores.items() if name != "reranked"}
        return f"{scores_text(plain)}\nre-ranked: {scores_text(scores['reranked'])}"
    ranks = ", ".join(f"rank-{n} {100 * scores[f'rank_{n}']:.1f}" for n in (1, 5, 10))
    means = f"mAP {100 * scores['mAP']:.1f}, mINP {100 * scores['mINP']:.1f}"
    text = f"{ranks}, {means} ({scores['queries']} queries)"
    if scores["mAP_low"] is None:
        return text
    ends = (
        f"{label} {100 * scores[f'{name}_low']:.1f} to {100 * scores[f'{name}_high']:.1f}"
        for name, label in (("rank_1", "rank-1"), ("mAP", "mAP"))
    )
    return f"{text}\n95% over other people as queries: {', '.join(ends)}"
