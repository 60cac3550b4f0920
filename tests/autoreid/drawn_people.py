"""Small networks and made-up crowds, and pictures taken apart."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from autoreid.data.index import ImageIndex
from autoreid.evaluation.features import Features
from autoreid.models.assembly import ReIDModel, build_network, initialise
from autoreid.recipes import Neck
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED

TINY = Macro(channels=4, layers=(1, 1, 1, 1), width_multiplier=0.25)


def model_of(neck: Neck | None = None, identities: int = 8) -> ReIDModel:
    model = build_network(PUBLISHED["cdnet-top1"], neck or Neck(), identities, TINY)
    initialise(model, torch.Generator().manual_seed(0))
    return model.eval()


def index_of(rows: list[tuple[str, int, int]]) -> ImageIndex:
    """An index of (split, identity, camera), in the order of the names that it gives them."""
    names = tuple(
        f"{split}/{number:03}_{who}_c{camera}.jpg" for number, (split, who, camera) in enumerate(rows)
    )
    order = np.argsort(names, kind="stable")
    arrays = (np.array([row[i] for row in rows])[order] for i in (1, 2, 0))
    identities, cameras, splits = arrays
    return ImageIndex(Path("nowhere"), tuple(sorted(names)), identities, cameras, splits)


def of_index(index: ImageIndex, seed: int = 0, dim: int = 6) -> Features:
    random = np.random.default_rng(seed)
    parts: dict[str, Any] = {}
    for side in ("query", "gallery"):
        rows = index.rows(side)
        parts[f"{side}_features"] = random.normal(size=(len(rows), dim)).astype(np.float32)
        parts |= {f"{side}_ids": index.identities[rows], f"{side}_cameras": index.cameras[rows]}
    return Features(**parts)


def pixels_of(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "RGB")
    return np.asarray(image)


def places_of(picture: np.ndarray, image: np.ndarray) -> list[tuple[int, int]]:
    """Where an image, (3, height, width), stands in a picture: (x, y) of its upper left corner."""
    wanted = image.transpose(1, 2, 0)
    high, wide = wanted.shape[:2]
    starts = np.argwhere((picture[: -high + 1, : -wide + 1] == wanted[0, 0]).all(2))
    return [(x, y) for y, x in starts.tolist() if (picture[y : y + high, x : x + wide] == wanted).all()]
