"""The nearest images of every image, found by products in float32 and settled in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

# Pairs that are measured together: few enough to stay near the processor.
TOGETHER = 512
# Products that are looked through together, for the same reason; and a block of them: more are no faster.
SLAB, BLOCK_BYTES = 1 << 20, 256 * 2**20
# Groups of columns whose smallest products tell how near the nearest lie: so many for each neighbour.
GROUPS = 12
# Rows that are brought into float32 together.
PIECE = 1024
# A float32 product of two rows errs by no more than this times their length and their norms.
ROUNDING = 2.0**-23

Products = np.ndarray | torch.Tensor
# Places in a block, in rising order: rows, and columns, int64.
Pairs = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Every image and those nearest to it.

    images: int32 (images, count); an image is its own nearest, the others follow by distance, equal ones in
    the order of the images. distances: their squared distances, float64. farthest: float64 (images,), the
    largest squared distance from it to any image, 1 where all are equal.
    """

    images: np.ndarray
    distances: np.ndarray
    farthest: np.ndarray

    def squared(self, features: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Squared distances of pairs of images, float64, looked up where known; `rows` is in rising order."""
        result = np.empty(len(rows))
        if not len(rows):
            return result
        first, last = int(rows[0]), int(rows[-1]) + 1
        order = np.argsort(self.images[first:last], axis=1)
        known = np.take_along_axis(self.images[first:last], order, axis=1).astype(np.int64)
        known += (np.arange(first, last) * len(self.images))[:, None]
        keys = rows * np.int64(len(self.images)) + columns
        place = np.minimum(np.searchsorted(known.ravel(), keys), known.size - 1)
        found = known.ravel()[place] == keys
        result[found] = np.take_along_axis(self.distances[first:last], order, axis=1).ravel()[place[found]]
        result[~found] = squared_distances(features, rows[~found], columns[~found])
        return result


def row_bytes(images: int) -> int:
    """Bytes that one row of a block of products takes, with what is looked for in it."""
    return 5 * images


def nearest(features: np.ndarray, count: int, device: torch.device, rows_together: int) -> Neighbours:
    """The `count` images nearest to every image, itself among them.

    features: float64 (images, dim). rows_together: rows of a block of products, at most. Exact: candidates
    come from float32, with all rows that its rounding could have hidden, and are measured in float64.
    """
    images = len(features)
    products = _Products(features, device)
    chunk = max(1, min(rows_together, BLOCK_BYTES // row_bytes(images)))
    few = max(1, SLAB // images)
    result = Neighbours(np.empty((images, count), np.int32), np.empty((images, count)), np.empty(images))
    for start in range(0, images, chunk):
        stop = min(start + chunk, images)
        block = products.of(start, stop, chunk)

        def settle(first: int, block: Products = block, start: int = start, stop: int = stop) -> None:
            last = min(first + few, stop)
            near, far = products.candidates(block[first - start : last - start], count)
            rows = slice(first, last)
            result.images[rows], result.distances[rows] = _nearest(features, first, near, count)
            result.farthest[rows] = _farthest(features, first, far)

        in_threads(settle, range(start, stop, few))
    result.farthest[result.farthest <= 0] = 1.0
    return result


class _Products:
    """Of |y|^2 - 2 x.y in float32, which orders images y by their distance from an image x.

    x and y are features less their mean, which leaves distances as they are: the features of a nearly
    collapsed network differ by less than float32's steps, until the mean is gone.
    """

    def __init__(self, features: np.ndarray, device: torch.device) -> None:
        rows, mean = np.empty(features.shape, np.float32), features.mean(axis=0)
        exact = np.empty(len(features))
        for start in range(0, len(features), PIECE):
            part = slice(start, start + PIECE)
            apart = features[part] - mean
            rows[part], exact[part] = apart, np.einsum("ij,ij->i", apart, apart)
        # What a comparison of two may be off by: the features rounded, the product, the squares.
        self._slack = 4 * (features.shape[1] + 8) * ROUNDING * float(exact.max())
        squares = exact.astype(np.float32)
        self._rows: Products = rows if device.type == "cpu" else torch.from_numpy(rows).to(device)
        self._squares: Products = squares if device.type == "cpu" else torch.from_numpy(squares).to(device)
        self._buffer = np.empty((0, 0), np.float32)

    def of(self, start: int, stop: int, most: int) -> Products:
        """-2 x.y for rows x, (rows, images), `most` rows at most; the next call overwrites it."""
        if isinstance(self._rows, torch.Tensor):
            with _whole_products():
                return (-2 * self._rows[start:stop]) @ self._rows.T
        if not len(self._buffer):
            self._buffer = np.empty((most, len(self._rows)), np.float32)
        # NumPy's product: on some processors twice as fast as that of PyTorch.
        return np.matmul(-2 * self._rows[start:stop], self._rows.T, out=self._buffer[: stop - start])

    def candidates(self, block: Products, count: int) -> tuple[Pairs, Pairs]:
        """Where the `count` nearest of some rows may be, and where the farthest; `block` is changed."""
        block += self._squares
        if isinstance(block, np.ndarray):
            return _candidates(block, count, np.float32(self._slack))
        bound = block.topk(count, dim=1, largest=False).values[:, -1:] + self._slack
        far = block >= block.amax(1, keepdim=True) - self._slack
        near, far = ((block <= bound).nonzero().cpu().numpy().T, far.nonzero().cpu().numpy().T)
        return (near[0], near[1]), (far[0], far[1])


def _candidates(block: np.ndarray, count: int, slack: np.float32) -> tuple[Pairs, Pairs]:
    """Places of the values up to `slack` above the count-th smallest, or some more, and below the largest.

    The count-th smallest is bounded from above by the smallest values of groups of columns: every so-many-th
    column, since images that lie side by side are often alike.
    """
    images, groups = block.shape[1], max(256, GROUPS * count)
    bound: np.ndarray | float = np.inf
    if images >= 2 * groups:
        each = images // groups
        smallest = block[:, : groups * each].reshape(len(block), each, groups).min(axis=1)
        bound = np.partition(smallest, count - 1, axis=1)[:, count - 1 : count] + slack
    far = np.flatnonzero(block >= block.max(axis=1, keepdims=True) - slack)
    near = np.flatnonzero(block <= bound)
    return np.divmod(near, images), np.divmod(far, images)


def _nearest(features: np.ndarray, first: int, pairs: Pairs, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the rows from row `first` on, and their distances."""
    places, columns = pairs
    distances = _measured(features, first + places, columns)
    distances[columns == first + places] = -1.0  # it comes first, also where others are equal to it
    order = np.lexsort((distances, places))  # stable: equal ones stay in the order of the images
    taken = order[np.searchsorted(places, np.arange(places[-1] + 1))[:, None] + np.arange(count)]
    found = distances[taken]
    found[:, 0] = 0.0
    return columns[taken], found


def _farthest(features: np.ndarray, first: int, pairs: Pairs) -> np.ndarray:
    places, columns = pairs
    distances = _measured(features, first + places, columns)
    starts = np.searchsorted(places, np.arange(places[-1] + 1))
    result: np.ndarray = np.maximum.reduceat(distances, starts)
    return result


def squared_distances(features: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of pairs of rows, float64, by as many threads as PyTorch has; 0 between
    equal rows.

    >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([0, 1]), np.array([1, 1]))
    array([25.,  0.])
    """
    result = np.empty(len(rows))
    step = 16 * TOGETHER

    def measure(start: int) -> None:
        part = slice(start, start + step)
        result[part] = _measured(features, rows[part], columns[part])

    in_threads(measure, range(0, len(rows), step))
    return result


def _measured(features: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The same in this thread."""
    result = np.empty(len(rows))
    for start in range(0, len(rows), TOGETHER):
        part = slice(start, start + TOGETHER)
        apart = features[columns[part]]
        apart -= features[rows[part]]
        np.einsum("ij,ij->i", apart, apart, out=result[part])
    return result


def in_threads(work: Callable[[int], None], starts: range) -> None:
    """Call `work` for each start; the calls write to different places, in whatever order."""
    threads = min(torch.get_num_threads(), len(starts))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for share in [pool.submit(_all_of, work, starts[place::threads]) for place in range(threads)]:
            share.result()


def _all_of(work: Callable[[int], None], starts: range) -> None:
    for start in starts:
        work(start)


@contextlib.contextmanager
def _whole_products() -> Iterator[None]:
    """No TensorFloat-32, whose products err by more than the slack."""
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    products.fp32_precision = "ieee"
    try:
        yield
    finally:
        products.fp32_precision = before
