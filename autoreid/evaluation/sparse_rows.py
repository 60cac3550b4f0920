"""Matrices of which a few entries of each row are not 0, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Bytes of an entry, with what is held while a matrix is turned into another.
TURNED_BYTES = 40


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """Row i holds `weights[ends[i] : ends[i + 1]]` at `columns` of the same places, which rise.

    `ends` is int64 (rows + 1,) from 0, `columns` int32 and `weights` float64 (entries,).
    """

    ends: np.ndarray
    columns: np.ndarray
    weights: np.ndarray

    @classmethod
    def of_entries(cls, rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, count: int) -> SparseRows:
        """A matrix of `count` rows; entries at one place are added up, in the order given.

        >>> rows, columns = np.array([1, 0, 1]), np.array([2, 0, 2])
        >>> found = SparseRows.of_entries(rows, columns, np.array([1.0, 2.0, 3.0]), 2)
        >>> found.ends.tolist(), found.columns.tolist(), found.weights.tolist()
        ([0, 1, 2], [0, 2], [2.0, 4.0])
        """
        width = int(columns.max()) + 1 if len(columns) else 1
        places = rows * np.int64(width) + columns
        order = np.argsort(places, kind="stable")
        places = places[order]
        first = np.flatnonzero(np.diff(places, prepend=-1))
        summed = np.add.reduceat(weights[order], first) if len(first) else np.empty(0)
        held = np.bincount(places[first] // width, minlength=count)
        ends = np.concatenate([[0], np.cumsum(held)])
        return cls(ends, (places[first] % width).astype(np.int32), summed)

    @classmethod
    def stacked(cls, parts: list[SparseRows]) -> SparseRows:
        """The rows of several matrices, one below the other; `parts` is emptied, to need less memory."""
        sizes = np.concatenate([np.diff(part.ends) for part in parts])
        ends = np.concatenate([[0], np.cumsum(sizes)])
        columns, weights = np.empty(ends[-1], np.int32), np.empty(ends[-1])
        done = 0
        while parts:
            part = parts.pop(0)
            rows = slice(done, done + len(part.columns))
            columns[rows], weights[rows] = part.columns, part.weights
            done = rows.stop
        return cls(ends, columns, weights)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def from_row(self, first: int) -> SparseRows:
        """The rows from `first` on."""
        start = self.ends[first]
        return SparseRows(self.ends[first:] - start, self.columns[start:], self.weights[start:])

    def of_rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which entries some rows hold, row by row, and how many each of them."""
        sizes = self.ends[rows + 1] - self.ends[rows]
        last = np.cumsum(sizes)
        total = int(last[-1]) if len(last) else 0
        return np.arange(total) + np.repeat(self.ends[rows] - last + sizes, sizes), sizes

    def transposed(self, count: int) -> SparseRows:
        """The columns as rows, `count` of them."""
        order = np.argsort(self.columns, kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(self.columns, minlength=count))])
        rows = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.ends))
        return SparseRows(ends, rows[order], self.weights[order])
