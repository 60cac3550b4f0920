"""Queries and gallery of a file of features, for an evaluation. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoreid.errors import InputError
from autoreid.gallery.feature_files import FeatureFile
from autoreid.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = ("query", "gallery")


def sides_of(file: FeatureFile) -> dict[str, Any]:
    """The arrays that `rank_features` takes, by name, of the images whose split is query or gallery.

    InputError where there are none of a side: their layout did not say it when they were embedded; and for
    images of either without identity or camera.
    """
    labels = file.labels()
    splits = np.array(labels["split"].to_pylist(), dtype=object)
    rows = {side: np.flatnonzero(splits == side) for side in SIDES}
    missing = [side for side in SIDES if not len(rows[side])]
    if missing:
        raise InputError(
            f"{file.path}: no image of the split {' and '.join(missing)}. Embed the folder of a whole data "
            "set, or an index file with the column split."
        )
    columns = {name: labels[name] for name in ("identity", "camera")}
    _check_known(file, columns, np.concatenate(list(rows.values())))
    features = np.concatenate(list(file.blocks()))
    found: dict[str, Any] = {}
    for side, taken in rows.items():
        found[f"{side}_features"] = features[taken]
        found[f"{side}_ids"] = columns["identity"].take(taken).to_numpy()
        found[f"{side}_cameras"] = columns["camera"].take(taken).to_numpy()
    return found


def _check_known(file: FeatureFile, columns: dict[str, pa.ChunkedArray], rows: np.ndarray) -> None:
    unknown = {name: column.take(rows).null_count for name, column in columns.items()}
    problems = [
        f"{file.path}: column {name}: null for {counted(count, 'image')} of query and gallery. Say it of all."
        for name, count in unknown.items()
        if count
    ]
    if problems:
        raise InputError(*problems)
