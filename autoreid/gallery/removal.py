"""Images out of a gallery: the files that hold them are written again without them. Free of torch.

New files have new names, gallery.json is replaced last, and the files of before are then deleted: a gallery
is as it was, or none of the images is in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from autoreid.data.disk import one_builder
from autoreid.data.index import few
from autoreid.errors import InputError, StorageError
from autoreid.gallery.feature_files import FeatureFile, FeatureWriter
from autoreid.gallery.searching import queries_of_file
from autoreid.gallery.store import SAYS, Gallery, free_place, tidy, written
from autoreid.whole_files import output_file


def remove(gallery: Gallery, names: Collection[str]) -> Gallery:
    """The gallery without the images of these names, which are on the disk no longer.

    InputError, all of them together, for names that it does not have, and where no image would be left.
    StorageError where it cannot be written, and is as it was, or where a file of before cannot be deleted.
    """
    with written(gallery.folder), one_builder(gallery.folder / SAYS):
        now = Gallery.open(gallery.folder)
        tidy(now)  # what a removal left that was stopped before its end
        _check(now, names)
        left = _without(now, frozenset(names))
        tidy(left)
        return left


def _check(gallery: Gallery, names: Collection[str]) -> None:
    known = set(gallery.labels()["name"].to_pylist())
    missing = [f"{name}: not in {gallery.folder}" for name in sorted({*names} - known)]
    if missing:
        raise InputError(*few("NAME", missing, "Give names as 'autoreid gallery search' shows them."))
    if len(set(names)) == len(known):
        raise InputError(f"{gallery.folder}: no image would be left. Delete the folder.")


def _without(gallery: Gallery, names: frozenset[str]) -> Gallery:
    """The gallery on disk without some images, the files of before beside it; after an error as it was."""
    parts, written = [], list(gallery.parts)
    try:
        for part in gallery.parts:
            kept = part.count - len(names.intersection(part.labels()["name"].to_pylist()))
            if 0 < kept < part.count:
                place = free_place(gallery.folder, written)
                _write_without(part, names, place)
                written.append(replace(part, path=place, count=kept))
                parts.append(written[-1])
            elif kept:
                parts.append(part)
        left = replace(gallery, parts=tuple(parts))
        left.save()
    except BaseException:
        with contextlib.suppress(InputError, StorageError, OSError):
            tidy(Gallery.open(gallery.folder))  # whichever of both gallery.json has come to name
        raise
    return left


def _write_without(part: FeatureFile, names: frozenset[str], place: Path) -> None:
    with output_file(place) as file, FeatureWriter(file, part.origin, part.dimension) as writer:
        for some in queries_of_file(part):
            rows = [row for row, image in enumerate(some.images) if image.name not in names]
            writer.add([some.images[row] for row in rows], some.features[rows])
