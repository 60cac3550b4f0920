"""What can be wrong with the arrays of an evaluation. Every check returns its problems, one line each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from autoreid.words import counted

JUNK, DISTRACTOR = -1, 0
LARGEST, SMALLEST = 1e150, 1e-150  # beyond these a float64 square overflows, or vanishes


def label_problems(arrays: Mapping[str, np.ndarray], side: str, count: int | None) -> list[str]:
    """Problems of the identities and cameras of one side, "query" or "gallery", as far as they are there.

    count: images on that side; None where it is unknown.

    >>> label_problems({"query_ids": np.array([4, 5, 6]), "query_cameras": np.array([1, 2])}, "query", 3)
    ['query_cameras: 2 entries for 3 query images. Give one for each image.']
    """
    problems = []
    for name in (f"{side}_ids", f"{side}_cameras"):
        if name not in arrays:
            continue
        labels = arrays[name]
        if labels.ndim != 1:
            problems.append(f"{name}: shape {labels.shape} is not a list. Give one number for each image.")
        elif count is not None and len(labels) != count:
            problems.append(
                f"{name}: {counted(len(labels), 'entry', 'entries')} for {counted(count, f'{side} image')}. "
                "Give one for each image."
            )
        if not np.issubdtype(labels.dtype, np.integer):
            problems.append(f"{name}: type {labels.dtype} is not an integer type. Give whole numbers.")
        elif name.endswith("_ids"):
            problems += _identity_problems(side, labels.ravel())
    return problems


def _identity_problems(side: str, ids: np.ndarray) -> list[str]:
    wrong = np.flatnonzero(ids <= DISTRACTOR if side == "query" else ids < JUNK)
    if not wrong.size:
        return []
    return [
        f"{side}_ids: {wrong.size} of {len(ids)} cannot be the identity of a {side} image, the first is "
        f"{ids[wrong[0]]} at row {wrong[0]}. Number people from 1; in the gallery {DISTRACTOR} is a "
        f"distractor and {JUNK} is junk."
    ]


def matrix_problems(name: str, array: np.ndarray, axes: str) -> list[str]:
    """Problems of a matrix of numbers: its type, its axes, an empty axis.

    >>> matrix_problems("distance", np.zeros(3), "(queries, gallery images)")
    ['distance: shape (3,) is not a matrix. Give (queries, gallery images).']
    """
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        return [f"{name}: type {array.dtype} is not a real number type. Give float32 or float64."]
    if array.ndim != 2:
        return [f"{name}: shape {array.shape} is not a matrix. Give {axes}."]
    if not array.size:
        return [f"{name}: empty, shape {array.shape}. Give at least one row and one column."]
    return []


def nan_problems(distance: np.ndarray) -> list[str]:
    """A NaN has no rank. Infinite distances have one: they come last."""
    if not np.isnan(distance.min()):  # one fast pass, without a mask as large as the matrix
        return []
    rows = np.flatnonzero(np.isnan(distance.min(axis=1)))
    where = [np.flatnonzero(np.isnan(distance[row])) for row in rows]
    return [
        f"distance: {sum(map(len, where))} of {distance.size} values are NaN, the first at row {rows[0]}, "
        f"column {where[0][0]}. Look for NaN in the features they come from."
    ]


def value_problems(name: str, features: np.ndarray, normalise: bool) -> list[str]:
    """Rows of a feature matrix that have no distance: NaN, infinite, or zero and to be normalised.

    >>> value_problems("query_features", np.array([[1.0, np.nan]]), normalise=True)
    ['query_features: 1 of 2 values are NaN or infinite, the first at row 0, column 1. Compute them again.']
    """
    low, high = features.min(axis=1).astype(np.float64), features.max(axis=1).astype(np.float64)
    peaks = np.maximum(-low, high)  # NaN where a row holds one
    broken = np.flatnonzero(~np.isfinite(peaks))
    if broken.size:
        where = [np.flatnonzero(~np.isfinite(features[row])) for row in broken]
        return [
            f"{name}: {sum(map(len, where))} of {features.size} values are NaN or infinite, the first at row "
            f"{broken[0]}, column {where[0][0]}. Compute them again."
        ]
    if float(peaks.max()) > LARGEST:
        return [f"{name}: the largest value {peaks.max():.3g} has no square in float64. Scale the features."]
    zero = np.flatnonzero(peaks.astype(np.float64) <= SMALLEST)
    if normalise and zero.size:
        return [
            f"{name}: {zero.size} of {len(features)} rows are zero vectors, the first is row {zero[0]}. They "
            "cannot be normalised: leave these images out, or rank without normalising."
        ]
    return []


def feature_problems(arrays: Mapping[str, np.ndarray], normalise: bool) -> list[str]:
    """Everything that keeps features from being ranked; empty where nothing does.

    arrays: query_features, gallery_features (images, dim) and their labels by name. What is missing is not
    judged, and nothing is judged by it.
    """
    problems = []
    shapes: dict[str, tuple[int, ...]] = {}
    for side in ("query", "gallery"):
        name = f"{side}_features"
        if name in arrays:
            found = matrix_problems(name, arrays[name], "(images, dim)")
            problems += found or value_problems(name, arrays[name], normalise)
            if not found:
                shapes[side] = arrays[name].shape
        problems += label_problems(arrays, side, shapes[side][0] if side in shapes else None)
    widths = {side: shape[1] for side, shape in shapes.items()}
    if len(set(widths.values())) == 2:
        problems.append(
            f"gallery_features: {widths['gallery']} entries an image, query_features {widths['query']}. "
            "Take both from one network."
        )
    return problems
