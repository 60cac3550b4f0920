"""Augmentation of whole batches against a literal loop over images."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from autoreid.data.augment import (
    MEAN,
    STD,
    AugmentParameters,
    _by_indices,
    _by_slices,
    _rectangles,
    augment,
    draw,
    normalise,
)
from autoreid.errors import InputError


def literal(images: Tensor, parameters: AugmentParameters) -> np.ndarray:
    """Pad, crop, mirror, normalise and erase, one image after another, in float64."""
    batch, _, height, width = images.shape
    result = np.zeros(images.shape)
    for one in range(batch):
        pad = parameters.pad
        padded = np.pad(images[one].numpy(), ((0, 0), (pad, pad), (pad, pad)))
        top, left = int(parameters.top[one]), int(parameters.left[one])
        cropped = padded[:, top : top + height, left : left + width]
        if parameters.flip[one]:
            cropped = cropped[:, :, ::-1]
        for channel in range(3):
            result[one, channel] = (cropped[channel] / 255 - MEAN[channel]) / STD[channel]
        first, start = int(parameters.erase_top[one]), int(parameters.erase_left[one])
        for row in range(first, first + int(parameters.erase_height[one])):
            for column in range(start, start + int(parameters.erase_width[one])):
                result[one, :, row, column] = 0
    return result


def some_images(batch: int = 12, height: int = 17, width: int = 9) -> Tensor:
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (batch, 3, height, width), dtype=np.uint8))


@pytest.mark.parametrize("pad", [0, 3, 20])
@pytest.mark.parametrize(("flip", "erasing"), [(0.5, 0.5), (1.0, 1.0), (0.0, 0.0)])
def test_the_batch_equals_the_loop(pad: int, flip: float, erasing: float) -> None:
    images = some_images()
    before = images.clone()
    for step in range(4):
        parameters = draw(12, 17, 9, flip=flip, pad=pad, erasing=erasing, seed=1, step=step)
        found = augment(images, parameters)
        assert found.dtype == torch.float32
        assert found.shape == images.shape
        np.testing.assert_allclose(found.numpy(), literal(images, parameters), atol=2e-6)
    assert torch.equal(images, before)


def test_with_everything_off_it_is_the_normalised_batch() -> None:
    images = some_images()
    parameters = draw(12, 17, 9, flip=0, pad=0, erasing=0, seed=1, step=0)
    assert torch.equal(augment(images, parameters), normalise(images))


def test_erased_pixels_are_exactly_zero_and_padding_is_black() -> None:
    images = torch.full((4, 3, 16, 8), 255, dtype=torch.uint8)
    found = augment(images, draw(4, 16, 8, flip=0, pad=0, erasing=1, seed=0, step=0))
    assert ((found == 0).flatten(1).sum(1) > 0).all()
    far = augment(images, draw(4, 16, 8, flip=0, pad=200, erasing=0, seed=0, step=0))
    black = normalise(torch.zeros(1, 3, 1, 1, dtype=torch.uint8)).flatten()
    assert torch.equal(far[0, :, 0, 0], black)


def test_memory_layout_and_single_images_do_not_matter() -> None:
    images = some_images()
    parameters = draw(12, 17, 9, flip=0.5, pad=3, erasing=0.5, seed=1, step=0)
    expected = augment(images, parameters)
    strided = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert torch.equal(augment(strided, parameters), expected)
    alone = draw(1, 17, 9, flip=0.5, pad=3, erasing=1, seed=1, step=0)
    np.testing.assert_allclose(augment(images[:1], alone).numpy(), literal(images[:1], alone), atol=2e-6)


def test_parameters_depend_on_seed_and_step_alone() -> None:
    def drawn(seed: int, step: int, threads: int = 1) -> list[list[int]]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        torch.manual_seed(step + threads)
        np.random.default_rng()
        found = draw(32, 64, 32, flip=0.5, pad=10, erasing=0.5, seed=seed, step=step)
        torch.set_num_threads(before)
        return [part.tolist() for part in (found.flip, found.top, found.left, found.erase_height)]

    assert drawn(3, 7) == drawn(3, 7, threads=2)
    assert drawn(3, 7) != drawn(3, 8)
    assert drawn(3, 7) != drawn(4, 7)


def test_golden_parameters() -> None:
    found = draw(4, 64, 32, flip=0.5, pad=10, erasing=0.5, seed=1, step=2)
    assert found.flip.tolist() == [True, True, False, True]
    assert found.top.tolist() == [5, 18, 4, 4]
    assert found.left.tolist() == [20, 19, 11, 3]
    assert found.erase_top.tolist() == [0, 15, 0, 0]
    assert found.erase_left.tolist() == [0, 2, 0, 0]
    assert found.erase_height.tolist() == [0, 27, 0, 0]
    assert found.erase_width.tolist() == [0, 19, 0, 0]


def test_switching_one_off_leaves_the_others() -> None:
    full = draw(32, 64, 32, flip=0.5, pad=10, erasing=0.5, seed=0, step=0)
    plain = draw(32, 64, 32, flip=0.5, pad=10, erasing=0.0, seed=0, step=0)
    assert torch.equal(full.flip, plain.flip)
    assert torch.equal(full.top, plain.top)
    assert not plain.erase_height.any()


def test_the_draws_have_the_distributions_they_name() -> None:
    found = draw(20_000, 256, 128, flip=0.3, pad=4, erasing=0.5, seed=0, step=0)
    assert abs(found.flip.double().mean() - 0.3) < 0.02
    for offsets in (found.top, found.left):
        counts = torch.bincount(offsets, minlength=9)
        assert len(counts) == 9
        assert (abs(counts - 20_000 / 9) < 240).all()
    erased = found.erase_height > 0
    assert abs(erased.double().mean() - 0.5) < 0.02
    area = (found.erase_height * found.erase_width)[erased].double() / (256 * 128)
    aspect = found.erase_height[erased].double() / found.erase_width[erased]
    assert 0.019 < area.min() < 0.03 < 0.38 < area.max() < 0.405
    assert 0.28 < aspect.min() < 0.36 < 2.9 < aspect.max() < 3.6
    assert (found.erase_top + found.erase_height <= 256).all()
    assert (found.erase_left + found.erase_width <= 128).all()


def test_a_rectangle_is_the_first_try_that_fits() -> None:
    height, width = 12, 40
    uniforms = np.random.default_rng(3).random((4, 200, 5))
    found = _rectangles(uniforms, height, width)
    empty = 0
    for one in range(200):
        expected = (0, 0, 0, 0)
        for area_u, aspect_u, top_u, left_u in uniforms[:, one].T:
            area = (0.02 + 0.38 * area_u) * height * width
            aspect = 0.3 + (1 / 0.3 - 0.3) * aspect_u
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < h < height and 0 < w < width:
                expected = (int(top_u * (height - h + 1)), int(left_u * (width - w + 1)), h, w)
                break
        empty += expected[2] == 0
        assert tuple(found[:, one]) == expected
    assert empty > 0


def test_settings_out_of_range_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        draw(4, 16, 8, flip=1.5, pad=-1, erasing=float("nan"), seed=0, step=0)
    assert len(caught.value.problems) == 3


def test_images_that_are_not_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="expected uint8"):
        normalise(torch.zeros(1, 3, 4, 4))
    with pytest.raises(InputError, match="expected uint8"):
        normalise(torch.zeros(1, 4, 4, 3, dtype=torch.uint8))


@pytest.mark.gpu
def test_the_device_does_not_matter() -> None:
    images = some_images(64, 128, 64)
    parameters = draw(64, 128, 64, flip=0.5, pad=10, erasing=0.5, seed=1, step=0)
    assert torch.equal(augment(images.cuda(), parameters).cpu(), augment(images, parameters))


@pytest.mark.parametrize("apply", [_by_slices, _by_indices])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_both_ways_give_the_same_bits(apply: Callable[..., Tensor], layout: torch.memory_format) -> None:
    """A processor's way and a GPU's, for sizes that fill a part, and parts of more than one image."""
    for batch, height, width in ((3, 256, 128), (40, 64, 32), (5, 1, 1), (6, 3, 40)):
        images = some_images(batch, height, width)
        for pad in (0, 3, 300):
            parameters = draw(batch, height, width, flip=0.5, pad=pad, erasing=0.8, seed=1, step=pad)
            found = apply(images, parameters, layout)
            assert found.is_contiguous(memory_format=layout)
            np.testing.assert_allclose(found.numpy(), literal(images, parameters), atol=2e-6)
            assert torch.equal(found, augment(images, parameters))
