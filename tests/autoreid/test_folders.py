"""What every folder has to do: one set of tests for local disks and for object stores."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autoreid.errors import StorageError
from autoreid.folders import Folder, LocalFolder, to_lines
from autoreid.remote import PART_BYTES

ODD_NAMES = (
    "a b",
    " begins",
    "ends ",
    "größe.txt",
    "x+y%20z",
    "a#b?c=d&e",
    ".dot",
    "x=1,2;3:4",
    "quoted'\"<>|*",
    "a.gz",
    "b.json.zst",
    "c\\d",
    "deep/deeper/deepest",
)


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 7])
def test_bytes_come_back(folder: Folder, size: int) -> None:
    data = (b"0123456789a" * (size // 11 + 1))[:size]
    folder.write("a", data)
    assert folder.read("a") == data
    assert folder.sizes() == {"a": size}


@pytest.mark.parametrize("size", [0, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 7])
def test_an_open_file_is_put_from_where_it_stands(folder: Folder, tmp_path: Path, size: int) -> None:
    data = (b"0123456789a" * (size // 11 + 1))[:size]
    (tmp_path / "from").write_bytes(b"head" + data)
    with (tmp_path / "from").open("rb") as file:
        file.seek(4)
        folder.write("a", file)
    # As if it had come in one piece: an object store tells by the parts.
    assert folder.read("a") == data
    assert folder.sizes() == {"a": size}


def test_names_may_be_odd(folder: Folder) -> None:
    for number, name in enumerate(ODD_NAMES):
        folder.write(name, name.encode() * number)
    assert [folder.read(name) for name in ODD_NAMES] == [n.encode() * i for i, n in enumerate(ODD_NAMES)]
    assert list(folder.sizes()) == sorted(ODD_NAMES)
    assert folder.children() == sorted(name.split("/")[0] for name in ODD_NAMES)
    for name in ODD_NAMES:
        folder.remove(name)
        folder.child(f"below {name}").write("x", b"")
    assert list(folder.sizes()) == sorted(f"below {name}/x" for name in ODD_NAMES)


def test_a_write_replaces_what_was_there(folder: Folder) -> None:
    folder.write("a", b"first and long")
    folder.write("a", b"second")
    assert folder.read("a") == b"second"
    assert folder.sizes() == {"a": 6}


def test_what_is_removed_is_gone(folder: Folder) -> None:
    folder.write("deep/a", b"1")
    folder.write("deep/b", b"2")
    folder.remove("deep/a")
    folder.remove("deep/a")
    folder.remove("never/was")
    assert folder.sizes() == {"deep/b": 1}
    assert folder.children("deep") == ["b"]
    with pytest.raises(FileNotFoundError):
        folder.read("deep/a")
    folder.remove("deep/b")
    assert folder.sizes() == {}


def test_sizes_are_those_of_names_with_a_prefix(folder: Folder) -> None:
    for number, name in enumerate(("b/2", "b/10", "b/1/x", "ba", "a", "c/b/1")):
        folder.write(name, b"x" * number)
    assert list(folder.sizes()) == ["a", "b/1/x", "b/10", "b/2", "ba", "c/b/1"]
    assert folder.sizes("b") == {"b/1/x": 2, "b/10": 1, "b/2": 0, "ba": 3}
    assert folder.sizes("b/") == {"b/1/x": 2, "b/10": 1, "b/2": 0}
    assert folder.sizes("b/1") == {"b/1/x": 2, "b/10": 1}
    assert folder.child("b").sizes("1/") == {"1/x": 2}


def test_children_are_files_and_folders(folder: Folder) -> None:
    for name in ("b/2", "b/1/x", "ba", "a"):
        folder.write(name, b"")
    assert folder.children() == ["a", "b", "ba"]
    assert folder.children("b") == ["1", "2"]
    assert folder.child("b").children("1") == ["x"]


def test_what_is_missing_is_empty_or_not_found(folder: Folder) -> None:
    folder.write("file", b"")
    for name in ("none", "none/deeper", "fil", "file"):
        assert folder.sizes(f"{name}/") == {}
        assert folder.children(name) == []
        assert folder.child(name).sizes() == {}
    for name in ("none", "none/deeper", "fil"):
        with pytest.raises(FileNotFoundError, match=name):
            folder.read(name)


def test_unfinished_files_of_others_are_not_seen(folder: Folder) -> None:
    folder.write("a/.part-dead", b"half of some")
    folder.write(".part-dead", b"half of some")
    folder.write("a/b", b"whole")
    assert folder.sizes() == {"a/b": 5}
    assert (folder.children(), folder.children("a")) == (["a"], ["b"])


def test_a_folder_travels_to_other_processes(folder: Folder) -> None:
    folder.child("a").write("b", b"1")
    sent = pickle.dumps(folder.child("a"))
    assert pickle.loads(sent).read("b") == b"1"
    assert b"a-secret" not in sent
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).read('b'))"
    done = subprocess.run(
        [sys.executable, "-c", code, sent.hex()], capture_output=True, text=True, check=True
    )
    assert done.stdout == "b'1'\n"


def test_of_writers_at_once_one_wins_and_readers_see_one_of_them(folder: Folder) -> None:
    # No two are alike: a store whose digest comes back between two readings cannot be told from one at rest.
    wholes = [bytes([number]) * (1000 + 1000 * (number % 8)) for number in range(24)]
    folder.write("a", wholes[0])
    done = threading.Event()

    def watch() -> set[bytes]:
        seen = {folder.read("a")}
        while not done.is_set():
            seen.add(folder.read("a"))
        return seen

    with ThreadPoolExecutor(8) as threads:
        reader = threads.submit(watch)
        for write in [threads.submit(folder.write, "a", whole) for whole in wholes[1:]]:
            write.result()
        done.set()
        assert reader.result() <= set(wholes)
    assert folder.read("a") in wholes
    assert list(folder.sizes()) == ["a"]


@pytest.mark.slow
def test_more_files_than_one_answer_lists(folder: Folder) -> None:
    names = [f"many/{number:04d}" for number in range(1005)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: folder.write(name, b"1"), names))
    assert list(folder.sizes()) == names
    assert len(folder.children("many")) == 1005


WRITER = """
import os, resource, sys, time
from autoreid.errors import StorageError
from autoreid.folders import LocalFolder

