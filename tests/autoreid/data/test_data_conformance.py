"""One check over every loader and every layout: `check_dataset` holds for all, and for a new one."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from replicas import REPLICAS, Replica

from autoreid.data.arrays import decode
from autoreid.data.doctor import check
from autoreid.data.index import ImageIndex, fingerprint
from autoreid.data.sets import DATASETS
from autoreid.data.source import DataSource, open_index

EVERY = pytest.mark.parametrize(
    "replica", REPLICAS, ids=lambda replica: f"{replica.data_set}: {replica.label}"
)


def source_of(replica: Replica, root: Path) -> DataSource:
    return DataSource.from_plain({"set": replica.data_set, "root": str(root), **replica.options})


def labels(index: ImageIndex) -> list[tuple[int, int, str]]:
    columns = (index.identities.tolist(), index.cameras.tolist(), index.splits.tolist())
    return sorted(zip(*columns, strict=True))


def check_dataset(replica: Replica, root: Path, cache: Path) -> ImageIndex:
    """What every reader promises of an index."""
    index = open_index(source_of(replica, root), cache)
    assert labels(index) == replica.expected
    assert index.names == tuple(sorted(set(index.names)))
    assert all((index.root / name).is_file() for name in index.names)
    assert index.identities.dtype == index.cameras.dtype == np.int64
    people = {
        split: set(index.identities[index.rows(split)].tolist()) for split in ("train", "query", "gallery")
    }
    assert all(people.values()) and min(people["train"] | people["query"]) > 0
    assert not people["train"] & (people["query"] | people["gallery"])
    assert index.facts["layout"] == replica.layout
    assert not index.single_camera
    assert all(isinstance(value, (str, int, bool)) for value in index.facts.values())
    assert decode(index, 8, 4, cache).shape == (len(index), 3, 8, 4)
    return index


@EVERY
def test_every_layout_of_every_data_set(replica: Replica, tmp_path: Path, cache: Path) -> None:
    index = check_dataset(replica, replica.write(tmp_path / "data"), cache)
    again = replica.write(tmp_path / "elsewhere")
    assert fingerprint(open_index(source_of(replica, again), cache), cache) == fingerprint(index, cache)


@EVERY
def test_set_and_layout_are_found_by_looking(replica: Replica, tmp_path: Path, cache: Path) -> None:
    root = replica.write(tmp_path / "data")
    settings = [f"{name}={value}" for name, value in replica.options.items()]
    report = check(root, settings=settings, cache=cache)
    assert (report.data_set, report.layout) == (replica.data_set, replica.layout)
    assert report.usable and not report.defects
    assert sum(part.images for part in report.splits) == len(replica.expected)
    assert all(report.facts[name] is not None for name in replica.options)


@EVERY
def test_folders_above_it_may_be_given_and_may_be_called_anything(
    replica: Replica, tmp_path: Path, cache: Path
) -> None:
    for number, folder in enumerate(replica.subfolders):
        above = tmp_path / f"0005_c3s1_{number}" / "1_001_1_01.png"
        root = replica.write(above / folder)
        index = open_index(source_of(replica, above), cache)
        assert index.names == open_index(source_of(replica, root), cache).names
        assert labels(index) == replica.expected
        assert check(above, settings=[f"{k}={v}" for k, v in replica.options.items()], cache=cache).usable


@EVERY
def test_the_order_of_a_listing_does_not_matter(
    replica: Replica, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = replica.write(tmp_path / "data")
    expected = open_index(source_of(replica, root), cache)
    scandir, iterdir = os.scandir, Path.iterdir

    @contextlib.contextmanager
    def backwards(path: Path | str) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(path) as entries:
            yield sorted(entries, key=lambda entry: entry.name, reverse=True)

    monkeypatch.setattr(os, "scandir", backwards)
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(iterdir(path), reverse=True)))
    found = open_index(source_of(replica, root), cache)
    assert found.names == expected.names
    assert labels(found) == labels(expected)


@EVERY
def test_an_image_that_vanished_is_counted_or_named(replica: Replica, tmp_path: Path, cache: Path) -> None:
    """Folders tell nothing of what they lack, so the counts have to; lists name it."""
    root = replica.write(tmp_path / "data")
    index = open_index(source_of(replica, root), cache)
    lost = index.root / index.names[0]
    lost.unlink()
    report = check(root, settings=[f"{k}={v}" for k, v in replica.options.items()], cache=cache)
    if "folders" in replica.layout:
        assert sum(part.images for part in report.splits) == len(replica.expected) - 1
    else:
        assert not report.usable
        assert lost.stem in report.text()


def test_there_is_a_replica_of_every_data_set_and_option() -> None:
    assert {replica.data_set for replica in REPLICAS} == set(DATASETS)
    for name, known in DATASETS.items():
        options = {option for replica in REPLICAS if replica.data_set == name for option in replica.options}
        assert options == set(known.options)


def test_mat_and_extracted_images_say_the_same_of_everybody(tmp_path: Path, cache: Path) -> None:
    found = {}
    for replica in REPLICAS:
        if replica.data_set == "cuhk03" and "folders" not in replica.layout:
            index = open_index(source_of(replica, replica.write(tmp_path / replica.label)), cache)
            stems = [Path(name).stem for name in index.names]
            rows = list(
                zip(stems, index.identities.tolist(), index.cameras.tolist(), index.splits, strict=True)
            )
            found.setdefault(replica.options["variant"], []).append(rows)
    for variant, (first, second) in found.items():
        assert first == second, variant
    assert len(found["detected"][0]) == len(found["labeled"][0]) + 1


def test_two_data_sets_below_one_folder_are_told_apart_by_name_alone(tmp_path: Path, cache: Path) -> None:
    by_set = {replica.data_set: replica for replica in REPLICAS}
    for name in ("dukemtmc", "market1501", "msmt17"):
        replica = by_set[name]
        replica.write(tmp_path / "all" / replica.subfolders[0])
    report = check(tmp_path / "all", cache=cache)
    assert not report.usable
    assert "3 data sets are here (market1501: " in report.text()
    assert "Name one with --data-set." in report.text()
    for name in ("dukemtmc", "market1501", "msmt17"):
        shutil.rmtree(cache, ignore_errors=True)
        source = DataSource.from_plain({"set": name, "root": str(tmp_path / "all"), **by_set[name].options})
        assert labels(open_index(source, cache)) == by_set[name].expected
