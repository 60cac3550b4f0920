"""Training images of random pixels, for benchmarks of steps: what they show does not change their speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoreid.data.index import ImageIndex
from autoreid.feed import PreparedData


def random_people(height: int, width: int, *, identities: int, images: int) -> PreparedData:
    """A training set of as many images of each identity, in memory, without queries and gallery.

    >>> random_people(32, 16, identities=3, images=2).images.shape
    (6, 3, 32, 16)
    """
    count = identities * images
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, height, width), dtype=np.uint8)
    index = ImageIndex(
        root=Path("random"),
        names=tuple(f"{number:06}.jpg" for number in range(count)),
        identities=np.repeat(np.arange(identities), images),
        cameras=np.tile(np.arange(images), identities),
        splits=np.full(count, "train"),
    )
    return PreparedData(index, pixels, "random")
