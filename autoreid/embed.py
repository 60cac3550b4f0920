"""From image files to features: decoded in threads while the network runs, a batch at a time."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from autoreid.cli import say
from autoreid.data.arrays import SAID_EVERY_SECONDS, resized
from autoreid.data.disk import thread_count
from autoreid.data.images import read_image, reason
from autoreid.data.index import few
from autoreid.errors import DivergedError, InputError, unknown
from autoreid.evaluation.distances import prepare
from autoreid.evaluation.features import PRECISIONS, extract
from autoreid.execution import Execution
from autoreid.forms import place
from autoreid.gallery.feature_files import FeatureWriter, Origin
from autoreid.gallery.images import ImageFile
from autoreid.model_files import network_of
from autoreid.models.assembly import ReIDModel
from autoreid.optimisation import set_up
from autoreid.recipes import TrainRecipe
from autoreid.values import canonical
from autoreid.weights import read_model
from autoreid.whole_files import output_file
from autoreid.words import counted
from search_spaces.genotype import Genotype

# Batches that are decoded while one is in the network.
AHEAD = 2
REMEDY = "Restore or remove these images, or leave them out with --skip-unreadable."


def network_digest(model: ReIDModel, recipe: TrainRecipe, genotype: Genotype) -> str:
    """64 hexadecimal digits that stand for what makes a feature of an image: the architecture, the height and
    width of the images, and the weights that inference needs. The kind of file does not enter."""
    said = {
        "genotype": genotype.plain(),
        "height": recipe.height,
        "width": recipe.width,
        "neck": canonical(recipe.neck),
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    unused = tuple(f"neck.{part}." for part in model.neck.training_only)
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(unused) and not name.endswith("num_batches_tracked"):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
            digest.update(values.numpy().tobytes())
    return digest.hexdigest()


class Training(NamedTuple):
    """Whom a network was trained on: the fingerprint of the data, how many identities of it, and which; None
    where the file has lost these with its classifier."""

    data: str
    identities: int
    order: tuple[int, ...] | None


def trained_on(content: Mapping[str, Any]) -> Training | None:
    """What a model file, as `read_model` reads it, says of its training; None where it says nothing."""
    if not content.get("data"):
        return None
    order = content.get("order")
    return Training(content["data"], content["identities"], None if order is None else tuple(order))


@dataclass(frozen=True, slots=True, eq=False)
class Embedder:
    """A network on its device, in eval mode, and what its features come from; `batch` images at once."""

    model: ReIDModel
    device: torch.device
    origin: Origin
    batch: int

    @classmethod
    def load(
        cls,
        data: bytes,
        where: str,
        execution: Execution,
        *,
        precision: str | None = None,
        flip: bool = False,
    ) -> Embedder:
        """The network of a model file. `precision` is that of its training where it is None.

        InputError for another kind of file, and for a precision that does not exist.
        """
        return cls.of(read_model(data, where), where, execution, precision=precision, flip=flip)

    @classmethod
    def of(
        cls,
        content: Mapping[str, Any],
        where: str,
        execution: Execution,
        *,
        precision: str | None = None,
        flip: bool = False,
    ) -> Embedder:
        """What `load` gives, of a file that `read_model` read already."""
        if precision is not None and precision not in PRECISIONS:
            raise InputError(f"--precision: {unknown('precision', precision, PRECISIONS)}")
        model, trained, genotype = network_of(content, where)
        taken = precision or trained.precision
        origin = Origin(
            model=network_digest(model, trained, genotype),
            genotype=genotype.to_json(),
            height=trained.height,
            width=trained.width,
            flip=flip,
            precision=taken,
        )
        device = set_up(execution, taken)
        return cls(place(model, device, execution), device, origin, execution.evaluation_batch)

    @property
    def dimension(self) -> int:
        """Numbers of a feature."""
        return self.model.neck.feature_dim

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Features of uint8 images (n, 3, height, width): float32 (n, dimension), L2-normalised.

        DivergedError for features that are not finite, or zero.
        """
        found = extract(
            self.model.embed,
            pixels,
            np.arange(len(pixels)),
            device=self.device,
            batch=self.batch,
            precision=self.origin.precision,
            flip=self.origin.flip,
        )
        if not found.any(axis=1).all():
            raise DivergedError("features: an image has a feature of zeros. These weights are not usable.")
        return prepare(found, normalise=True).astype(np.float32)


