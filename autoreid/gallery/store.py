"""A gallery on disk: a folder with parquet files of features and gallery.json, which says what they are.

The first file is features.parquet; every addition is a file of its own. gallery.json is replaced last, so
that a gallery is as it was, or has all of the addition. Free of torch.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoreid.data.disk import one_builder, write_whole
from autoreid.errors import InputError, StorageError
from autoreid.folders import to_json
from autoreid.gallery.feature_files import FeatureFile, Origin
from autoreid.values import digest
from autoreid.whole_files import claimed_folder, remove_left, remove_left_of
from autoreid.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
FIRST, SAYS = "features.parquet", "gallery.json"
REMEDY = "Restore it from a copy, or build the gallery again."
OWN = re.compile(r"features(-\d+)?\.parquet")
NAMED = 3


@dataclass(frozen=True, slots=True)
class Gallery:
    """An opened gallery. parts: its files of features, in order. threshold: what `calibrate` found, as JSON
    values, or None."""

    folder: Path
    origin: Origin
    dimension: int
    parts: tuple[FeatureFile, ...]
    threshold: Mapping[str, Any] | None = None

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    @classmethod
    def open(cls, folder: Path) -> Gallery:
        """InputError where there is no gallery, an empty one, or one whose files do not fit together."""
        path = folder / SAYS
        said = _read(path)
        parts = tuple(FeatureFile.open(folder / part["file"]) for part in said["parts"])
        for part, told in zip(parts, said["parts"], strict=True):
            if part.count != told["count"]:
                raise InputError(
                    f"{part.path}: {counted(part.count, 'feature')}, but {path} says {told['count']:,}. "
                    f"{REMEDY}"
                )
            if part.dimension != said["dimension"] or part.origin != parts[0].origin:
                raise InputError(f"{part.path}: features of another network than {path} says. {REMEDY}")
        if not sum(part.count for part in parts):
            raise InputError(f"{folder}: the gallery is empty. Build it from images: autoreid gallery build.")
        found = cls(folder, parts[0].origin, parts[0].dimension, parts, said["threshold"])
        if found.says() != said:
            raise InputError(f"{path}: it does not say what its features are. {REMEDY}")
        return found

    def says(self) -> dict[str, Any]:
        """The content of gallery.json, but for its digest."""
        origin = self.origin
        return {
            "version": VERSION,
            "model": origin.model,
            "genotype": json.loads(origin.genotype),
            "dimension": self.dimension,
            "count": self.count,
            "preprocessing": origin.preprocessing(),
            "parts": [{"file": part.path.name, "count": part.count} for part in self.parts],
            "threshold": None if self.threshold is None else dict(self.threshold),
        }

    def save(self) -> None:
        """Replace gallery.json. Raises OSError where it cannot be written."""
        said = self.says()
        write_whole(self.folder / SAYS, to_json(said | {"digest": digest(said)}))

    def blocks(self) -> Iterator[np.ndarray]:
        """The features in order, as `FeatureFile.blocks` gives them."""
        for part in self.parts:
            yield from part.blocks()

    def labels(self) -> pa.Table:
        """What is known of the images, in order."""
        import pyarrow as pa  # deferred: slow to load

        return pa.concat_tables([part.labels() for part in self.parts]).combine_chunks()

    def check_features(self, file: FeatureFile, place: str, remedy: str) -> None:
        """InputError where the features of a file cannot be compared with those of the gallery."""
        self.check_origin(file.origin, place, remedy)
        if file.dimension != self.dimension:
            raise InputError(
                f"{place}: {file.dimension} numbers an image; the gallery has {self.dimension}. {remedy}"
            )

    def check_origin(self, origin: Origin, place: str, remedy: str) -> None:
        """InputError where features of `origin` cannot be compared with those of the gallery."""
        names = self.origin.differences(origin)
        if "model" in names:
            raise InputError(
                f"{place}: another network than the gallery's: its digest is {origin.model[:12]}, that of "
                f"{self.folder} is {self.origin.model[:12]}. {remedy}"
            )
        if names:
            both = ", ".join(
                f"{name} {getattr(origin, name)} (gallery: {getattr(self.origin, name)})" for name in names
            )
            raise InputError(f"{place}: features made in another way than the gallery's: {both}. {remedy}")


def _read(path: Path) -> dict[str, Any]:
    """gallery.json, without its digest, which has to be right."""
    try:
        said = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path.parent}: no gallery: it has no {SAYS}. Build one: autoreid gallery build."
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}. {REMEDY}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}). {REMEDY}") from None
    if not isinstance(said, dict) or "digest" not in said or "version" not in said:
        raise InputError(f"{path}: not what autoreid writes. {REMEDY}")
    expected = said.pop("digest")
    if said["version"] != VERSION:
        raise InputError(
            f"{path}: version {said['version']!r} of the format of galleries; this release reads {VERSION}. "
            "Use the release that wrote it, or a newer one."
        )
    if digest(said) != expected:
        raise InputError(f"{path}: changed after it was written, or damaged. {REMEDY}")
    return said


@contextlib.contextmanager
def new_gallery(folder: Path) -> Iterator[Path]:
    """A place for features.parquet, from which a gallery is made at `folder`: all of it, or nothing.

    InputError where something is at `folder` already, where the folder for it is not there, or where the
    names of the features are not unique.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder}: is there already. Use 'autoreid gallery add' for a gallery, or name another folder."
        )
    if folder.is_symlink():
        raise InputError(f"{folder}: is a link. Name the folder that it stands for, or another one.")
    if not folder.parent.is_dir():
        above = folder.parent
        raise InputError(f"{folder}: there is no folder {above}. Make it: mkdir -p {shlex.quote(str(above))}")
    remove_left_of(folder)
    with written(folder), claimed_folder(folder) as temporary, _told_of(temporary, folder):
        yield temporary / FIRST
        part = FeatureFile.open(temporary / FIRST)
        built = Gallery(temporary, part.origin, part.dimension, (part,))
        if not part.count:
            raise InputError(f"{folder}: no features, so there is nothing to search. Give images.")
        _check_names(built.labels(), folder)
        built.save()
        temporary.replace(folder)


