"""Small data sets in the Market-1501 layout, written per test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Tests are imported by path, so a helper module beside them has to be found by its folder.
sys.path.insert(0, str(Path(__file__).parent))

TRAIN = [
    f"{identity:04d}_c{camera}s1_000{shot}51_01.jpg"
    for identity in (2, 7, 11)
    for camera in (1, 2)
    for shot in (1, 2)
]
QUERY = ["0001_c1s1_000151_01.jpg", "0003_c2s1_000151_01.jpg"]
GALLERY = [
    "-1_c1s1_000401_03.jpg",
    "0000_c3s1_000151_01.jpg",
    "0001_c2s1_000151_01.jpg",
    "0001_c3s2_000151_01.jpg",
    "0003_c1s1_000151_01.jpg",
    "0003_c2s1_000201_01.jpg",
]


def write_image(path: Path, height: int = 24, width: int = 12) -> None:
    """An image whose pixels depend on its folder and name."""
    random = np.random.default_rng(list(f"{path.parent.name}/{path.name}".encode()))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)


def write_market(
    root: Path,
    train: Iterable[str] = TRAIN,
    query: Iterable[str] = QUERY,
    gallery: Iterable[str] = GALLERY,
) -> Path:
    for folder, names in (("bounding_box_train", train), ("query", query), ("bounding_box_test", gallery)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            write_image(root / folder / name)
    return root


@pytest.fixture
def make_market(tmp_path: Path) -> Callable[..., Path]:
    """`make_market(train=..., query=..., gallery=...)` writes a data set and returns its root."""
    return lambda name="market", **names: write_market(tmp_path / name, **names)


@pytest.fixture
def write_layout() -> Callable[[Path], Path]:
    """`write_layout(root)` writes the small data set into a folder."""
    return write_market


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Three training and two test identities, two or three cameras, a distractor and a junk image."""
    return write_market(tmp_path / "market")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in the environment too."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("AUTOREID_CACHE", str(folder))
    return folder
