"""Features of some people in two dimensions, by t-SNE.

Source: CDNet, Figs. 7 and 8; van der Maaten and Hinton (2008), Visualizing data using t-SNE.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoreid.errors import InputError, Problems

# What a file may hold, in the order in which it is drawn.
FEATURES = {"f_tri": "f_tri, what the triplet loss sees", "f_fc": "f_fc, what the classifier sees"}
LABELS = ("identities", "cameras")
LEAST_IMAGES, MOST_PEOPLE = 5, 40
PERPLEXITY = 30.0
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Features by name, float (images, dim), with identities and cameras, int64 (images,)."""

    features: Mapping[str, np.ndarray]
    identities: np.ndarray
    cameras: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Points, float64 (images, 2) by the name of the feature; lengths mean nothing beyond one map."""

    points: Mapping[str, np.ndarray]
    identities: np.ndarray
    cameras: np.ndarray
    perplexity: float


def read_people(data: bytes, place: str) -> People:
    """The features of an .npz file, as `autoreid pictures features` writes it.

    InputError, all problems together, each begun with `place`: no such file, missing arrays, lengths that
    differ, values that are not finite, fewer than five images, more than forty people.
    """
    problems = Problems()
    arrays = _arrays(data, place)
    features = {name: arrays[name] for name in FEATURES if name in arrays}
    if not features:
        problems.add(place, f"none of {' and '.join(FEATURES)}. Write it with 'autoreid pictures features'.")
    missing = [name for name in LABELS if name not in arrays]
    problems.extend(f"{place}: {name}: missing. Give a whole number for each image." for name in missing)
    count = len(arrays["identities"]) if "identities" in arrays and arrays["identities"].ndim == 1 else None
    for name in (*features, *(label for label in LABELS if label in arrays)):
        problems.extend(f"{place}: {name}: {text}" for text in _wrong(name, arrays[name], count))
    problems.raise_if_any()
    identities, cameras = (arrays[name].astype(np.int64) for name in LABELS)
    people = len(np.unique(identities))
    if len(identities) < LEAST_IMAGES:
        problems.add(place, f"{len(identities)} images. A map needs {LEAST_IMAGES} or more.")
    if people > MOST_PEOPLE:
        problems.add(place, f"{people} people. No map tells more than {MOST_PEOPLE} apart; choose fewer.")
    problems.raise_if_any()
    return People(features, identities, cameras)


def _arrays(data: bytes, place: str) -> dict[str, np.ndarray]:
    remedy = "Write it with 'autoreid pictures features'."
    if not data.startswith((b"PK", b"\x93NUMPY")):  # numpy takes all else for pickled objects
        raise InputError(f"{place}: not an .npz file. {remedy}")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as members:
            if not isinstance(members, np.lib.npyio.NpzFile):
                raise InputError(f"{place}: a single array, not an .npz file. {remedy}")
            return {name: np.asarray(members[name]) for name in (*FEATURES, *LABELS) if name in members}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{place}: not an .npz file, or damaged ({error}). {remedy}") from None


def _wrong(name: str, array: np.ndarray, count: int | None) -> list[str]:
    """What is wrong with one array, given the number of identities."""
    label = name in LABELS
    dimensions, kinds = (1, "iu") if label else (2, "f")
    if array.ndim != dimensions or array.dtype.kind not in kinds:
        wanted = "whole numbers, (images,)" if label else "floating-point numbers, (images, dim)"
        return [f"{array.dtype} {array.shape}. It must be {wanted}."]
    if count is not None and len(array) != count:
        return [f"{len(array)} images, but identities has {count}. Give one row for each image."]
    broken = 0 if label else int((~np.isfinite(array).all(axis=1)).sum())
    return [f"{broken} of {len(array)} images have NaN or infinite features."] if broken else []


def embed(people: People) -> Embedding:
    """Both features in two dimensions, each on its own. Equal features give equal points.

    The perplexity is 30, or a third of the other images where these are fewer than ninety.
    """
    perplexity = min(PERPLEXITY, (len(people.identities) - 1) / 3)
    points = {name: _two_dimensions(features, perplexity) for name, features in people.features.items()}
    return Embedding(points, people.identities, people.cameras, perplexity)


def _two_dimensions(features: np.ndarray, perplexity: float) -> np.ndarray:
    """Points, float64 (images, 2), about their middle; the larger extent is 1."""
    from sklearn.manifold import TSNE  # deferred: takes a second to load
    from threadpoolctl import threadpool_limits

    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    largest = float(np.abs(centred).max(initial=0.0))
    if largest <= 0.0 or features.shape[1] < 2:
        return _on_a_line(centred)
    settings: dict[str, Any] = {"init": "pca", "learning_rate": "auto", "random_state": SEED}
    with threadpool_limits(1):  # sums in another order would move every point
        found = TSNE(perplexity=perplexity, **settings).fit_transform(centred / largest)
    return _spread(np.asarray(found, dtype=np.float64))


def _on_a_line(centred: np.ndarray) -> np.ndarray:
    """What has no second dimension, or none at all: t-SNE begins with two principal components."""
    line = centred[:, 0] if centred.shape[1] else np.zeros(len(centred))
    return _spread(np.stack([line, np.zeros(len(centred))], axis=1))


def _spread(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max())
    result: np.ndarray = (points - (low + high) / 2) / (extent or 1.0)
    return result