@contextlib.contextmanager
def addition(gallery: Gallery) -> Iterator[Path]:
    """A place for a file of features that the gallery has when this ends, unless an error ends it.

    InputError where the features are of another network, or a name is in the gallery already.
    """
    folder = gallery.folder
    with written(folder), claimed_folder(folder / FIRST) as temporary, _told_of(temporary / FIRST, folder):
        place = temporary / FIRST
        yield place
        with one_builder(folder / SAYS):
            now, part = Gallery.open(folder), FeatureFile.open(place)
            tidy(now)
            remedy = "Embed the images with the gallery's model and flags."
            now.check_features(part, "the added features", remedy)
            grown = replace(now, parts=(*now.parts, part))
            _check_names(grown.labels(), folder)
            target = free_place(folder, now.parts)
            try:
                place.replace(target)
                replace(now, parts=(*now.parts, replace(part, path=target))).save()
            except BaseException:
                with contextlib.suppress(InputError, StorageError, OSError):
                    tidy(Gallery.open(folder))  # whichever of both gallery.json has come to name
                raise


def set_threshold(gallery: Gallery, threshold: Mapping[str, Any]) -> None:
    """Put a threshold into a gallery. InputError where it was built again, in another way, since it was
    opened."""
    with written(gallery.folder), one_builder(gallery.folder / SAYS):
        now = Gallery.open(gallery.folder)
        tidy(now)
        now.check_origin(gallery.origin, "the threshold", "The gallery was built again: calibrate again.")
        replace(now, threshold=threshold).save()


def tidy(gallery: Gallery) -> None:
    """Delete what killed commands left in the folder: temporary files, and files of features that the gallery
    does not have. For one that holds it alone. StorageError where such a file cannot be deleted."""
    remove_left(gallery.folder)
    own = {part.path.name for part in gallery.parts}
    for path in sorted(gallery.folder.iterdir()):
        if OWN.fullmatch(path.name) and path.name not in own:
            try:
                path.unlink()
            except OSError as error:
                reason = error.strerror or str(error)
                raise StorageError(
                    f"{path}: not of the gallery any more, but it cannot be deleted: {reason}. Delete it."
                ) from error


def _check_names(labels: pa.Table, folder: Path) -> None:
    """InputError where two images have one name, by which nobody could tell them apart."""
    import pyarrow.compute as compute  # deferred: slow to load

    counted = compute.value_counts(labels["name"])
    twice = counted.filter(compute.greater(compute.struct_field(counted, "counts"), 1))
    if len(twice):
        names = ", ".join(str(name) for name in compute.struct_field(twice, "values")[:NAMED].to_pylist())
        raise InputError(
            f"{folder}: {len(twice):,} names would be those of two images: {names}. Give --root, the folder "
            "that names are to start at, so that they differ, or leave these images out."
        )


def free_place(folder: Path, parts: Sequence[FeatureFile]) -> Path:
    """Where a file beside these parts is written: features-N.parquet, N above those of the others."""
    numbers = (part.path.stem.rpartition("-")[2] for part in parts)
    return folder / f"features-{1 + max(int(text) if text.isdecimal() else 0 for text in numbers)}.parquet"


@contextlib.contextmanager
def written(place: Path) -> Iterator[None]:
    """What the system raises over a gallery that cannot be written, as a StorageError that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"{place}: cannot be written: {reason}. Free space, or choose another place."
        ) from error


@contextlib.contextmanager
def _told_of(temporary: Path, place: Path) -> Iterator[None]:
    """StorageErrors over a temporary place, as of the one that people know."""
    try:
        yield
    except StorageError as error:
        raise StorageError(str(error).replace(str(temporary), str(place))) from error
