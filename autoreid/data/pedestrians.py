"""Rendered pedestrians: the built-in person re-identification data, as JPEGs in the Market-1501 layout.

Every picture is a pure function of (seed, person, camera, shot) and of the size: the order of drawing does
not matter, and more identities, cameras or images leave the earlier pictures as they are. Raise
`RENDER_VERSION` with every change of a pixel.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoreid.data.cameras import camera_of
from autoreid.data.composition import compose
from autoreid.errors import Problems

RENDER_VERSION = 1
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
JUNK, DISTRACTOR = -1, 0
FIRST_STRANGER = 10_000


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to draw. `person` numbers the looks: an identity, or a stranger from `FIRST_STRANGER`."""

    folder: str
    identity: int
    person: int
    camera: int
    number: int

    @property
    def name(self) -> str:
        """The official form of a file name.

        >>> Shot("query", identity=2, person=2, camera=1, number=3).name
        '0002_c1s1_000201_04.jpg'
        """
        identity = "-1" if self.identity == JUNK else f"{self.identity:04d}"
        frame = 50 * (self.number + 1) + 1 if self.identity > 0 else self.person
        return f"{identity}_c{self.camera}s1_{frame:06d}_{self.number + 1:02d}.jpg"


def shots(identities: int, cameras: int, images: int, train_fraction: float) -> Iterator[Shot]:
    """All pictures of a data set. The first `round(identities * train_fraction)` identities train.

    A test identity gives one query per camera; the gallery holds the rest, a tenth as many distractors
    (identity 0000, people met once) and a twentieth as many junk boxes (identity -1).
    """
    training = round(identities * train_fraction)
    views = [(camera, number) for camera in range(1, cameras + 1) for number in range(images)]
    for identity in range(1, identities + 1):
        for camera, number in views:
            folder = TRAIN if identity <= training else GALLERY if number else QUERY
            yield Shot(folder, identity, identity, camera, number)
    gallery = (identities - training) * cameras * (images - 1)
    distractors, junk = math.ceil(gallery / 10), math.ceil(gallery / 20)
    for identity, count in ((DISTRACTOR, distractors), (JUNK, junk)):
        for index in range(count):
            person = FIRST_STRANGER + 2 * index + (identity == JUNK)
            yield Shot(GALLERY, identity, person, index % cameras + 1, 0)


def render(
    directory: Path,
    *,
    identities: int,
    cameras: int,
    images: int = 4,
    seed: int = 0,
    height: int = 128,
    width: int = 64,
    train_fraction: float = 0.5,
) -> None:
    """Write a data set of rendered pedestrians into `directory`, which must be empty or absent.

    identities: training and test identities together, each seen by every camera; images: of one identity in
    one camera; height, width: in pixels. The same arguments give the same files for one version of Pillow and
    numpy. The three folders appear when all pictures are written.

    Raises InputError with every argument out of range, before anything is written.
    """
    _check(directory, identities, cameras, images, seed, height, width, train_fraction)
    directory.mkdir(parents=True, exist_ok=True)
    worlds = {number: camera_of(number, seed, height, width) for number in range(1, cameras + 1)}
    with tempfile.TemporaryDirectory(prefix=".rendering-", dir=directory) as unfinished:
        for folder in (TRAIN, QUERY, GALLERY):
            (Path(unfinished) / folder).mkdir()
        for shot in shots(identities, cameras, images, train_fraction):
            key = (shot.person, shot.camera, shot.number)
            picture, quality = compose(worlds[shot.camera], seed, key, height, width, shot.identity == JUNK)
            picture.save(Path(unfinished) / shot.folder / shot.name, quality=quality)
        for folder in (GALLERY, QUERY, TRAIN):
            (Path(unfinished) / folder).rename(directory / folder)


def _check(
    directory: Path,
    identities: int,
    cameras: int,
    images: int,
    seed: int,
    height: int,
    width: int,
    train_fraction: float,
) -> None:
    problems = Problems()
    whole = {
        "identities": (identities, 4, FIRST_STRANGER - 1),
        "cameras": (cameras, 2, 9),
        "images": (images, 2, 99),
        "seed": (seed, 0, 2**63 - 1),
        "height": (height, 32, 1024),
        "width": (width, 16, 1024),
    }
    for name, (value, low, high) in whole.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            problems.add(name, f"{value!r} is out of range. Use a whole number from {low} to {high}.")
    if not isinstance(train_fraction, int | float) or not 0 < train_fraction < 1:
        problems.add("train_fraction", f"{train_fraction!r} is out of range. Use a share between 0 and 1.")
    elif not problems.found and not 2 <= round(identities * train_fraction) <= identities - 2:
        problems.add(
            "train_fraction",
            f"{train_fraction!r} of {identities} identities leaves fewer than 2 for training or for testing. "
            "Use more identities or a share nearer to 0.5.",
        )
    if directory.exists() and not directory.is_dir():
        problems.add(str(directory), "is a file. Name a folder that is empty or does not exist.")
    elif directory.is_dir() and any(directory.iterdir()):
        problems.add(str(directory), "is not empty. Name another folder, or remove what is in it.")
    problems.raise_if_any()
