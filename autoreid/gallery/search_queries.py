"""What a search looks for: how many images, under which cameras, and then their features."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoreid.errors import InputError, Problems
from autoreid.folders import expanded
from autoreid.gallery.feature_files import FeatureFile, is_feature_file
from autoreid.gallery.images import ImageFile, find_images
from autoreid.gallery.searching import Queries, queries_of_file, queries_of_images
from autoreid.gallery.store import Gallery
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.run_flags import execution_of

REMEDY = "Leave it out, or give images whose layout, names or index file tell it."


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is known before anything is embedded. cameras: of the queries, None where nothing says it.
    embed: loads what is needed, then gives the queries with their features, some at a time; what cannot be
    read is added to the list that it takes."""

    cameras: Sequence[int | None]
    embed: Callable[[list[str]], Iterator[Queries]]


def asked(options: argparse.Namespace, gallery: Gallery) -> Asked:
    """The queries that the flags name: of a file of features, or images for the model."""
    files = [path for path in options.images if is_feature_file(expanded(path))]
    if not files:
        return _images(options, gallery)
    if len(options.images) > 1:
        raise InputError(f"{files[0]}: a file of features beside other queries. Search for it alone.")
    if options.model is not None:
        raise InputError("--model: without effect on a file of features. Leave it out.")
    file = FeatureFile.open(expanded(files[0]))
    gallery.check_features(file, files[0], "Embed the queries with the gallery's model and flags.")
    if not file.count:
        raise InputError(f"{files[0]}: no features, so there is nothing to look for.")
    return Asked(file.labels()["camera"].to_pylist(), lambda unreadable: queries_of_file(file))


def _images(options: argparse.Namespace, gallery: Gallery) -> Asked:
    if options.model is None:
        raise InputError(
            "--model: missing. Give the model that built the gallery, whose digest begins with "
            f"{gallery.origin.model[:12]}, to embed the queries."
        )
    model, images = checkpoint_file(options.model), find_images(options.images, options.root)
    embed = functools.partial(_embedded, options, gallery, model, images)
    return Asked([image.said.camera for image in images], embed)


def _embedded(
    options: argparse.Namespace,
    gallery: Gallery,
    model: Path,
    images: Sequence[ImageFile],
    unreadable: list[str],
) -> Iterator[Queries]:
    from autoreid.embed import Embedder, check_readable, embed_batches  # deferred: torch

    execution, content, origin = execution_of(options), read_checkpoint(model), gallery.origin
    embedder = Embedder.load(content, str(model), execution, precision=origin.precision, flip=origin.flip)
    gallery.check_origin(embedder.origin, options.model, "Give the model that built the gallery.")

    def found() -> Iterator[Queries]:
        skip = options.skip_unreadable
        yield from queries_of_images(embed_batches(embedder, images, unreadable, skip=skip))
        check_readable(images, unreadable, skip=skip)

    return found()


def unknown_cameras(queries: Sequence[int | None], gallery: Sequence[int | None]) -> dict[str, int]:
    """Of how many queries and gallery images nothing says the camera; InputError where it is all of either.

    >>> unknown_cameras([1, None, None], [2, 3])
    {'queries': 2, 'gallery': 0}
    """
    problems, unknown = Problems(), {}
    for whose, cameras in (("queries", queries), ("gallery", gallery)):
        unknown[whose] = sum(camera is None for camera in cameras)
        if unknown[whose] == len(cameras):
            nobody = "no query has" if whose == "queries" else "no image of the gallery has"
            problems.add("--other-cameras", f"{nobody} a known camera. {REMEDY}")
    problems.raise_if_any()
    return unknown
