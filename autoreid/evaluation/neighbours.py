"""The nearest images of every image, found by products in float32 and settled in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

# Candidates beside the ones asked for, so that rounding seldom hides one.
SPARE = 8
# Rows whose candidates are measured together: few enough to stay near the processor.
TOGETHER = 64
# A float32 product of two rows errs by no more than this times their length and their norms.
ROUNDING = 2.0**-23


def nearest(
    features: np.ndarray, count: int, device: torch.device, memory: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every row and the rows nearest to it, `count` together; and the largest squared distance from it.

    features: float64 (images, dim). A row is its own nearest, the others follow by distance; equal ones in
    the order of the images. int64 (images, count) and float64 (images,), the latter 1 where all rows are
    equal. `memory` bounds the bytes of a block of products. Exact: candidates come from float32, with all
    rows that its rounding could have hidden, and are measured in float64.
    """
    images = len(features)
    rows32 = torch.from_numpy(features.astype(np.float32)).to(device)
    squares = np.einsum("ij,ij->i", features, features)
    squares32 = torch.from_numpy(squares.astype(np.float32)).to(device)
    # What a float32 distance may be off by: the product, twice, and the squares.
    slack = 4 * features.shape[1] * ROUNDING * float(squares.max())
    chunk = max(1, memory // (8 * images))
    found, farthest = np.empty((images, count), dtype=np.int64), np.empty(images)
    with _whole_products():
        for start in range(0, images, chunk):
            rows = np.arange(start, min(start + chunk, images))
            products = torch.addmm(squares32, rows32[rows[0] : rows[-1] + 1], rows32.T, alpha=-2)
            block = _Block(features, rows, products, squares[rows], slack)
            found[rows] = block.nearest(count)
            farthest[rows] = block.farthest()
    return found, np.where(farthest > 0, farthest, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Some rows against all: `products` + `squares`, (rows,), are squared distances, give or take `slack`."""

    features: np.ndarray
    rows: np.ndarray
    products: torch.Tensor
    squares: np.ndarray
    slack: float

    def nearest(self, count: int) -> np.ndarray:
        candidates, edge = self._candidates(count + SPARE, largest=False)
        distances = self._measured(candidates)
        distances[candidates == self.rows[:, None]] = np.inf  # it comes first in any case
        order = np.lexsort((candidates, distances), axis=1)[:, : count - 1]
        result = np.column_stack([self.rows, np.take_along_axis(candidates, order, axis=1)])
        if candidates.shape[1] < len(self.features):
            last = np.take_along_axis(distances, order[:, -1:], axis=1)[:, 0]
            for place in np.flatnonzero(edge - last <= self.slack).tolist():
                members = np.flatnonzero(self._row(place) <= last[place] + self.slack)
                measured = self._from(place, members)
                measured[members == self.rows[place]] = -1.0
                result[place] = members[np.lexsort((members, measured))[:count]]
        return result

    def farthest(self) -> np.ndarray:
        candidates, edge = self._candidates(SPARE, largest=True)
        result: np.ndarray = self._measured(candidates).max(1)
        if candidates.shape[1] < len(self.features):
            for place in np.flatnonzero(edge + self.slack >= result).tolist():
                members = np.flatnonzero(self._row(place) >= result[place] - self.slack)
                result[place] = self._from(place, members).max()
        return result

    def _candidates(self, count: int, *, largest: bool) -> tuple[np.ndarray, np.ndarray]:
        """Rows by their float32 distances, int64 (rows, count), and the distance of the last of them."""
        taken = self.products.topk(min(count, len(self.features)), dim=1, largest=largest, sorted=True)
        edge = taken.values[:, -1].cpu().numpy().astype(np.float64) + self.squares
        return taken.indices.cpu().numpy(), edge

    def _row(self, place: int) -> np.ndarray:
        products: np.ndarray = self.products[place].cpu().numpy().astype(np.float64)
        return products + self.squares[place]

    def _from(self, place: int, members: np.ndarray) -> np.ndarray:
        return squared_distances(self.features, np.full(len(members), self.rows[place]), members)

    def _measured(self, candidates: np.ndarray) -> np.ndarray:
        """Squared distances of the candidates in float64, (rows, candidates)."""
        result = np.empty(candidates.shape)
        for start in range(0, len(self.rows), TOGETHER):
            part = slice(start, start + TOGETHER)
            apart = self.features[candidates[part]]
            apart -= self.features[self.rows[part], None]
            result[part] = np.einsum("ijk,ijk->ij", apart, apart)
        return result


def squared_distances(features: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of pairs of rows, float64, a piece at a time; 0 between equal rows.

    >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([0, 1]), np.array([1, 1]))
    array([25.,  0.])
    """
    result = np.empty(len(rows))
    step = max(1, (1 << 21) // features.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        apart = features[rows[part]]
        apart -= features[columns[part]]
        result[part] = np.einsum("ij,ij->i", apart, apart)
    return result


@contextlib.contextmanager
def _whole_products() -> Iterator[None]:
    """No TensorFloat-32, whose products err by more than the slack."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
