"""The index of a data set and its content fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoreid.data import index as index_module
from autoreid.data.index import ImageIndex, fingerprint
from autoreid.data.market1501 import read
from autoreid.errors import InputError


def make_index(**changes: Any) -> ImageIndex:
    fields: dict[str, Any] = {
        "root": Path("data"),
        "names": ("a.jpg", "b.jpg", "c.jpg"),
        "identities": np.array([1, 1, 2]),
        "cameras": np.array([1, 2, 1]),
        "splits": np.array(["train", "query", "train"]),
    }
    return ImageIndex(**(fields | changes))


def literal_fingerprint(index: ImageIndex) -> str:
    whole = ""
    for name in index.names:
        whole += name + "\0" + hashlib.sha256((index.root / name).read_bytes()).hexdigest() + "\n"
    said = hashlib.sha256(whole.encode()).hexdigest()
    for identity, camera, split in zip(index.identities, index.cameras, index.splits, strict=True):
        said += f"\n{identity} {camera} {split}"
    said += "\nsingle camera" if index.single_camera else ""
    return hashlib.sha256(said.encode()).hexdigest()


def test_rows_of_a_split_are_ascending() -> None:
    index = make_index()
    assert index.rows("train").tolist() == [0, 2]
    assert index.rows("gallery").tolist() == []
    assert len(index) == 3


def test_an_unknown_split_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no split 'galery'. Did you mean 'gallery'"):
        make_index().rows("galery")


def test_parts_that_do_not_fit_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        make_index(
            names=("b.jpg", "a.jpg", "a.jpg"),
            cameras=np.array([1]),
            splits=np.array(["train", "test", "train"]),
        )
    assert len(caught.value.problems) == 3
    assert "cameras has shape (1,) for 3 names" in str(caught.value)
    assert "not sorted or not unique" in str(caught.value)
    assert "no split 'test'" in str(caught.value)


def test_fingerprint_is_over_names_bytes_and_labels(market: Path, cache: Path) -> None:
    index = read(market)
    assert fingerprint(index) == literal_fingerprint(index)


@pytest.mark.parametrize("part", ["identities", "cameras", "splits"])
def test_two_readings_of_the_same_images_differ(market: Path, cache: Path, part: str) -> None:
    index = read(market)
    other = replace(index, **{part: getattr(index, part)[::-1]})
    assert fingerprint(other) == literal_fingerprint(other) != fingerprint(index)


def test_the_single_camera_protocol_enters_and_facts_do_not(market: Path, cache: Path) -> None:
    index = read(market)
    single = replace(index, single_camera=True)
    assert fingerprint(single) == literal_fingerprint(single) != fingerprint(index)
    assert fingerprint(replace(index, facts={"variant": "detected"})) == fingerprint(index)


def test_paths_times_and_junk_do_not_enter(market: Path, cache: Path, tmp_path: Path) -> None:
    first = fingerprint(read(market))
    other = tmp_path / "elsewhere" / "market1501"
    shutil.copytree(market, other, ignore=shutil.ignore_patterns(".autoreid"))
    os.utime(next((other / "query").iterdir()), (0, 0))
    (other / "bounding_box_test" / "-1_c1s1_000401_03.jpg").unlink()
    assert fingerprint(read(other.parent)) == first


def test_a_changed_byte_and_a_changed_name_change_it(market: Path, cache: Path) -> None:
    first = fingerprint(read(market))
    path = market / "query" / "0001_c1s1_000151_01.jpg"
    with path.open("ab") as file:
        file.write(b"\0")
    second = fingerprint(read(market))
    path.rename(path.with_name("0001_c4s1_000151_01.jpg"))
    third = fingerprint(read(market))
    assert len({first, second, third}) == 3
    assert third == literal_fingerprint(read(market))


def test_it_is_computed_once_and_stored_beside_the_data(
    market: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fingerprint(read(market))
    stored = json.loads((market / ".autoreid" / "fingerprint.json").read_text())
    assert len(stored["fingerprints"]) == 1
    monkeypatch.setattr(index_module, "_content_digest", lambda index: pytest.fail("computed again"))
    assert fingerprint(read(market)) == first
    assert [path.name for path in (market / ".autoreid").iterdir()] == ["fingerprint.json"]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"version": 9}', b'{"version": 1, "fingerprints": 3}']
)
def test_a_damaged_store_is_computed_anew(market: Path, cache: Path, damage: bytes) -> None:
    first = fingerprint(read(market))
    store = market / ".autoreid" / "fingerprint.json"
    intact = store.read_bytes()
    store.write_bytes(damage)
    assert fingerprint(read(market)) == first
    assert store.read_bytes() == intact


def test_where_the_root_cannot_be_written_the_cache_is_used(
    market: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (market / ".autoreid").write_text("a file where the folder should be")
    first = fingerprint(read(market), cache)
    assert [path.suffix for path in (cache / "fingerprints").iterdir()] == [".json"]
    monkeypatch.setattr(index_module, "_content_digest", lambda index: pytest.fail("computed again"))
    assert fingerprint(read(market), cache) == first


def test_where_nothing_can_be_written_it_is_computed_each_time(market: Path, tmp_path: Path) -> None:
    (market / ".autoreid").write_text("")
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    index = read(market)
    assert fingerprint(index, nowhere) == fingerprint(index, nowhere) == literal_fingerprint(index)


def test_images_that_vanish_are_reported_together(market: Path, cache: Path) -> None:
    index = read(market)
    for name in index.names[:2]:
        (market / name).unlink()
    with pytest.raises(InputError) as caught:
        fingerprint(index)
    assert len(caught.value.problems) == 2
    assert "No such file or directory. Restore these images" in str(caught.value)
