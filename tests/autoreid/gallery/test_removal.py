"""`autoreid gallery remove`: what is left, what is gone from the disk, and every refusal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from random_galleries import random_features, write_features

from autoreid.cli import main
from autoreid.gallery.removal import remove
from autoreid.gallery.store import Gallery, set_threshold

Run = Callable[..., tuple[int, str, str]]
Told = Callable[..., Any]
PREFIXES = ("a", "b", "c")
GONE = ["a0000003.jpg", *(f"b{number:07}.jpg" for number in range(9)), "c0000000.jpg", "c0000008.jpg"]


@pytest.fixture
def three(told: Told, tmp_path: Path) -> Path:
    """A gallery of three files, nine images each."""
    files = {
        prefix: write_features(tmp_path / f"{prefix}.parquet", random_features(9, 8, seed), prefix=prefix)
        for seed, prefix in enumerate(PREFIXES)
    }
    told("gallery", "build", "--features", files["a"], "--out", tmp_path / "g")
    for prefix in PREFIXES[1:]:
        told("gallery", "add", tmp_path / "g", "--features", files[prefix])
    return tmp_path / "g"


def content(folder: Path) -> dict[str, bytes]:
    """The visible files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_what_is_removed_is_found_no_longer_and_is_nowhere_on_the_disk(
    told: Told, three: Path, tmp_path: Path
) -> None:
    line = ["gallery", "search", three, tmp_path / "a.parquet", "--top", 27]
    before = told(*line)["queries"]
    set_threshold(Gallery.open(three), {"distance": 0.5, "seen": False, "pairs": "all"})
    said = told("gallery", "remove", three, *GONE, GONE[0])
    assert (said["count"], said["removed"]) == (15, sorted(GONE))
    assert said["threshold"]["distance"] == 0.5
    for query, whole in zip(told(*line, "--threshold", 0)["queries"], before, strict=True):
        kept = [match for match in whole["matches"] if match["name"] not in GONE]
        own = ("name", "identity", "camera", "distance")
        assert [[m[name] for name in own] for m in query["matches"]] == [
            [m[name] for name in own] for m in kept
        ]
    files = content(three)
    assert len(files) == 3  # gallery.json, and two files of the three
    assert all(name.encode() not in data for name in GONE for data in files.values())
    # A file that comes after takes nobody's name.
    write_features(tmp_path / "d.parquet", random_features(2, 8, 9), prefix="d")
    assert told("gallery", "add", three, "--features", tmp_path / "d.parquet")["count"] == 17
    assert len({part.path for part in Gallery.open(three).parts}) == 3
    assert len(set(Gallery.open(three).labels()["name"].to_pylist())) == 17


def test_unknown_names_are_all_named_and_nothing_is_removed(run: Run, three: Path) -> None:
    before = content(three)
    code, _, complaints = run("gallery", "remove", three, "x.jpg", "a0000001.jpg", "b1.jpg")
    assert code == 2 and complaints.count(f"not in {three}") == complaints.count("\n") == 2
    assert "NAME: b1.jpg: not in" in complaints and "as 'autoreid gallery search' shows them" in complaints
    everything = Gallery.open(three).labels()["name"].to_pylist()
    code, _, complaints = run("gallery", "remove", three, *everything)
    assert code == 2 and "no image would be left. Delete the folder." in complaints
    assert content(three) == before


def test_names_that_begin_with_a_hyphen(told: Told, tmp_path: Path) -> None:
    """Those of junk in Market-1501 do."""
    write_features(tmp_path / "j.parquet", random_features(3, 8), prefix="-1_")
    told("gallery", "build", "--features", tmp_path / "j.parquet", "--out", tmp_path / "j")
    assert main(["gallery", "remove", str(tmp_path / "j"), "--", "-1_0000001.jpg"]) == 0
    left = Gallery.open(tmp_path / "j").labels()["name"].to_pylist()
    assert left == ["-1_0000000.jpg", "-1_0000002.jpg"]


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_full_disk_leaves_the_gallery_as_it_was(
    run: Run, three: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Two files and gallery.json are written; any of them may be the one that fails."""
    before, count, real = content(three), [], os.fsync

    def refuse(descriptor: int) -> None:
        count.append(descriptor)
        if len(count) > written:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr("os.fsync", refuse)
    code, _, complaints = run("gallery", "remove", three, *GONE)
    assert code == 1 and f"{three}" in complaints and "No space left on device" in complaints
    assert len(count) == written + 1 and content(three) == before
    assert not list(three.glob(".part*"))


def test_what_a_stopped_removal_left_is_deleted_by_the_next(
    told: Told, run: Run, three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path == three / "features.parquet":
            raise OSError(1, "Operation not permitted")
        real(path, missing_ok=missing_ok)

    (three / "features-of-mine.parquet").write_bytes(b"kept")
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", refuse)
        code, _, complaints = run("gallery", "remove", three, "a0000003.jpg")
    assert code == 1 and "features.parquet: not of the gallery any more, but it cannot be del" in complaints
    assert Gallery.open(three).count == 26 and (three / "features.parquet").exists()
    code, _, complaints = run("gallery", "remove", three, "a0000003.jpg")
    assert code == 2 and "not in" in complaints
    files = content(three)
    assert "features-of-mine.parquet" in files
    assert not any(b"a0000003.jpg" in data for data in files.values())
    assert told("gallery", "remove", three, "a0000004.jpg")["count"] == 25


@pytest.mark.parametrize("replaced", [False, True])
def test_a_stopped_removal_leaves_a_whole_gallery(
    three: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    """Before and after gallery.json was replaced: what it names is there, and nothing else."""
    real = Gallery.save

    def stopped(gallery: Gallery) -> None:
        if replaced:
            real(gallery)
        raise KeyboardInterrupt

    monkeypatch.setattr(Gallery, "save", stopped)
    with pytest.raises(KeyboardInterrupt):
        remove(Gallery.open(three), GONE)
    found = Gallery.open(three)
    assert found.count == (15 if replaced else 27)
    assert set(content(three)) == {"gallery.json", *(part.path.name for part in found.parts)}
    assert sum(len(block) for block in found.blocks()) == found.count
