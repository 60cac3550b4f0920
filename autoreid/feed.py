"""Prepared data and batches: a batch is a pure function of (seed, step), on any device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoreid.data import splits
from autoreid.data.arrays import decode
from autoreid.data.augment import augment, draw
from autoreid.data.index import ImageIndex, fingerprint, identity_order
from autoreid.data.sampler import IdentityBatches
from autoreid.data.source import DataSource, open_index
from autoreid.data.views import Images
from autoreid.optimisation import stream
from autoreid.recipes import Augmentation, Batch, Split


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """A data set decoded to one size: `images` is a memory map of uint8, (images, 3, height, width)."""

    index: ImageIndex
    images: Images
    fingerprint: str

    @property
    def train_rows(self) -> np.ndarray:
        """Rows of the training images."""
        return self.index.rows("train")

    @property
    def labels(self) -> np.ndarray:
        """The class of every training image: its identity's place among the sorted identities."""
        return np.unique(self.index.identities[self.train_rows], return_inverse=True)[1]

    @property
    def identity_order(self) -> list[int]:
        """The training identities in the order of their classes."""
        return identity_order(self.index)

    @property
    def identities(self) -> int:
        """Number of training identities."""
        return len(self.identity_order)


def identify(source: DataSource, cache: Path | None = None) -> tuple[ImageIndex, str]:
    """The index of a data set, and the fingerprint of its content."""
    index = open_index(source, cache)
    return index, fingerprint(index, cache)


def prepare(source: DataSource, height: int, width: int, cache: Path | None = None) -> PreparedData:
    """Open a data set and decode it to one size, once per machine."""
    index, name = identify(source, cache)
    return PreparedData(index, decode(index, height, width, cache, name), name)


def split_positions(split: Split, identities: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the training images that move the weights, and of those that move the alphas."""
    if split.name == "per-identity":
        return splits.per_identity(identities, held_out=split.held_out, seed=seed)
    if split.name == "by-image":
        return splits.by_image(identities, fraction=split.fraction, seed=seed)
    return splits.by_identity(identities, fraction=split.fraction, seed=seed)


class Batches:
    """Augmented class-balanced batches of some training images.

    `rows` are rows of the data's array, `labels` their classes. `batch(step)` depends on the seed and the
    step alone: not on the device, not on the batches before.
    """

    def __init__(
        self,
        data: PreparedData,
        positions: np.ndarray,
        *,
        batch: Batch,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
    ) -> None:
        self.images = data.images
        self.rows = data.train_rows[positions]
        self.labels = data.labels[positions]
        self.sampler = IdentityBatches(self.labels, batch.identities, batch.images, stream(seed, "batches"))
        self.seed = stream(seed, "augmentation")
        self.augmentation = augmentation
        self.device = device

    def chosen(self, step: int) -> np.ndarray:
        """Which of the images are in the batch of a step: places among `rows`."""
        return self.sampler.batch(step)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalised images (batch, 3, h, w) and their classes (batch,), on the device."""
        chosen = self.chosen(step)
        pixels = torch.from_numpy(self.images[self.rows[chosen]]).to(self.device, non_blocking=True)
        wanted = self.augmentation
        parameters = draw(
            len(chosen),
            *self.images.shape[2:],
            flip=wanted.flip,
            pad=wanted.pad,
            erasing=wanted.erasing,
            seed=self.seed,
            step=step,
        )
        images = augment(pixels, parameters).contiguous(memory_format=torch.channels_last)
        return images, torch.from_numpy(self.labels[chosen]).to(self.device, non_blocking=True)
