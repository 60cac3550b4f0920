"""Labelled images for classification, read from disk as they are asked for: an ImageNet-style folder, or
CIFAR-100."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from autoreid.data.index import ImageIndex, fingerprint
from autoreid.data.streams import generator
from autoreid.errors import InputError, unknown
from autoreid.folders import expanded
from autoreid.pretrain_recipes import PretrainRecipe

# Torchvision's evaluation: the short side is 256 where the crop is 224.
MARGIN = 256 / 224
ASPECT = (3 / 4, 4 / 3)
# Left, top, right and bottom, in pixels.
Box = tuple[int, int, int, int]
TRIES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Images and their classes, int64 (images,). `read` gives an image by its number, decoded at that
    moment."""

    labels: np.ndarray
    read: Callable[[int], Image.Image]

    def picked(self, numbers: np.ndarray) -> Labelled:
        """Some of the images, by their numbers."""
        return Labelled(self.labels[numbers], _Picked(self.read, numbers))


@dataclass(frozen=True, slots=True, eq=False)
class _Picked:
    """Reads some of the images; a value, so that it can be sent to other processes."""

    read: Callable[[int], Image.Image]
    numbers: np.ndarray

    def __call__(self, number: int) -> Image.Image:
        return self.read(int(self.numbers[number]))


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """A data set for classification; `fingerprint` stands for its names, bytes and labels."""

    train: Labelled
    validation: Labelled
    names: tuple[str, ...]
    fingerprint: str


def read_folder(root: Path, download: bool = False, cache: Path | None = None) -> Classes:
    """`root/train/CLASS/...` and `root/val/CLASS/...`, as torchvision's ImageFolder reads them."""
    parts = {}
    for split in ("train", "val"):
        try:
            parts[split] = torchvision.datasets.ImageFolder(str(root / split))
        except (FileNotFoundError, NotADirectoryError) as error:
            reason = error.strerror or error
            raise InputError(
                f"data: {root / split}: {reason}. Give a folder with train/CLASS/... and val/CLASS/..."
            ) from None
    if parts["train"].classes != parts["val"].classes:
        alien = sorted(set(parts["train"].classes) ^ set(parts["val"].classes))
        raise InputError(f"data: {root}: classes in one of train and val only: {', '.join(alien[:10])}.")
    rows = sorted(
        (Path(path).relative_to(root).as_posix(), label, {"train": "train", "val": "gallery"}[split])
        for split, part in parts.items()
        for path, label in part.samples
    )
    labels = np.array([label for _, label, _ in rows], dtype=np.int64)
    splits = np.array([split for _, _, split in rows])
    index = ImageIndex(root, tuple(name for name, _, _ in rows), labels, np.zeros_like(labels), splits)
    content = fingerprint(index, cache)
    names = tuple(parts["train"].classes)
    return Classes(_of_folder(index, "train"), _of_folder(index, "gallery"), names, content)


@dataclass(frozen=True, slots=True, eq=False)
class _Files:
    """Reads images of a folder; a value, so that it can be sent to other processes."""

    root: Path
    names: tuple[str, ...]

    def __call__(self, number: int) -> Image.Image:
        path = self.root / self.names[number]
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except OSError as error:
            raise InputError(f"data: {path}: cannot be read ({error}). Restore the image.") from None


def _of_folder(index: ImageIndex, split: str) -> Labelled:
    rows = index.rows(split)
    files = _Files(index.root, tuple(index.names[row] for row in rows))
    return Labelled(index.identities[rows], files)


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """Gives images of an array, uint8 (images, height, width, 3)."""

    pixels: np.ndarray

    def __call__(self, number: int) -> Image.Image:
        return Image.fromarray(self.pixels[number])


def read_cifar100(root: Path, download: bool = False, cache: Path | None = None) -> Classes:
    """CIFAR-100 in `root`, as torchvision keeps it; fetched only where `download` asks for it."""
    try:
        train, test = (
            torchvision.datasets.CIFAR100(str(root), train=part, download=download) for part in (True, False)
        )
    except (RuntimeError, OSError) as error:
        # torchvision would advise an argument of its own.
        asked = download or isinstance(error, OSError)
        reason = error if asked else "CIFAR-100 is not there, or damaged"
        raise InputError(
            f"data: {root}: {reason}. Put cifar-100-python into that folder, or fetch it with autoreid "
            "pretrain --download."
        ) from None
    digest = hashlib.sha256(b"cifar100")
    parts = []
    for part in (train, test):
        labels = np.asarray(part.targets, dtype=np.int64)
        digest.update(np.ascontiguousarray(part.data).tobytes() + labels.tobytes())
        parts.append(Labelled(labels, _Pixels(part.data)))
    return Classes(parts[0], parts[1], tuple(train.classes), digest.hexdigest())


