"""Random flip, pad-and-crop and random erasing for whole batches, on the device of the images.

The parameters are drawn on the CPU from (seed, step); applying them moves pixels. Neither the number of
workers nor the device can therefore change a batch. A processor copies the part of each image that stays, a
few images at a time, so that they do not leave its cache; a GPU gathers the pixels of the whole batch.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoreid.data.streams import generator
from autoreid.errors import InputError

# RGB, of values in [0, 1]: the statistics of ImageNet that every re-identification recipe uses.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Zhong et al., Random Erasing Data Augmentation: s_l, s_h and r_1 of section 3.2.
ERASED_AREA = (0.02, 0.4)
ERASED_ASPECT = (0.3, 1 / 0.3)
TRIES = 100
# So many tries are looked at together: nearly always one of the first fits.
TRIES_AT_ONCE = 5
# Values of so many images are worked on together: few enough for a processor's caches as float32, and enough
# for what calling an operation takes to matter little.
VALUES_AT_ONCE = 2**19


@dataclass(frozen=True, slots=True, eq=False)
class AugmentParameters:
    """What happens to each image of a batch, as CPU tensors (batch,): `flip` bool, the others int64.

    The image is padded by `pad` black pixels on every side and cropped to its size at (top, left), both in
    [0, 2 * pad]; then mirrored where `flip`; then a rectangle is erased, none where its height is 0.
    """

    pad: int
    flip: Tensor
    top: Tensor
    left: Tensor
    erase_top: Tensor
    erase_left: Tensor
    erase_height: Tensor
    erase_width: Tensor


def draw(
    batch: int, height: int, width: int, *, flip: float, pad: int, erasing: float, seed: int, step: int
) -> AugmentParameters:
    """The parameters of one batch, a pure function of the arguments.

    flip, erasing: probabilities; pad: pixels. The same uniforms are drawn whatever the settings, so two
    recipes that differ in one of them agree in the others. InputError where a setting is out of range.
    """
    problems = [
        f"augmentation.{name}: {value} is not a probability. Use 0 to 1."
        for name, value in (("flip", flip), ("erasing", erasing))
        if not 0 <= value <= 1
    ]
    if pad < 0:
        problems.append(f"augmentation.pad: {pad} is too small. Use 0 or more pixels.")
    if problems:
        raise InputError(*problems)
    random = generator(seed, "augmentation", step)
    flips, tops, lefts, erased = random.random((4, batch))
    places = _rectangles(random.random((4, batch, TRIES)), height, width)
    places *= erased < erasing
    return AugmentParameters(
        pad,
        torch.from_numpy(flips < flip),
        torch.from_numpy((tops * (2 * pad + 1)).astype(np.int64)),
        torch.from_numpy((lefts * (2 * pad + 1)).astype(np.int64)),
        *(torch.from_numpy(place) for place in places),
    )


def _rectangles(uniforms: np.ndarray, height: int, width: int) -> np.ndarray:
    """Rectangles to erase, int64 (4, batch): top, left, height, width; zeros where no try fits.

    Each of the tries draws an area, an aspect ratio and a place; the first that fits counts.
    Source: Zhong et al., Random Erasing Data Augmentation, Algorithm 1.
    """
    _, batch, tries = uniforms.shape
    places = np.zeros((4, batch), dtype=np.int64)
    without = np.arange(batch)
    for first in range(0, tries, TRIES_AT_ONCE):
        tried, fits = _tried(uniforms[:, without, first : first + TRIES_AT_ONCE], height, width)
        found, column = fits.any(axis=1), fits.argmax(axis=1)
        places[:, without[found]] = tried[:, found, column[found]]
        without = without[~found]
        if not len(without):
            break
    return places


def _tried(uniforms: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The rectangles of some tries, int64 (4, batch, tries), and which of them fit, bool (batch, tries)."""
    areas = (ERASED_AREA[0] + uniforms[0] * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
    aspects = ERASED_ASPECT[0] + uniforms[1] * (ERASED_ASPECT[1] - ERASED_ASPECT[0])
    heights = np.rint(np.sqrt(areas * aspects)).astype(np.int64)
    widths = np.rint(np.sqrt(areas / aspects)).astype(np.int64)
    fits = (heights >= 1) & (heights < height) & (widths >= 1) & (widths < width)
    tops = (uniforms[2] * (height - heights + 1)).astype(np.int64)
    lefts = (uniforms[3] * (width - widths + 1)).astype(np.int64)
    return np.stack([tops, lefts, heights, widths]), fits


def normalise(images: Tensor) -> Tensor:
    """uint8 (batch, 3, height, width) in [0, 255] to float32 of ImageNet's mean and deviation.

    A subtraction, then a product by a constant: every device rounds both alike.

    >>> black = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    >>> [round(value, 3) for value in normalise(black).flatten().tolist()]
    [-2.118, -2.036, -1.804]
    """
    _check_pixels(images)
    mean, scale = _statistics(images.device)
    return images.to(torch.float32).sub_(mean).mul_(scale)


def _check_pixels(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise InputError(
            f"images: expected uint8 (batch, 3, height, width), not {images.dtype} {images.shape}."
        )


@functools.lru_cache(maxsize=16)
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """What is subtracted from pixels, and what they are then multiplied by; copied to a device once."""
    mean = torch.tensor([255 * value for value in MEAN]).view(3, 1, 1)
    scale = torch.tensor([1 / (255 * value) for value in STD]).view(3, 1, 1)
    return mean.to(device), scale.to(device)


def augment(
    images: Tensor, parameters: AugmentParameters, layout: torch.memory_format = torch.channels_last
) -> Tensor:
    """Apply `parameters` to uint8 images (batch, 3, height, width) on any device and normalise them.

    Returns float32 of the same shape on the same device, in memory as `layout` says. Padding is black before
    normalisation; erased pixels are ImageNet's mean, which is 0 after it.
    """
    _check_pixels(images)
    apply = _by_slices if images.device.type == "cpu" else _by_indices
    return apply(images, parameters, layout)


def _by_slices(images: Tensor, parameters: AugmentParameters, layout: torch.memory_format) -> Tensor:
    """`augment` on a processor: a few images at a time, by copies of what stays of each."""
    height, width = images.shape[2:]
    moves = _moves(parameters)
    mean, scale = _statistics(images.device)
    result = torch.empty(images.shape, memory_format=layout)
    count = max(1, VALUES_AT_ONCE // (3 * height * width))
    # Planes are worked on where they are contiguous: in the result, or beside it.
    planes = result.is_contiguous()
    values = torch.empty((0 if planes else count, 3, height, width))
    for begin in range(0, len(images), count):
        part = result[begin : begin + count] if planes else values[: len(images) - begin]
        some = list(zip(part, images[begin : begin + count], moves[begin : begin + count], strict=True))
        if parameters.pad:
            part.zero_()  # black
        for target, image, move in some:
            _crop(target, image.flip(2) if move.flip else image, move.down, move.right)
        part.sub_(mean).mul_(scale)
        for target, _, move in some:
            if move.erased:
                target[move.erased] = 0.0
        if not planes:
            result[begin : begin + count] = part
    return result


class _Move(NamedTuple):
    """What happens to one image: whether it is mirrored; by how much it is then moved against its frame; the
    part of the frame that is erased."""

    flip: bool
    down: int
    right: int
    erased: tuple[slice, ...] | None


def _moves(parameters: AugmentParameters) -> list[_Move]:
    """A mirrored image is moved to the other side, for which it is the image before the crop that is
    mirrored."""
    pad, erased = parameters.pad, []
    names = ("erase_top", "erase_left", "erase_height", "erase_width")
    for top, left, rows, columns in zip(*(getattr(parameters, name).tolist() for name in names), strict=True):
        frame = (slice(None), slice(top, top + rows), slice(left, left + columns))
        erased.append(frame if rows else None)
    flips, tops, lefts = (part.tolist() for part in (parameters.flip, parameters.top, parameters.left))
    sides = (left - pad if flip else pad - left for flip, left in zip(flips, lefts, strict=True))
    return [_Move(*move) for move in zip(flips, (pad - top for top in tops), sides, erased, strict=True)]


def _crop(target: Tensor, image: Tensor, down: int, right: int) -> None:
    """Copy what stays within its frame of an image (3, height, width) that is moved."""
    height, width = image.shape[1:]
    rows, columns = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    from_rows = slice(max(-down, 0), height - max(down, 0))
    from_columns = slice(max(-right, 0), width - max(right, 0))
    if rows.start < rows.stop and columns.start < columns.stop:
        target[:, rows, columns] = image[:, from_rows, from_columns]


def _by_indices(images: Tensor, parameters: AugmentParameters, layout: torch.memory_format) -> Tensor:
    """`augment` on a GPU: the place of every pixel is looked up, in few kernels for the whole batch.

    What happens to the rows and columns of each image travels in one copy that nothing waits for.
    """
    batch, channels, height, width = images.shape
    packed = _packed(parameters, height, width)
    if images.is_cuda:
        packed = packed.pin_memory()
    taken, kept = packed.to(images.device, non_blocking=True)
    sources = taken[:, :height, None] + taken[:, None, height:]
    gathered = images.reshape(batch, channels, -1).gather(
        2, sources.clamp(min=0).view(batch, 1, -1).expand(-1, channels, -1)
    )
    moved = gathered.view_as(images).masked_fill_((sources < 0)[:, None], 0)
    mean, scale = _statistics(images.device)
    result = torch.empty(images.shape, device=images.device, memory_format=layout)
    result.copy_(moved).sub_(mean).mul_(scale)
    erased = (kept[:, :height, None] + kept[:, None, height:]) == 0
    return result.masked_fill_(erased[:, None], 0.0)


def _packed(parameters: AugmentParameters, height: int, width: int) -> Tensor:
    """int64 (2, batch, height + width): for each row and column of a result, where in the image's memory it
    comes from, very negative for the margin; and 0 where it crosses the rectangle that is erased."""
    rows = np.arange(height) + (parameters.top.numpy()[:, None] - parameters.pad)
    across = np.where(parameters.flip.numpy()[:, None], np.arange(width)[::-1], np.arange(width))
    columns = across + (parameters.left.numpy()[:, None] - parameters.pad)
    outside = -2 * height * width
    packed = np.empty((2, len(rows), height + width), dtype=np.int64)
    packed[0, :, :height] = np.where((rows >= 0) & (rows < height), rows * width, outside)
    packed[0, :, height:] = np.where((columns >= 0) & (columns < width), columns, outside)
    for part, begin, length in (
        (packed[1, :, :height], parameters.erase_top, parameters.erase_height),
        (packed[1, :, height:], parameters.erase_left, parameters.erase_width),
    ):
        first, count = begin.numpy()[:, None], length.numpy()[:, None]
        place = np.arange(part.shape[1])
        part[:] = (place < first) | (place >= first + count)
    return torch.from_numpy(packed)
