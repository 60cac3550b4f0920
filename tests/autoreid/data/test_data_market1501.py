"""The Market-1501 layout: names, splits, and every mistake at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from autoreid.data import market1501
from autoreid.errors import InputError


def test_identity_camera_and_split_come_from_the_official_names(market: Path) -> None:
    index = market1501.read(market)
    rows = {
        name: (int(identity), int(camera), str(split))
        for name, identity, camera, split in zip(
            index.names, index.identities, index.cameras, index.splits, strict=True
        )
    }
    assert len(index) == 12 + 2 + 5
    assert rows["bounding_box_train/0011_c2s1_000151_01.jpg"] == (11, 2, "train")
    assert rows["query/0003_c2s1_000151_01.jpg"] == (3, 2, "query")
    assert rows["bounding_box_test/0000_c3s1_000151_01.jpg"] == (0, 3, "gallery")
    assert index.identities.dtype == index.cameras.dtype == np.int64


def test_junk_is_dropped_and_distractors_stay_in_the_gallery(market: Path) -> None:
    index = market1501.read(market)
    assert not any("-1_" in name for name in index.names)
    assert sorted(index.identities[index.rows("gallery")].tolist()) == [0, 1, 1, 3, 3]


def test_names_are_sorted_whatever_the_folder_lists_first(
    market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = market1501.read(market).names
    listing = os.scandir

    @contextlib.contextmanager
    def backwards(path: Path) -> Iterator[list[os.DirEntry[str]]]:
        with listing(path) as entries:
            yield sorted(entries, key=lambda entry: entry.name, reverse=True)

    monkeypatch.setattr(os, "scandir", backwards)
    assert market1501.read(market).names == expected == tuple(sorted(expected))


def test_folders_that_look_like_identities_do_not_matter(make_market: Callable[..., Path]) -> None:
    root = make_market("0666_c9s1_000000_00/-1_c4s4_000001_01")
    index = market1501.read(root)
    assert 666 not in index.identities
    assert set(index.cameras.tolist()) == {1, 2, 3}


@pytest.mark.parametrize("name", ["Market-1501-v15.09.15", "market1501"])
def test_the_folder_may_hold_the_unpacked_archive(make_market: Callable[..., Path], name: str) -> None:
    inner = make_market(f"datasets/{name}")
    found = market1501.read(inner.parent)
    assert found.root == inner
    assert found.names == market1501.read(inner).names


def test_files_that_are_not_images_are_passed_over(market: Path) -> None:
    before = market1501.read(market).names
    for name in ("Thumbs.db", "readme.txt", ".DS_Store", "._0002_c1s1_000151_01.jpg"):
        (market / "query" / name).write_bytes(b"x")
    (market / "query" / "more.jpg").mkdir()
    assert market1501.read(market).names == before


def test_numbers_may_be_longer_than_the_official_ones(make_market: Callable[..., Path]) -> None:
    root = make_market(train=["12345_c12s1_1000151_001.PNG", "12345_c3s1_000151_01.jpeg"])
    index = market1501.read(root)
    train = index.rows("train")
    assert index.identities[train].tolist() == [12345, 12345]
    assert index.cameras[train].tolist() == [12, 3]


def test_every_mistake_is_reported_at_once(make_market: Callable[..., Path]) -> None:
    aliens = [f"person{number}.jpg" for number in range(7)] + ["x0002_c1s1_000451_03.jpg"]
    root = make_market(train=[*aliens, "0002_c1s1_000451_03.jpg"], query=[])
    for path in (root / "bounding_box_test").iterdir():
        path.unlink()
    (root / "bounding_box_test").rmdir()
    with pytest.raises(InputError) as caught:
        market1501.read(root)
    text = str(caught.value)
    assert "person0.jpg: not a name of this layout" in text
    assert "person5.jpg" not in text
    assert "3 more (8 in all). Rename them like 0002_c1s1_000451_03.jpg" in text
    assert f"{root / 'query'}: no image." in text
    assert f"{root / 'bounding_box_test'}: no such folder." in text


def test_a_missing_root_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder. Give the folder that holds bounding_box"):
        market1501.read(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_listed_is_named(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"query: Permission denied. Give a readable folder") as caught:
        market1501.read(market)
    assert len(caught.value.problems) == 3


def test_a_split_of_junk_alone_is_empty(make_market: Callable[..., Path]) -> None:
    root = make_market(gallery=["-1_c1s1_000401_03.jpg"])
    with pytest.raises(InputError, match=r"only junk \(1 image of identity -1\)"):
        market1501.read(root)


@pytest.mark.parametrize("split", ["train", "query"])
def test_identity_zero_belongs_to_distractors(make_market: Callable[..., Path], split: str) -> None:
    root = make_market(**{split: ["0000_c1s1_000401_03.jpg", "0001_c1s1_000401_03.jpg"]})
    with pytest.raises(InputError, match="1 image of identity 0000, which is kept for distractors"):
        market1501.read(root)


def test_published_counts_agree_with_the_paper() -> None:
    counts = market1501.PUBLISHED.splits
    assert sum(part.files for part in counts.values()) == 36036
    assert counts["train"].identities + counts["query"].identities == 1501
    assert counts["query"].images + counts["gallery"].images == 19281
