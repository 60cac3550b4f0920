"""Scores as lines for a terminal. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoreid.words import counted


def scores_text(scores: Mapping[str, Any]) -> str:
    """Percentages: rank-1, rank-5, rank-10, mAP, mINP; below them the intervals over the queries' identities.

    `scores` is what `RankingScores.plain` gives, with those after re-ranking under `reranked`, if there are
    any; few identities have no interval.
    """
    if "reranked" in scores:
        plain = {name: value for name, value in scores.items() if name != "reranked"}
        better = dict(scores["reranked"]) | {"left_out": 0}  # the same queries: said once
        return f"{scores_text(plain)}\nre-ranked: {scores_text(better)}"
    ranks = ", ".join(f"rank-{n} {100 * scores[f'rank_{n}']:.1f}" for n in (1, 5, 10))
    means = f"mAP {100 * scores['mAP']:.1f}, mINP {100 * scores['mINP']:.1f}"
    text = f"{ranks}, {means} ({counted(scores['queries'], 'query', 'queries')})"
    left_out = left_out_text(scores)
    text = f"{text}\n{left_out}" if left_out else text
    if scores["mAP_low"] is None:
        return text
    ends = (
        f"{label} {100 * scores[f'{name}_low']:.1f} to {100 * scores[f'{name}_high']:.1f}"
        for name, label in (("rank_1", "rank-1"), ("mAP", "mAP"))
    )
    return f"{text}\n95% over other people as queries: {', '.join(ends)}"


def left_out_text(scores: Mapping[str, Any]) -> str | None:
    """Which queries no mean takes in, and why; None where there are none.

    >>> left_out_text({"queries": 8, "left_out": 2, "absent_identities": 1})
    '2 of 10 queries have no match and are left out; of 1 the identity is absent from the gallery.'
    >>> left_out_text({"queries": 0, "left_out": 1, "absent_identities": 0})
    '1 of 1 query has no match and is left out.'
    """
    left_out, absent = scores.get("left_out", 0), scores.get("absent_identities", 0)
    if not left_out:
        return None
    queries = counted(scores["queries"] + left_out, "query", "queries")
    text = f"{left_out} of {queries} {'has' if left_out == 1 else 'have'} no match and "
    text += "is left out" if left_out == 1 else "are left out"
    return f"{text}; of {absent} the identity is absent from the gallery." if absent else f"{text}."


def camera_pairs_text(pairs: Sequence[Mapping[str, Any]]) -> str:
    """A table of the scores between each two cameras, percentages.

    >>> row = {"query_camera": 1, "gallery_camera": 2, "queries": 8, "mAP": 0.5, "rank_1": 0.625}
    >>> print(camera_pairs_text([row]))
    query camera  gallery camera  queries  mAP, %  rank-1, %
               1               2        8    50.0       62.5
    """
    rows = [
        f"{row['query_camera']:>12}  {row['gallery_camera']:>14}  {row['queries']:>7}  "
        f"{100 * row['mAP']:>6.1f}  {100 * row['rank_1']:>9.1f}"
        for row in pairs
    ]
    return "\n".join(["query camera  gallery camera  queries  mAP, %  rank-1, %", *rows])
