"""The ranks of the matches of each query, and what they score, without sorting the gallery.

The rank of a match is its place among the matches plus the number of non-matches at its distance or below.
So only gallery images up to the worst true match count: for each query the non-matches among them are
taken out, sorted, and counted by a binary search for each match. The gallery is grouped by identity once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np

from autoreid.errors import InputError
from autoreid.evaluation.checks import JUNK
from autoreid.evaluation.protocol import USUAL, Protocol


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


def ranks_of(blocks: Iterable[np.ndarray], labels: Labels, protocol: Protocol = USUAL) -> list[np.ndarray]:
    """For every query the ranks of its matches, by blocks of distances in the order of the queries.

    Raises InputError, before any block is taken, where no query has a match.
    """
    groups = grouped(labels, protocol)
    if not any(groups.matched(query)[1].size for query in range(len(labels.query_ids))):
        raise InputError(_no_match(labels, protocol))
    ranks: list[np.ndarray] = []
    for block in blocks:
        for row in np.ascontiguousarray(block):
            ranks.append(match_ranks(row, len(ranks), groups))
    return ranks


def match_ranks(row: np.ndarray, query: int, groups: Groups) -> np.ndarray:
    """The ranks of one query's matches, from 1 and rising, by its row of distances."""
    same, matching = groups.matched(query)
    if not matching.size:
        return np.empty(0, dtype=np.int64)
    matches = row[matching]
    matches.sort()
    near = row <= matches[-1]
    near[same] = False
    if groups.counted is not None:
        near &= groups.counted
    others = row.compress(near)
    others.sort()
    ranks: np.ndarray = others.searchsorted(matches, side="right") + np.arange(1, len(matches) + 1)
    return ranks


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
        f"({len(labels.query_ids)} queries, {shared} identities on both sides, {cameras} cameras). {remedy}"
    )
