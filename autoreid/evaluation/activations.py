"""Activation maps: where in an image the stages of a network respond.

Source: CDNet, Fig. 6, the last feature maps of the stages; the L2 norm over channels is that of Zagoruyko and
Komodakis (2017), Paying more attention to attention.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from autoreid.data.augment import normalise
from autoreid.data.index import ImageIndex
from autoreid.data.views import Images
from autoreid.errors import DivergedError, InputError
from autoreid.evaluation import canvas
from autoreid.evaluation.canvas import GAP, LINE, MARGIN, SMALL
from autoreid.models.assembly import ReIDModel

# Viridis (Smith and van der Walt, CC0) at seventeen even steps: its lightness rises evenly, in grey too.
HEAT = np.array(
    [
        (68, 1, 84),
        (72, 24, 106),
        (71, 45, 123),
        (66, 64, 134),
        (59, 82, 139),
        (51, 99, 141),
        (44, 114, 142),
        (38, 130, 142),
        (33, 145, 140),
        (31, 160, 136),
        (40, 174, 128),
        (63, 188, 115),
        (94, 201, 98),
        (132, 212, 75),
        (173, 220, 48),
        (216, 226, 25),
        (253, 231, 37),
    ],
    dtype=np.float64,
)
STRENGTH = 0.6  # of the colours over the image
WIDEST = 960
BAR = 90
BETWEEN = 12


def stage_maps(model: ReIDModel, pixels: np.ndarray, device: torch.device | str) -> list[np.ndarray]:
    """The response of every stage: the L2 norm over the channels of its last map, each image's least value
    at 0 and its largest at 1; float32 (images, h, w) of each stage, 0 where a map is even.

    pixels: uint8 (images, 3, height, width). The model is on the device. Raises DivergedError for maps that
    are not finite.
    """
    found: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        found.append(_norms(output))

    model.eval()
    images = normalise(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
    stages = model.backbone.stages()
    with contextlib.ExitStack() as hooks, torch.inference_mode():
        for stage in stages:
            hooks.callback(stage.register_forward_hook(keep).remove)
        maps = model.backbone(images)
        if not stages:
            found = [_norms(maps.middle), _norms(maps.last)]
    if not all(bool(map_.isfinite().all()) for map_ in found):
        raise DivergedError(
            "activation maps: NaN or infinite. These weights are not usable: take an earlier checkpoint."
        )
    return [_spread(map_).cpu().numpy() for map_ in found]


def _norms(maps: Tensor) -> Tensor:
    return maps.float().norm(dim=1)


def _spread(norms: Tensor) -> Tensor:
    """From 0 to 1 over each image's positions."""
    low, high = norms.amin((1, 2), keepdim=True), norms.amax((1, 2), keepdim=True)
    return (norms - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)


def heat(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1, of any shape, as colours, uint8 (..., 3).

    >>> heat(np.array([0.0, 1.0])).tolist()
    [[68, 1, 84], [253, 231, 37]]
    """
    steps = np.linspace(0, 1, len(HEAT))
    colours = [np.interp(values, steps, HEAT[:, channel]) for channel in range(3)]
    return np.stack(colours, axis=-1).round().astype(np.uint8)


def overlaid(pixels: np.ndarray, values: np.ndarray) -> Image.Image:
    """An image of the data, uint8 (3, height, width), as it is shown, under the colours of a map (h, w)."""
    below = canvas.shown(pixels)
    large = Image.fromarray(values.astype(np.float32)).resize(below.size, Image.Resampling.BILINEAR)
    return Image.blend(below, Image.fromarray(heat(np.asarray(large))), STRENGTH)


def draw_activations(
    model: ReIDModel,
    images: Images,
    index: ImageIndex,
    rows: np.ndarray,
    *,
    device: torch.device | str,
    stages: Sequence[int] = (),
) -> bytes:
    """Some images and the maps of the network's stages over them, as PNG.

    rows: the images' rows in the data set. stages: numbers of those that are wanted, from 1; all of them
    where none is named. InputError for a stage that the network has not; DivergedError as `stage_maps`.
    """
    pixels = np.asarray(images[rows])
    maps = stage_maps(model, pixels, device)
    wanted = list(dict.fromkeys(stages)) or list(range(1, len(maps) + 1))
    alien = [stage for stage in wanted if not 1 <= stage <= len(maps)]
    if alien:
        raise InputError(*(f"--stage {stage}: the network's stages are 1 to {len(maps)}." for stage in alien))
    groups = [
        [canvas.shown(image), *(overlaid(image, maps[stage - 1][number]) for stage in wanted)]
        for number, image in enumerate(pixels)
    ]
    words = [f"identity {index.identities[row]}, c{index.cameras[row]}" for row in rows.tolist()]
    return _sheet(groups, ["image", *(f"stage {stage}" for stage in wanted)], words)


def _sheet(groups: Sequence[Sequence[Image.Image]], headings: Sequence[str], words: Sequence[str]) -> bytes:
    """Groups of pictures of one size with their headings above and words below, some beside one another."""
    wide, high = groups[0][0].size
    step = max(wide, *(canvas.text_width(heading, SMALL) for heading in headings)) + GAP
    group = len(headings) * step + BETWEEN
    columns = min(len(groups), max(1, (WIDEST - 2 * MARGIN) // group))
    row = 2 * LINE + high + BETWEEN
    size = max(2 * MARGIN + columns * group - BETWEEN, 560), -(-len(groups) // columns) * row
    picture, pen = canvas.sheet(size[0], size[1] + 2 * MARGIN + 2 * LINE)
    bar = heat(np.tile(np.linspace(0, 1, BAR), (LINE - 5, 1)))
    picture.paste(Image.fromarray(bar), (MARGIN + 24, MARGIN + 3))
    canvas.write(pen, MARGIN, MARGIN, "low", SMALL, canvas.QUIET)
    legend = "high: norm over the channels of a stage's last map, from each map's least to its largest value"
    canvas.write(pen, MARGIN + 24 + BAR + 6, MARGIN, legend, SMALL, canvas.QUIET)
    for number, pictures in enumerate(groups):
        left = MARGIN + (number % columns) * group
        top = MARGIN + 2 * LINE + (number // columns) * row
        for place, (heading, each) in enumerate(zip(headings, pictures, strict=True)):
            canvas.write(pen, left + place * step, top, heading, SMALL)
            picture.paste(each, (left + place * step, top + LINE))
        canvas.write(pen, left, top + LINE + high + 2, words[number], SMALL, canvas.QUIET)
    return canvas.png(picture)
