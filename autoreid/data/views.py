"""Images by row: an array, or some rows of one without a copy. Free of torch."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Images(Protocol):
    """uint8 images (images, 3, height, width), read by their rows: an array, a memory map, or `Picked`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


class Picked:
    """Some rows of images, in any order and as often as wanted; they are read when they are asked for.

    >>> images = Picked(np.arange(4).reshape(4, 1, 1, 1), np.array([3, 1, 3]))
    >>> images.shape, images[np.array([0, 1])].ravel().tolist()
    ((3, 1, 1, 1), [3, 1])
    """

    def __init__(self, images: Images, rows: np.ndarray) -> None:
        self.images, self.rows = images, rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.images.shape[1:])

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray:
        return self.images[self.rows[rows]]
