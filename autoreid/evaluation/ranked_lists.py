"""Which gallery images stand first for a query: what the figures are made of, image by image."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch

from autoreid.data.index import ImageIndex
from autoreid.errors import InputError, Problems
from autoreid.evaluation.protocol import Protocol
from autoreid.evaluation.ranking import RankingScores
from autoreid.evaluation.sides import DEFAULT_MEMORY, Sides


@dataclass(frozen=True, slots=True, eq=False)
class RankedList:
    """One query and the gallery images that rank first.

    query: its row in the data set. gallery: rows in the data set, nearest first. distances: theirs; `right`
    says which show the query's person. average_precision, first_rank: of the whole list; None where the
    gallery holds no match.
    """

    query: int
    gallery: np.ndarray
    distances: np.ndarray
    right: np.ndarray
    average_precision: float | None
    first_rank: int | None


def choose_queries(scores: RankingScores, count: int, seed: int = 0) -> np.ndarray:
    """Numbers of queries to look at, int64: first those of the lowest average precision, half of `count`
    rounded up, worst first; then others at random, in their order. Queries without a match are left out.

    Ties go to the lower number.
    """
    valid = np.flatnonzero(scores.valid)
    hardest = valid[np.argsort(scores.average_precisions, kind="stable")[: (count + 1) // 2]]
    others = np.setdiff1d(valid, hardest)
    return np.concatenate([hardest, others[drawn(len(others), count - len(hardest), seed)]])


def drawn(total: int, count: int, seed: int = 0) -> np.ndarray:
    """`count` of the numbers below `total` at random, int64, rising; all of them where there are no more.

    >>> drawn(3, 5).tolist()
    [0, 1, 2]
    """
    # Uniform doubles are the bits of Philox, which numpy never changes.
    order = np.argsort(np.random.Generator(np.random.Philox(seed)).random(total), kind="stable")
    return np.sort(order[:count])


def find_queries(index: ImageIndex, names: Sequence[str]) -> np.ndarray:
    """Numbers of the named queries, int64: by their names in the data set, or by those of their files.

    InputError, all names together, for those that no query has, or several queries have.
    """
    rows = index.rows("query")
    if not len(rows):
        raise InputError(f"{index.root}: no query images.")
    known: dict[str, list[int]] = {}
    for number, row in enumerate(rows.tolist()):
        name = index.names[row]
        for called in {name, PurePosixPath(name).name}:
            known.setdefault(called, []).append(number)
    problems, found = Problems(), []
    for name in names:
        numbers = known.get(name, [])
        if len(numbers) == 1:
            found.append(numbers[0])
        elif numbers:
            both = ", ".join(index.names[rows[number]] for number in numbers[:2])
            problems.add("--query", f"{name!r} is the name of several queries: {both}. Give the folder too.")
        else:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else f"Give a name such as {index.names[rows[0]]!r}."
            problems.add("--query", f"no query image {name!r} among {len(rows):,}. {hint}")
    problems.raise_if_any()
    return np.array(list(dict.fromkeys(found)), dtype=np.int64)


def ranked_lists(
    found: Mapping[str, Any],
    index: ImageIndex,
    protocol: Protocol,
    scores: RankingScores,
    queries: np.ndarray,
    *,
    top: int = 10,
    device: torch.device | str = "cpu",
    memory: int = DEFAULT_MEMORY,
) -> list[RankedList]:
    """The lists of some queries by the protocol, which leaves out junk and, unless it says otherwise, images
    of the query's person under its own camera.

    found: features and labels as `of_test_images` gives them for `index`; scores: those of the same protocol;
    queries: numbers of queries. Where the protocol re-ranks, the distances are the re-ranked ones.
    A match stands after all others at its distance, as it counts.
    """
    sides = Sides.of(found, protocol.normalised)
    labels, gallery = sides.labels, index.rows("gallery")[sides.kept]
    places = np.cumsum(scores.valid) - 1
    every = _distances(sides, protocol, queries, device, memory)
    lists = []
    for query, distances in zip(queries.tolist(), every, strict=True):
        same = labels.gallery_ids == labels.query_ids[query]
        ignored = same & (labels.gallery_cameras == labels.query_cameras[query])
        counted = np.flatnonzero(~ignored | (not protocol.same_camera_ignored))
        order = counted[np.lexsort((counted, same[counted], distances[counted]))][:top]
        scored, place = bool(scores.valid[query]), places[query]
        lists.append(
            RankedList(
                query=int(index.rows("query")[query]),
                gallery=gallery[order],
                distances=distances[order],
                right=same[order],
                average_precision=float(scores.average_precisions[place]) if scored else None,
                first_rank=int(scores.first_ranks[place]) if scored else None,
            )
        )
    return lists


def _distances(
    sides: Sides, protocol: Protocol, queries: np.ndarray, device: torch.device | str, memory: int
) -> np.ndarray:
    """Distances of these queries, float64 (len(queries), gallery images): Euclidean, or re-ranked."""
    if protocol.reranking is None:
        chosen = replace(sides, query=sides.query[queries])
        blocks = chosen.distances(memory)
        return np.sqrt([block.row(place) for block in blocks for place in range(len(block.values))])
    from autoreid.evaluation.reranking import reranked_blocks  # deferred: seldom wanted

    wanted, start = set(queries.tolist()), 0
    rows: dict[int, np.ndarray] = {}
    for block in reranked_blocks(sides, protocol.reranking, device, memory):
        mine = wanted & set(range(start, start + len(block.values)))
        rows |= {number: block.row(number - start) for number in mine}
        start += len(block.values)
    return np.stack([rows[number] for number in queries.tolist()])