if sys.argv[2] == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
else:
    os.fsync = lambda file: print("written, not yet in place", flush=True) or time.sleep(600)
try:
    LocalFolder(sys.argv[1]).write("a", b"new" * 10000)
except StorageError as error:
    print(error)
"""


def test_a_file_that_grows_beyond_the_limit_keeps_the_old_bytes(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a", b"old")
    command = [sys.executable, "-c", WRITER, str(tmp_path), "limited"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a: cannot be written: File too large" in done.stdout
    assert folder.read("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_process_killed_in_the_middle_of_a_write_keeps_the_old_bytes(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    folder.write("a", b"old")
    command = [sys.executable, "-c", WRITER, str(tmp_path), "killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written, not yet in place\n"
        writer.kill()
    assert folder.read("a") == b"old"
    assert (folder.sizes(), folder.children()) == ({"a": 3}, ["a"])
    assert len(list(tmp_path.iterdir())) == 2
    folder.write("a", b"new")
    assert folder.read("a") == b"new"


def test_what_cannot_be_read_is_not_taken_for_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StorageError, match="a: cannot be read: Permission denied"):
        LocalFolder(tmp_path).read("a")


def test_what_cannot_be_listed_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished job must not look as if it had never begun."""
    LocalFolder(tmp_path).write("a/b", b"1")
    intact = os.scandir

    def fail(place: str) -> object:
        if str(place).endswith("/a"):
            raise OSError(errno.EIO, "Input/output error")
        return intact(place)

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(StorageError, match="a: cannot be listed: Input/output error"):
        LocalFolder(tmp_path).sizes()
    assert LocalFolder(tmp_path).sizes("b/") == {}


def test_files_are_listed_as_they_are_named(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    for name in ("b/2/x", "b/10", "a", "ba"):
        folder.write(name, name.encode())
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert folder.sizes() == {"a": 1, "b/10": 4, "b/2/x": 5, "ba": 2, "link": 1}
    assert folder.sizes("b/") == {"b/10": 4, "b/2/x": 5}
    assert folder.sizes("b/2/") == folder.sizes("b/2") == {"b/2/x": 5}
    assert folder.sizes("b") == {"b/10": 4, "b/2/x": 5, "ba": 2}
    assert folder.sizes("a/") == folder.sizes("c/d/") == {}


def test_lines_are_the_same_json(tmp_path: Path) -> None:
    item = {"b": {"y": [1, 2.5], "x": {}}, "a": None, "c": [{"é": "\n"}, []], "d": {}, "e": []}
    assert json.loads(to_lines(item)) == item
    assert to_lines(item) == to_lines(dict(reversed(item.items())))
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_lines({"a": [float("nan")]})


def test_files_tell_their_age_and_what_broke_off(folder: Folder) -> None:
    before = time.time()
    folder.write("deep/a", b"123")
    folder.write("deep/.part-0", b"12")  # as a write leaves it that is killed
    folder.write("b", b"1")
    found = folder.files()
    assert {name: file.bytes for name, file in found.items()} == {"b": 1, "deep/.part-0": 2, "deep/a": 3}
    assert all(before - 2 < file.changed < time.time() + 2 for file in found.values())
    assert list(folder.files("deep")) == ["deep/.part-0", "deep/a"]
    assert folder.files("none") == {}
    assert folder.sizes() == {"b": 1, "deep/a": 3}
    assert folder.children("deep") == ["a"]
    folder.remove("deep/.part-0")
    assert list(folder.files()) == ["b", "deep/a"]
