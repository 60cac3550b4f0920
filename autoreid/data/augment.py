"""Random flip, pad-and-crop and random erasing for whole batches, on the device of the images.

The parameters are drawn on the CPU from (seed, step); applying them is index arithmetic. Neither the number
of workers nor the device can therefore change a batch.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    areas = (ERASED_AREA[0] + uniforms[0] * (ERASED_AREA[1] - ERASED_AREA[0])) * height * width
    aspects = ERASED_ASPECT[0] + uniforms[1] * (ERASED_ASPECT[1] - ERASED_ASPECT[0])
    heights = np.rint(np.sqrt(areas * aspects)).astype(np.int64)
    widths = np.rint(np.sqrt(areas / aspects)).astype(np.int64)
    fits = (heights >= 1) & (heights < height) & (widths >= 1) & (widths < width)
    tops = (uniforms[2] * (height - heights + 1)).astype(np.int64)
    lefts = (uniforms[3] * (width - widths + 1)).astype(np.int64)
    first = fits.argmax(axis=1)[:, None]
    found = np.take_along_axis(fits, first, axis=1)
    chosen = (np.take_along_axis(values, first, axis=1) * found for values in (tops, lefts, heights, widths))
    return np.concatenate(list(chosen), axis=1).T.copy()


def normalise(images: Tensor) -> Tensor:
    """uint8 (batch, 3, height, width) in [0, 255] to float32 of ImageNet's mean and deviation.

    A subtraction, then a product by a constant: every device rounds both alike.

    >>> black = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
    >>> [round(value, 3) for value in normalise(black).flatten().tolist()]
    [-2.118, -2.036, -1.804]
    """
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise InputError(
            f"images: expected uint8 (batch, 3, height, width), not {images.dtype} {images.shape}."
        )
    mean = torch.tensor([255 * value for value in MEAN], device=images.device).view(3, 1, 1)
    scale = torch.tensor([1 / (255 * value) for value in STD], device=images.device).view(3, 1, 1)
    return images.to(torch.float32).sub_(mean).mul_(scale)


def augment(images: Tensor, parameters: AugmentParameters) -> Tensor:
    """Apply `parameters` to uint8 images (batch, 3, height, width) on any device and normalise them.

    Returns float32 of the same shape on the same device. Padding is black before normalisation; erased
    pixels are ImageNet's mean, which is 0 after it.
    """
    height, width = images.shape[2:]
    device = images.device
    flip, top, left = (
        part.to(device)[:, None] for part in (parameters.flip, parameters.top, parameters.left)
    )
    rows = torch.arange(height, device=device) + top - parameters.pad
    columns = torch.arange(width, device=device).expand(len(images), width)
    sources = torch.where(flip, width - 1 - columns, columns) + left - parameters.pad
    moved = _take(_take(images, rows, 2), sources, 3)
    result = normalise(moved)
    return result.masked_fill_(_erased(parameters, height, width, device)[:, None], 0.0)


def _take(images: Tensor, sources: Tensor, dim: int) -> Tensor:
    """Rows (dim 2) or columns (dim 3) of each image by its own list (batch, length); black outside."""
    length = images.shape[dim]
    shape = (len(images), 1, -1, 1) if dim == 2 else (len(images), 1, 1, -1)
    index = sources.clamp(0, length - 1).view(shape).expand_as(images)
    inside = ((sources >= 0) & (sources < length)).view(shape)
    return images.gather(dim, index) * inside


def _erased(parameters: AugmentParameters, height: int, width: int, device: torch.device) -> Tensor:
    """Which pixels are erased: bool (batch, height, width)."""

    def between(start: Tensor, length: Tensor, size: int) -> Tensor:
        first, count = start.to(device)[:, None], length.to(device)[:, None]
        place = torch.arange(size, device=device)
        return (place >= first) & (place < first + count)

    rows = between(parameters.erase_top, parameters.erase_height, height)
    columns = between(parameters.erase_left, parameters.erase_width, width)
    return rows[:, :, None] & columns[:, None, :]
