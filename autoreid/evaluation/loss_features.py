"""The features that the losses see, of some people: what t-SNE draws (CDNet, Figs. 7 and 8)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from autoreid.data.augment import normalise
from autoreid.data.index import ImageIndex
from autoreid.data.views import Images
from autoreid.errors import DivergedError, InputError
from autoreid.models.assembly import ReIDModel

PEOPLE = 8
IMAGES = 100  # of each identity at most, so that the file stays small


def most_seen(index: ImageIndex, count: int = PEOPLE) -> list[int]:
    """The identities with the most images among queries and gallery, of equal ones the lower number first.

    Distractors and junk are nobody.
    """
    seen = index.identities[np.isin(index.splits, ("query", "gallery"))]
    identities, images = np.unique(seen[seen > 0], return_counts=True)
    order = np.argsort(-images, kind="stable")[:count]
    return [int(identity) for identity in identities[order]]


def rows_of(index: ImageIndex, identities: Sequence[int]) -> np.ndarray:
    """Rows of the test images of these identities, one identity after the other: at most `IMAGES` of each,
    evenly among them.

    InputError, all identities together, for those without test images. Distractors and junk are nobody.
    """
    test = np.isin(index.splits, ("query", "gallery")) & (index.identities > 0)
    found = [np.flatnonzero(test & (index.identities == identity)) for identity in identities]
    absent = [identity for identity, rows in zip(identities, found, strict=True) if not len(rows)]
    if not identities:
        raise InputError(f"{index.root}: no query or gallery image shows anyone.")
    if absent:
        known = most_seen(index)
        raise InputError(
            *(f"--identity {identity}: no query or gallery image shows this person." for identity in absent),
            f"--identity: most images show {', '.join(map(str, known)) or 'nobody'}.",
        )
    thinned = (rows[_evenly(len(rows), IMAGES)] for rows in found)
    return np.concatenate(list(thinned))


def _evenly(count: int, most: int) -> np.ndarray:
    """Places among `count`: all, or `most` of them, the first and the last among them."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)


def loss_features(
    model: ReIDModel,
    images: Images,
    rows: np.ndarray,
    *,
    device: torch.device | str,
    batch: int = 128,
) -> dict[str, np.ndarray]:
    """`f_tri`, what the triplet loss sees, and `f_fc`, what the classifier sees: float32 (len(rows), dim).

    Only those that the network's neck has. The model is on the device. DivergedError for features that are
    not finite.
    """
    model.eval()
    parts: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            pixels = torch.from_numpy(np.array(images[rows[start : start + batch]])).to(device)
            for name, features in model.loss_features(normalise(pixels)).items():
                parts.setdefault(name, []).append(features.float().cpu().numpy())
    found = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    broken = [name for name, features in found.items() if not np.isfinite(features).all()]
    if broken:
        raise DivergedError(
            f"features {', '.join(broken)}: NaN or infinite. These weights are not usable: take an earlier "
            "checkpoint."
        )
    return found


def feature_file(
    model: ReIDModel,
    images: Images,
    index: ImageIndex,
    identities: Sequence[int],
    *,
    device: torch.device | str,
    batch: int = 128,
) -> bytes:
    """An .npz file: `f_tri` and `f_fc` of the test images of some people, and their `identities` and
    `cameras`, int64 (images,)."""
    rows = rows_of(index, identities)
    arrays: dict[str, Any] = dict(loss_features(model, images, rows, device=device, batch=batch))
    for name, labels in (("identities", index.identities), ("cameras", index.cameras)):
        arrays[name] = labels[rows].astype(np.int64)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
