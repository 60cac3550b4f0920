"""Features of images by a network, and the scores of a whole data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from torch import Tensor

from autoreid.data.augment import normalise as normalise_pixels
from autoreid.data.views import Images
from autoreid.errors import DivergedError, InputError, unknown

if TYPE_CHECKING:
    from autoreid.data.index import ImageIndex

PRECISIONS = ("fp32", "tf32", "bf16")


class Features(TypedDict):
    """What a ranking is made from, by the names that `rank_features` gives them.

    Features (images, dim); identities and cameras (images,), whole numbers.
    """

    query_features: np.ndarray
    gallery_features: np.ndarray
    query_ids: np.ndarray
    query_cameras: np.ndarray
    gallery_ids: np.ndarray
    gallery_cameras: np.ndarray


def extract(
    embed: Callable[[Tensor], Tensor],
    images: Images,
    rows: np.ndarray,
    *,
    device: torch.device | str,
    batch: int = 128,
    precision: str = "fp32",
    flip: bool = False,
) -> np.ndarray:
    """Features, float32 (len(rows), dim), of the images at `rows`, in their order.

    embed: float images (n, 3, H, W) -> features (n, dim), already in evaluation mode and on the device.
    images: uint8 (images, 3, H, W), may be a memory map; a batch is read at a time.
    precision: "bf16" runs `embed` under autocast; "tf32" is a switch of the process, set by the caller.
    flip: the mean of the features of an image and those of its mirror image, which takes twice as long.
    Raises InputError for a batch size or precision that does not exist, and for no rows; DivergedError for
    features that are not finite.
    """
    _check(rows, batch, precision)
    device = torch.device(device)
    parts = []
    # In inference mode autocast would cast all weights anew for every batch.
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for start in range(0, len(rows), batch):
            taken = rows[start : start + batch]
            pixels = torch.from_numpy(np.array(images[taken])).to(device)
            features = embed(normalise_pixels(pixels)).float()
            if flip:
                features = (features + embed(normalise_pixels(pixels.flip(3))).float()) / 2
            parts.append(features.cpu().numpy())
            _check_finite(parts[-1], taken)
    return np.concatenate(parts)


def of_test_images(
    embed: Callable[[Tensor], Tensor],
    images: Images,
    index: ImageIndex,
    *,
    device: torch.device | str,
    batch: int = 128,
    precision: str = "fp32",
    flip: bool = False,
) -> Features:
    """Features, identities and cameras of queries and gallery.

    Raises InputError for a data set without queries or gallery, and as `extract` does.
    """

    def of_rows(rows: np.ndarray) -> np.ndarray:
        return extract(embed, images, rows, device=device, batch=batch, precision=precision, flip=flip)

    return of_sides(index, of_rows)


def of_sides(index: ImageIndex, of_rows: Callable[[np.ndarray], np.ndarray]) -> Features:
    """Features, identities and cameras of queries and gallery, where `of_rows` gives the features of rows.

    Raises InputError for a data set without queries or gallery.
    """
    rows = {split: index.rows(split) for split in ("query", "gallery")}
    empty = [split for split, taken in rows.items() if not len(taken)]
    if empty:
        raise InputError(*(f"{split}: the data set has no {split} images to rank." for split in empty))
    features = {split: of_rows(taken) for split, taken in rows.items()}
    return Features(
        query_features=features["query"],
        gallery_features=features["gallery"],
        query_ids=index.identities[rows["query"]],
        query_cameras=index.cameras[rows["query"]],
        gallery_ids=index.identities[rows["gallery"]],
        gallery_cameras=index.cameras[rows["gallery"]],
    )


def _check(rows: np.ndarray, batch: int, precision: str) -> None:
    problems = []
    if not len(rows):
        problems.append("rows: empty. Give at least one image.")
    if batch < 1:
        problems.append(f"batch: {batch} is too small. Use 1 or more.")
    if precision not in PRECISIONS:
        problems.append(f"precision: {unknown('precision', precision, PRECISIONS)}")
    if problems:
        raise InputError(*problems)


def _check_finite(features: np.ndarray, rows: np.ndarray) -> None:
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if broken.size:
        raise DivergedError(
            f"features: {broken.size} of {len(rows)} images of a batch have NaN or infinite features, the "
            f"first is row {rows[broken[0]]} of the data set. These weights are not usable: take an earlier "
            "checkpoint, or train with a lower learning rate."
        )
