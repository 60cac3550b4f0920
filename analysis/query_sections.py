"""What lies behind the figures of evaluations: the scores of each pair of cameras, the hardest queries."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from analysis import words
from analysis.evaluated import Evaluated, Row
from analysis.heat_maps import HeatMap, draw_map
from analysis.layout import slug
from analysis.pages import Grid, Picture, Section

# Arms whose maps are drawn, and queries that are named of each arm.
MOST_ARMS, MOST_QUERIES = 6, 20
MEASURES = {"rank_1": "rank-1", "mAP": "mAP"}
PAIRS = (
    "Queries under one camera, ranked in the gallery images of another alone. Means over the repeats, in "
    "percent, by the distances before any re-ranking; an empty cell has no query with a match."
)
HARDEST = (
    "The queries of the lowest average precision before any re-ranking, by name. Those that are hard for "
    "several repeats come first: what one network alone misses is its own affair. AP and the rank of the "
    "first match are means over the repeats that name the query."
)


def _by_arm(evaluated: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    arms: dict[str, list[Evaluated]] = {}
    for one in evaluated:
        arms.setdefault(one.arm, []).append(one)
    return arms


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)


def camera_pairs(evaluated: Sequence[Evaluated], prefix: str) -> Section | None:
    """Rank-1 and mAP of every pair of cameras: heat maps of the first arms, and a table of all."""
    arms = {arm: found for arm, found in _by_arm(evaluated).items() if any(one.camera_pairs for one in found)}
    if not arms:
        return None
    drawn = list(arms)[:MOST_ARMS]
    pictures = [
        _pair_picture(arm, arms[arm], measure, f"{prefix}--cameras-{number}-{slug(measure, '')}")
        for number, arm in enumerate(drawn, 1)
        for measure in MEASURES
    ]
    rows = [(arm, *row) for arm, found in arms.items() for row in _pair_rows(found)]
    headings = ("arm", "query camera", "gallery camera", "queries", "rank-1", "mAP", "repeats")
    grid = Grid("Scores by pairs of cameras", headings, "lrrrrrr", tuple(rows), folded=True)
    left = len(arms) - len(drawn)
    points = (f"{words.counted(left, 'more arm')}: in the table below.",) if left else ()
    return Section("Camera pairs", PAIRS, points, (grid,), tuple(pictures))


def _pairs(found: Sequence[Evaluated]) -> dict[tuple[int, int], list[Row]]:
    """The rows of all repeats by query camera and gallery camera, in the order of the numbers."""
    pairs: dict[tuple[int, int], list[Row]] = {}
    for one in found:
        for row in one.camera_pairs:
            pairs.setdefault((row["query_camera"], row["gallery_camera"]), []).append(row)
    return dict(sorted(pairs.items()))


def _pair_rows(found: Sequence[Evaluated]) -> list[tuple[str, ...]]:
    return [
        (
            str(query),
            str(gallery),
            ", ".join(f"{count:,}" for count in sorted({row["queries"] for row in rows})),
            *(words.percent(_mean(row[measure] for row in rows)) for measure in MEASURES),
            str(len(rows)),
        )
        for (query, gallery), rows in _pairs(found).items()
    ]


def _pair_picture(arm: str, found: Sequence[Evaluated], measure: str, name: str) -> Picture:
    pairs = _pairs(found)
    queries, galleries = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    shares = np.full((len(queries), len(galleries)), np.nan)
    for (query, gallery), rows in pairs.items():
        shares[queries.index(query), galleries.index(gallery)] = _mean(row[measure] for row in rows)
    texts = tuple(tuple("" if np.isnan(v) else words.percent(v) for v in row) for row in shares.tolist())
    heat = HeatMap(
        tuple(f"query camera {camera}" for camera in queries),
        tuple(map(str, galleries)),
        shares,
        texts,
    )
    caption = f"{arm}: {MEASURES[measure]} by cameras of query and gallery, in percent; "
    caption += f"mean of {words.counted(len(found), 'repeat')}."
    title = f"{words.shortened(arm, 40)}: {MEASURES[measure]} by gallery camera, %"
    return Picture(name, caption, partial(draw_map, heat, title))


def hardest_queries(evaluated: Sequence[Evaluated]) -> Section | None:
    """The queries that the repeats of an arm do worst on, by name."""
    arms = _by_arm([one for one in evaluated if one.hardest])
    if not arms:
        return None
    rows = [(arm, *row) for arm, found in arms.items() for row in _hardest_rows(found)]
    headings = ("arm", "query", "identity", "camera", "hard for", "AP", "first match")
    note = f"Of each arm at most {MOST_QUERIES} queries. AP in percent."
    grid = Grid("Hardest queries", headings, "llrrrrr", tuple(rows), note)
    return Section("Hardest queries", HARDEST, grids=(grid,))


def _hardest_rows(found: Sequence[Evaluated]) -> list[tuple[str, ...]]:
    queries: dict[str, list[Row]] = {}
    for one in found:
        for row in one.hardest:
            queries.setdefault(row["name"], []).append(row)

    def hardness(name: str) -> tuple[int, float, str]:
        return -len(queries[name]), _mean(row["average_precision"] for row in queries[name]), name

    return [
        (
            name,
            str(queries[name][0]["identity"]),
            str(queries[name][0]["camera"]),
            f"{len(queries[name])} of {len(found)}",
            words.percent(_mean(row["average_precision"] for row in queries[name])),
            words.significant(_mean(row["first_rank"] for row in queries[name])),
        )
        for name in sorted(queries, key=hardness)[:MOST_QUERIES]
    ]
