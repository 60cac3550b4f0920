"""Files that are whole or not there, and what killed processes leave."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoreid import whole_files
from autoreid.errors import StorageError
from autoreid.whole_files import PART, claimed_folder, output_file, remove_left, whole_file

# Is killed with a file half written.
KILLED = """
import os, signal, sys
from pathlib import Path
from autoreid.whole_files import output_file
with output_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"{PART}*"))


@pytest.mark.parametrize("writer", [whole_file, output_file])
def test_after_an_error_a_file_is_as_it_was(writer: object, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with writer(path) as file:  # type: ignore[operator]
        file.write(b"old")
    with pytest.raises(KeyboardInterrupt), writer(path) as file:  # type: ignore[operator]
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    refused = pytest.raises(StorageError, match=r"file/a: cannot be written: Not a directory\. Free space")
    with refused, output_file(tmp_path / "file/a") as file:
        file.write(b"")


def test_what_a_killed_process_left_goes_at_the_next_write(tmp_path: Path) -> None:
    for name in ("table[1].csv", "other.csv"):
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False, timeout=60)
        assert done.returncode == -9
    before = left(tmp_path)
    assert len([path for path in before if path.parent == tmp_path]) == 2
    with output_file(tmp_path / "table[1].csv") as file:
        file.write(b"whole")
    assert (tmp_path / "table[1].csv").read_bytes() == b"whole"
    assert left(tmp_path) == [path for path in before if "other.csv" in str(path)]  # not of this file
    remove_left(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["table[1].csv"]


def test_what_somebody_still_writes_stays(tmp_path: Path) -> None:
    with claimed_folder(tmp_path / "a") as folder:
        remove_left(tmp_path)
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_taken_away_before_it_is_claimed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = fcntl.flock, []

    def late(file: int, how: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            taken[0].rmdir()
        real(file, how)

    monkeypatch.setattr(whole_files.fcntl, "flock", late)
    with claimed_folder(tmp_path / "a") as folder:
        assert folder.is_dir() and folder != taken[0]


def test_a_folder_that_is_taken_away_before_it_is_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = os.open, []

    def late(path: Path, flags: int) -> int:
        if not taken:
            taken.append(path)
            path.rmdir()
        return real(path, flags)

    monkeypatch.setattr(whole_files.os, "open", late)
    with claimed_folder(tmp_path / "a") as folder:
        assert folder.is_dir() and folder != taken[0]


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    name = "a" + "\N{GREEK SMALL LETTER ALPHA}" * 127  # 255 bytes, of which a cut falls into a letter
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False, timeout=60)
    assert done.returncode == -9 and left(tmp_path)
    with output_file(tmp_path / name) as file:
        file.write(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_without_locks_what_is_a_day_old_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(whole_files.fcntl, "flock", refuse)
    old, young = tmp_path / f"{PART}old", tmp_path / f"{PART}young"
    for path in (old, young):
        path.mkdir()
    then = time.time() - 2 * whole_files.STALE_SECONDS
    os.utime(old, (then, then))
    with claimed_folder(tmp_path / "a") as folder:
        remove_left(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([folder, young])
