"""The cache folder: where it is, one builder at a time, and what killed builders leave."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from autoreid.data.disk import default_cache, one_builder, sweep, write_whole
from autoreid.whole_files import temporary_beside


def test_the_cache_is_the_environments_or_the_homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AUTOREID_CACHE", "~/fast")
    assert default_cache() == tmp_path / "fast"
    monkeypatch.setenv("AUTOREID_CACHE", "")
    assert default_cache() == tmp_path / ".cache" / "autoreid"


def test_a_second_builder_waits_for_the_first(tmp_path: Path) -> None:
    order = []
    inside, done = threading.Event(), threading.Event()

    def second() -> None:
        inside.wait()
        with one_builder(tmp_path / "array"):
            order.append("second")
        done.set()

    thread = threading.Thread(target=second)
    thread.start()
    with one_builder(tmp_path / "array"):
        inside.set()
        assert not done.wait(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_builder_that_hangs_is_passed_over(tmp_path: Path) -> None:
    entered = []
    with one_builder(tmp_path / "array"), one_builder(tmp_path / "array", longest_seconds=0.2):
        entered.append("the second, though the first still builds")
    assert len(entered) == 1


def test_only_what_was_left_long_ago_is_swept(tmp_path: Path) -> None:
    old_file, old_folder, new = (temporary_beside(tmp_path / name) for name in ("a", "b", "c"))
    old_file.write_bytes(b"x")
    old_folder.mkdir()
    (old_folder / "image.jpg").write_bytes(b"x")
    new.write_bytes(b"x")
    kept = tmp_path / "finished"
    kept.write_bytes(b"x")
    for path in (old_file, old_folder, kept):
        os.utime(path, (0, 0))
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {new, kept}


def test_a_failed_write_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
