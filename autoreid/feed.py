"""Prepared data and batches: a batch is a pure function of (seed, step), on any device."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoreid.ahead import Ahead
from autoreid.data import splits
from autoreid.data.arrays import decode
from autoreid.data.augment import augment, draw
from autoreid.data.index import ImageIndex, fingerprint, identity_order
from autoreid.data.sampler import IdentityBatches
from autoreid.data.source import DataSource, open_index
from autoreid.data.views import Images
from autoreid.optimisation import stream
from autoreid.recipes import Augmentation, Batch, Split

# Devices on which a thread prepares the next batch. A processor's cores are the step's own.
PREFETCHED = ("cuda",)
# Images and classes of a step, and what says on a GPU that they are ready.
_Prepared = tuple[Tensor, Tensor, torch.cuda.Event | None]


@dataclass(frozen=True, eq=False)
class PreparedData:
    """A data set decoded to one size: `images` is a memory map of uint8, (images, 3, height, width)."""

    index: ImageIndex
    images: Images
    fingerprint: str

    @functools.cached_property
    def train_rows(self) -> np.ndarray:
        """Rows of the training images."""
        return self.index.rows("train")

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The class of every training image: its identity's place among the sorted identities."""
        return np.unique(self.index.identities[self.train_rows], return_inverse=True)[1]

    @functools.cached_property
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
    step alone: not on the device, not on the batches before. With `prefetch` the next step's batch is
    prepared by a thread in a stream of its own while a step runs, on devices for which that pays; what the
    thread raises is raised by the call that asks for its batch.
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
        layout: torch.memory_format = torch.channels_last,
        prefetch: bool = False,
    ) -> None:
        self.images = data.images
        self.rows = data.train_rows[positions]
        self.labels = data.labels[positions]
        self.sampler = IdentityBatches(self.labels, batch.identities, batch.images, stream(seed, "batches"))
        self.augmentation = augmentation
        ahead = prefetch and device.type in PREFETCHED
        source = _Source(
            self.images,
            self.rows,
            self.labels,
            self.sampler,
            augmentation,
            stream(seed, "augmentation"),
            device,
            layout,
            torch.cuda.Stream(device) if ahead and device.type == "cuda" else None,
        )
        self._prepared: Callable[[int], _Prepared] = Ahead(source.prepare) if ahead else source.prepare

    def chosen(self, step: int) -> np.ndarray:
        """Which of the images are in the batch of a step: places among `rows`."""
        return self.sampler.batch(step)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalised images (batch, 3, h, w) and their classes (batch,), on the device."""
        images, labels, ready = self._prepared(step)
        if ready is not None:
            now = torch.cuda.current_stream(images.device)
            now.wait_event(ready)
            # They were made in another stream, in which their memory is not to be used again before this one
            # is done with them.
            images.record_stream(now)
            labels.record_stream(now)
        return images, labels


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What batches are made of; it knows nothing of who asks for them, so that a thread can hold it."""

    images: Images
    rows: np.ndarray
    labels: np.ndarray
    sampler: IdentityBatches
    augmentation: Augmentation
    seed: int
    device: torch.device
    layout: torch.memory_format
    stream: torch.cuda.Stream | None

    def prepare(self, step: int) -> _Prepared:
        """Images and classes of a step, and what says that they are ready, where that is another stream."""
        chosen, wanted = self.sampler.batch(step), self.augmentation
        pixels = torch.from_numpy(self.images[self.rows[chosen]])
        parameters = draw(
            len(chosen),
            *self.images.shape[2:],
            flip=wanted.flip,
            pad=wanted.pad,
            erasing=wanted.erasing,
            seed=self.seed,
            step=step,
        )
        labels = torch.from_numpy(self.labels[chosen])
        if self.stream is None:
            return (
                augment(sent(pixels, self.device), parameters, self.layout),
                sent(labels, self.device),
                None,
            )
        with torch.cuda.stream(self.stream):
            images = augment(sent(pixels, self.device), parameters, self.layout)
            labels = sent(labels, self.device)
            return images, labels, self.stream.record_event()


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device; on their way to a GPU nothing waits for them."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
