"""The ranks of the matches of each query, and what they score, without sorting the gallery.

The rank of a match is its place among the matches plus the number of non-matches at its distance or below.
So only gallery images up to the worst true match count: for each query the non-matches among them are
taken out and counted for each match, by a binary search where it pays to sort them. The gallery is grouped by
identity once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from autoreid.errors import InputError
from autoreid.evaluation.checks import JUNK
from autoreid.evaluation.protocol import USUAL, Protocol
from autoreid.words import counted


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Identities and cameras of both sides, one whole number for each image."""

    query_ids: np.ndarray
    query_cameras: np.ndarray
    gallery_ids: np.ndarray
    gallery_cameras: np.ndarray

    def by_name(self) -> dict[str, np.ndarray]:
        return asdict(self)

    def of_gallery(self, kept: np.ndarray) -> Labels:
        """With the gallery images alone that `kept`, a bool for each, marks."""
        return replace(self, gallery_ids=self.gallery_ids[kept], gallery_cameras=self.gallery_cameras[kept])

    def absent(self) -> np.ndarray:
        """Bool (queries,): no gallery image, under whichever camera, has the query's identity."""
        return ~np.isin(self.query_ids, self.gallery_ids)


# Of so many values to a match it is faster to count them for each match than to sort them.
MANY = 60
# Distances of one query to gallery images by their numbers.
Measure = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Distances of queries that follow one another to every gallery image, lower is better.

    values: (queries, gallery images). slack: (queries,) what a comparison of two of a row may be off by, by
    rounding. exact: (place of the query in the block, numbers of gallery images) -> their distances, on a
    scale of their own, in which equal features tie; None where `values` are to be taken as they are.
    A block lasts until the next one is taken.
    """

    values: np.ndarray
    slack: np.ndarray | None = None
    exact: Callable[[int, np.ndarray], np.ndarray] | None = None

    def row(self, place: int) -> np.ndarray:
        """All distances of one query, by `exact` where it is there: squared ones of plain features."""
        if self.exact is None:
            return np.array(self.values[place])
        return self.exact(place, np.arange(self.values.shape[1]))

    def measure(self, place: int) -> tuple[float, Measure | None]:
        """The slack of one query, and what settles it."""
        if self.slack is None or self.exact is None:
            return 0.0, None
        return float(self.slack[place]), partial(self.exact, place)


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The gallery grouped by identity: that of query q is at columns[first[q] : last[q]]."""

    columns: np.ndarray
    cameras: np.ndarray
    first: np.ndarray
    last: np.ndarray
    query_cameras: np.ndarray | None  # None where matches under the query's own camera count
    counted: np.ndarray | None  # (gallery images,) False at junk; None where there is no junk
    size: int  # gallery images without junk

    def matched(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """The gallery images of the query's identity, and those of them that are matches."""
        group = slice(self.first[query], self.last[query])
        same = self.columns[group]
        if self.query_cameras is None:
            return same, same
        return same, same[self.cameras[group] != self.query_cameras[query]]


def grouped(labels: Labels, protocol: Protocol = USUAL) -> Groups:
    """The gallery by identity, for the queries of `labels`."""
    columns = np.argsort(labels.gallery_ids, kind="stable")
    ordered = labels.gallery_ids[columns]
    counted = labels.gallery_ids != JUNK
    return Groups(
        columns=columns,
        cameras=labels.gallery_cameras[columns],
        first=np.searchsorted(ordered, labels.query_ids, side="left"),
        last=np.searchsorted(ordered, labels.query_ids, side="right"),
        query_cameras=labels.query_cameras if protocol.same_camera_ignored else None,
        counted=None if counted.all() else counted,
        size=int(counted.sum()),
    )


def ranks_of(blocks: Iterable[Block], labels: Labels, protocol: Protocol = USUAL) -> list[np.ndarray]:
    """For every query the ranks of its matches, by blocks of distances in the order of the queries.

    Raises InputError, before any block is taken, where no query has a match.
    """
    groups = grouped(labels, protocol)
    if not any(groups.matched(query)[1].size for query in range(len(labels.query_ids))):
        raise InputError(_no_match(labels, protocol))
    ranks: list[np.ndarray] = []
    for block in blocks:
        for place, row in enumerate(np.ascontiguousarray(block.values)):
            ranks.append(match_ranks(row, len(ranks), groups, *block.measure(place)))
    return ranks


def match_ranks(
    row: np.ndarray, query: int, groups: Groups, slack: float = 0.0, exact: Measure | None = None
) -> np.ndarray:
    """The ranks of one query's matches, from 1 and rising, by its row of distances.

    Where `exact` is given, what lies within `slack` of a match is measured by it: ranks then depend neither
    on the order of the images nor on how a product was computed.
    """
    same, matching = groups.matched(query)
    if not matching.size:
        return np.empty(0, dtype=np.int64)
    matches = row[matching]
    matches.sort()
    near = row <= (matches[-1] if exact is None else matches[-1] + slack)
    near[same] = False
    if groups.counted is not None:
        near &= groups.counted
    others = row.compress(near)
    if len(others) <= MANY * len(matches):
        others.sort()
    if exact is None:
        counts = _up_to(others, matches)
    else:
        counts = _up_to(others, matches + slack)
        if (_up_to(others, matches - slack) != counts).any():
            counts = _settled(row, np.flatnonzero(near), matching, slack, exact)
    ranks: np.ndarray = counts + np.arange(1, len(matches) + 1)
    return ranks


def _up_to(others: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values each edge is not below. The values are sorted, unless they are MANY for an edge."""
    if len(others) <= MANY * len(edges):
        return others.searchsorted(edges, side="right")
    return np.array([np.count_nonzero(others <= edge) for edge in edges])


def _settled(
    row: np.ndarray, others: np.ndarray, matching: np.ndarray, slack: float, exact: Measure
) -> np.ndarray:
    """How many of the `others` rank before each match, of which the nearest comes first."""
    values, matches = row[others], row[matching]
    by_value = np.sort(matches)
    after = by_value.searchsorted(values)
    to_next = by_value[np.minimum(after, len(by_value) - 1)] - values
    to_last = values - by_value[np.maximum(after - 1, 0)]
    unsure = np.minimum(np.abs(to_next), np.abs(to_last)) <= slack
    measured = exact(np.concatenate([matching, others[unsure]]))
    own, rivals = measured[: len(matching)], np.sort(measured[len(matching) :])
    order = np.argsort(own, kind="stable")
    sure = np.sort(values[~unsure]).searchsorted(matches[order])
    found: np.ndarray = sure + rivals.searchsorted(own[order], side="right")
    return found


def average_precisions(flat: np.ndarray, matches: np.ndarray, rule: str) -> np.ndarray:
    """AP of queries, float64 (queries,), of the ranks of their matches one query after another.

    flat: (matches of all,); matches: (queries,) how many each has. Rule "mean-precision": the mean of n / r
    over the matches, r the rank of the n-th. "trapezoid": the mean of (n / r + (n - 1) / (r - 1)) / 2, where
    the second share is 1 for r = 1: the precision just before the match is counted in.
    Source: the trapezoid is that of `compute_AP.m` of Market-1501 and of the Oxford buildings before it.

    >>> average_precisions(np.array([1, 3]), np.array([2]), "mean-precision").round(4).tolist()
    [0.8333]
    >>> average_precisions(np.array([1, 3]), np.array([2]), "trapezoid").round(4).tolist()
    [0.7917]
    """
    starts = np.cumsum(matches) - matches
    nth = np.arange(1, len(flat) + 1) - np.repeat(starts, matches)
    precisions = nth / flat
    if rule == "trapezoid":
        precisions = (precisions + np.where(flat == 1, 1.0, (nth - 1) / np.maximum(flat - 1, 1))) / 2
    found: np.ndarray = np.add.reduceat(precisions, starts) / matches
    return found


def _no_match(labels: Labels, protocol: Protocol) -> str:
    shared = len(np.intersect1d(labels.query_ids, labels.gallery_ids))
    cameras = len(np.union1d(labels.query_cameras, labels.gallery_cameras))
    where = " under another camera" if protocol.same_camera_ignored else ""
    if not shared:
        remedy = "Number the people of query and gallery in the same way."
    elif cameras == 1:
        remedy = (
            "All images carry one camera: give the query images a camera number of their own, or choose the "
            "single-camera protocol."
        )
    else:
        remedy = "Add gallery images of these identities from other cameras, or correct the camera numbers."
    return (
        f"query_ids: no query has a gallery image of its identity{where} "
        f"({counted(len(labels.query_ids), 'query', 'queries')}, "
        f"{counted(shared, 'identity', 'identities')} on both sides, {counted(cameras, 'camera')}). {remedy}"
    )
