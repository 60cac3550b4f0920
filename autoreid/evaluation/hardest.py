"""The queries that a ranking does worst on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autoreid.errors import InputError
from autoreid.evaluation.ranking import RankingScores
from autoreid.words import counted


def hardest(
    scores: RankingScores, *, names: Sequence[str], cameras: np.ndarray, count: int = 20
) -> list[dict[str, Any]]:
    """The queries of lowest AP among those that have a match, `count` of them at most, the hardest first.

    names, cameras: of every query that was ranked, in their order. Each row has name, identity, camera,
    average_precision and first_rank, the rank of its first match. Equal APs are in the order of the names.
    Raises InputError for lists of another length.
    """
    problems = [
        f"{what}: {counted(len(given), 'entry', 'entries')} for "
        f"{counted(len(scores.valid), 'query', 'queries')}. Give one for each query."
        for what, given in (("names", names), ("cameras", cameras))
        if len(given) != len(scores.valid)
    ]
    if problems:
        raise InputError(*problems)
    rows = [
        {
            "name": str(names[query]),
            "identity": int(scores.identities[place]),
            "camera": int(cameras[query]),
            "average_precision": float(scores.average_precisions[place]),
            "first_rank": int(scores.first_ranks[place]),
        }
        for place, query in enumerate(np.flatnonzero(scores.valid).tolist())
    ]
    return sorted(rows, key=lambda row: (row["average_precision"], row["name"]))[: max(0, count)]
