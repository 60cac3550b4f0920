"""Random features, files of them, and a naive search to compare with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoreid.gallery.feature_files import FeatureWriter, Origin
from autoreid.gallery.images import ImageFile, Said
from autoreid.whole_files import output_file
from search_spaces.published import PUBLISHED

ORIGIN = Origin("ab" * 32, PUBLISHED["cdnet-top1"].to_json(), 64, 32, False, "fp32")
ON_CPU = ("--device", "cpu", "--threads", "1")


def random_features(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Features of length 1, float32."""
    found = np.random.default_rng(seed).standard_normal((count, dimension))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def write_features(
    path: Path, features: np.ndarray, *, origin: Origin = ORIGIN, prefix: str = "", people: int = 7
) -> Path:
    """A file of features of images that nobody needs to look at."""
    images = [
        ImageFile(f"{prefix}{number:07}.jpg", "/nowhere", Said(number % people + 1, number % 3 + 1))
        for number in range(len(features))
    ]
    with output_file(path) as file, FeatureWriter(file, origin, features.shape[1]) as writer:
        writer.add(images, features)
    return path


def naive(queries: np.ndarray, gallery: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and distances of the nearest, one pair at a time, ties by row."""
    rows, distances = [], []
    for query in queries.astype(float):
        every = sorted(
            (float(np.sqrt(((image - query) ** 2).sum())), row)
            for row, image in enumerate(gallery.astype(float))
        )[:top]
        rows.append([row for _, row in every])
        distances.append([distance for distance, _ in every])
    return np.array(rows), np.array(distances)
