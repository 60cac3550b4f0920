"""Queries and gallery of a file of features, for an evaluation. Free of torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoreid.errors import InputError
from autoreid.gallery.feature_files import FeatureFile

SIDES = ("query", "gallery")


def sides_of(file: FeatureFile) -> dict[str, Any]:
    """The arrays that `rank_features` takes, by name, of the images whose split is query or gallery.

    InputError where there are none of a side: their layout did not say it when they were embedded.
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
    features = np.concatenate(list(file.blocks()))
    columns = {name: labels[name].to_numpy() for name in ("identity", "camera")}
    found: dict[str, Any] = {}
    for side, taken in rows.items():
        found[f"{side}_features"] = features[taken]
        found[f"{side}_ids"] = columns["identity"][taken].astype(np.int64)
        found[f"{side}_cameras"] = columns["camera"][taken].astype(np.int64)
    return found