Decoded = tuple[list[ImageFile], "list[Future[np.ndarray | str]]"]


def decoded(
    images: Sequence[ImageFile], height: int, width: int, batch: int
) -> Iterator[list[tuple[ImageFile, np.ndarray | str]]]:
    """Batches of images, each with its pixels, uint8 (3, height, width), or why it cannot be read."""

    def read(image: ImageFile) -> np.ndarray | str:
        try:
            return resized(read_image(image.path), height, width)
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
            return reason(error)

    pool = ThreadPoolExecutor(thread_count())
    coming: deque[Decoded] = deque()
    try:
        for start in range(0, len(images), batch):
            taken = list(images[start : start + batch])
            coming.append((taken, [pool.submit(read, image) for image in taken]))
            if len(coming) > AHEAD:
                yield _done(*coming.popleft())
        while coming:
            yield _done(*coming.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _done(
    images: list[ImageFile], pixels: list[Future[np.ndarray | str]]
) -> list[tuple[ImageFile, np.ndarray | str]]:
    return [(image, future.result()) for image, future in zip(images, pixels, strict=True)]


def embed_batches(
    embedder: Embedder, images: Sequence[ImageFile], unreadable: list[str], *, skip: bool = False
) -> Iterator[tuple[list[ImageFile], np.ndarray]]:
    """Images with their features, in order; what cannot be read is added to `unreadable`, with the reason.

    Unless these are to be skipped, nothing comes after the first of them: the rest is only looked at.
    """
    origin, done, last = embedder.origin, 0, time.monotonic()
    for found in decoded(images, origin.height, origin.width, embedder.batch):
        good = [(image, pixels) for image, pixels in found if not isinstance(pixels, str)]
        unreadable += [f"{image.name}: {why}" for image, why in found if isinstance(why, str)]
        if good and (skip or not unreadable):
            taken = [image for image, _ in good]
            try:
                features = embedder.features(np.stack([pixels for _, pixels in good]))
            except DivergedError as error:
                more = f" and the {counted(len(taken) - 1, 'image')} after it" if len(taken) > 1 else ""
                where = f"{taken[0].name}{more}"
                raise DivergedError(f"{where}: {error}") from None
            yield taken, features
        done += len(found)
        if time.monotonic() - last > SAID_EVERY_SECONDS:
            say(f"embedded {done:,} of {counted(len(images), 'image')}")
            last = time.monotonic()


def check_readable(images: Sequence[ImageFile], unreadable: Sequence[str], *, skip: bool) -> None:
    """InputError that names all images which cannot be read, unless they are to be skipped and some are
    left."""
    place = images[0].folder
    if unreadable and not skip:
        raise InputError(*few(place, list(unreadable), REMEDY, shown=len(unreadable)))
    if len(unreadable) == len(images):
        all_of_them = f"none of the {len(images):,} images" if len(images) > 1 else "the one image"
        cannot = "can be read" if len(images) > 1 else "cannot be read"
        raise InputError(f"{place}: {all_of_them} {cannot}: {unreadable[0]}.")


def embed_into(
    embedder: Embedder, images: Sequence[ImageFile], path: Path, *, skip: bool = False
) -> list[str]:
    """Write the features of images to a file, which is whole or not there; the images that were left out.

    InputError where images cannot be read, all of them together, unless they are to be skipped.
    """
    unreadable: list[str] = []
    with output_file(path) as file, FeatureWriter(file, embedder.origin, embedder.dimension) as writer:
        for taken, features in embed_batches(embedder, images, unreadable, skip=skip):
            writer.add(taken, features)
        check_readable(images, unreadable, skip=skip)
    return unreadable