# By the names of `autoreid.data.source.CLASS_SETS`.
READERS = {"imagefolder": read_folder, "cifar100": read_cifar100}


def open_classes(name: str, root: Path, *, download: bool = False, cache: Path | None = None) -> Classes:
    """The data set of a name in a folder; InputError where it is not there."""
    if name not in READERS:
        raise InputError(f"data: {unknown('data set', name, READERS)}")
    return READERS[name](expanded(root), download, cache)


def crop_of(width: int, height: int, smallest: float, random: np.random.Generator) -> Box:
    """A random part of an image: its share of the area, then its aspect
    ratio (3/4 to 4/3); the largest centred square where ten tries do not fit. The same numbers are drawn
    whatever comes out."""
    draws = random.random((TRIES, 4))
    for share, aspect, x, y in draws:
        area = (smallest + share * (1 - smallest)) * width * height
        ratio = float(np.exp(np.log(ASPECT[0]) + aspect * (np.log(ASPECT[1]) - np.log(ASPECT[0]))))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def for_training(image: Image.Image, recipe: PretrainRecipe, seed: int) -> Image.Image:
    """Crop and mirror: a pure function of the image, the recipe and the seed."""
    random = generator(seed, "augmentation")
    size = (recipe.width, recipe.height)
    mirrored, x, y = random.random(3)
    if recipe.smallest_crop < 1:
        box = crop_of(*image.size, recipe.smallest_crop, random)
        result = image.resize(size, Image.Resampling.BILINEAR, box=box)
    else:
        whole = ImageOps.expand(image.resize(size, Image.Resampling.BILINEAR), recipe.pad)
        left, top = (int(place * (2 * recipe.pad + 1)) for place in (x, y))
        result = whole.crop((left, top, left + size[0], top + size[1]))
    return ImageOps.mirror(result) if mirrored < recipe.flip else result


def for_validation(image: Image.Image, recipe: PretrainRecipe) -> Image.Image:
    """The centre of the image where training crops, else the whole of it."""
    size = (recipe.width, recipe.height)
    if recipe.smallest_crop == 1:
        return image.resize(size, Image.Resampling.BILINEAR)
    scale = min(image.width / size[0], image.height / size[1]) / MARGIN
    w, h = size[0] * scale, size[1] * scale
    left, top = (image.width - w) / 2, (image.height - h) / 2
    return image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + w, top + h))


class Samples(Dataset):
    """Images by (number, seed), as uint8 (3, height, width) with their class; seed None: for validation.

    An image that cannot be read gives the InputError as a value: one that is raised in another process comes
    out as a traceback.
    """

    def __init__(self, data: Labelled, recipe: PretrainRecipe) -> None:
        self.data, self.recipe = data, recipe

    def __getitem__(self, wanted: tuple[int, int | None]) -> tuple[Tensor, int] | InputError:
        number, seed = wanted
        try:
            image = self.data.read(number)
        except InputError as error:
            return error
        if seed is None:
            image = for_validation(image, self.recipe)
        else:
            image = for_training(image, self.recipe, seed)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), int(self.data.labels[number])


def _batch(samples: list[tuple[Tensor, int] | InputError]) -> Any:
    """Images and classes as two tensors; one InputError where images cannot be read."""
    problems = [problem for found in samples if isinstance(found, InputError) for problem in found.problems]
    return InputError(*problems) if problems else default_collate(samples)


def loaded(
    samples: Samples, batches: Iterator[list[tuple[int, int | None]]], workers: int, *, pinned: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images and classes in their order, read by so many other processes; 0: by this one.

    `pinned`: in memory from which a GPU copies while it computes. InputError where an image cannot be read.
    """
    context = "spawn" if workers else None
    for batch in DataLoader(
        samples,
        batch_sampler=batches,
        collate_fn=_batch,
        num_workers=workers,
        multiprocessing_context=context,
        pin_memory=pinned,
        # Of its own: the loader must not draw from the numbers of the dropout.
        generator=torch.Generator().manual_seed(0),
    ):
        if isinstance(batch, InputError):
            raise batch
        yield batch
