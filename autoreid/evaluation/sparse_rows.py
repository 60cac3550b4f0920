"""Matrices of which a few entries of each row are not 0, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """Row i holds `weights[ends[i] : ends[i + 1]]` at `columns` of the same places, which rise.

    `ends` is int64 (rows + 1,) from 0, `columns` int64 and `weights` float64 (entries,).
    """

    ends: np.ndarray
    columns: np.ndarray
    weights: np.ndarray

    @classmethod
    def of_entries(cls, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, count: int) -> SparseRows:
        """A matrix of `count` rows; entries at one place are added up.

        >>> rows, columns = np.array([1, 0, 1]), np.array([2, 0, 2])
        >>> found = SparseRows.of_entries(rows, columns, np.array([1.0, 2.0, 3.0]), 2)
        >>> found.ends.tolist(), found.columns.tolist(), found.weights.tolist()
        ([0, 1, 2], [0, 2], [2.0, 4.0])
        """
        width = int(columns.max()) + 1 if len(columns) else 1
        places, inverse = np.unique(rows * width + columns, return_inverse=True)
        summed = np.bincount(inverse, weights=weights, minlength=len(places))
        held = np.bincount(places // width, minlength=count)
        return cls(np.concatenate([[0], np.cumsum(held)]), places % width, summed)

    @classmethod
    def stacked(cls, parts: list[SparseRows]) -> SparseRows:
        """The rows of several matrices, one below the other."""
        sizes = np.concatenate([np.diff(part.ends) for part in parts])
        ends = np.concatenate([[0], np.cumsum(sizes)])
        columns = np.concatenate([part.columns for part in parts])
        return cls(ends, columns, np.concatenate([part.weights for part in parts]))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def of_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which entries some rows hold, row by row, and how many each of them."""
        sizes = self.ends[rows + 1] - self.ends[rows]
        last = np.cumsum(sizes)
        total = int(last[-1]) if len(last) else 0
        return np.arange(total) + np.repeat(self.ends[rows] - last + sizes, sizes), sizes

    def transposed(self, count: int) -> SparseRows:
        """The columns as rows, `count` of them."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.ends))
        order = np.argsort(self.columns, kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(self.columns, minlength=count))])
        return SparseRows(ends, rows[order], self.weights[order])
