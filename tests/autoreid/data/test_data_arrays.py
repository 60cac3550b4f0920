"""The decoded array: right pixels, one file for all processes, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from autoreid.data import arrays
from autoreid.data.arrays import array_path, decode
from autoreid.data.market1501 import read
from autoreid.errors import InputError, RunError
from autoreid.whole_files import PART

DECODE = """
import sys, hashlib
from pathlib import Path
from autoreid.data.arrays import decode
from autoreid.data.market1501 import read
from autoreid.errors import RunError
{setup}
try:
    array = decode(read(Path(sys.argv[1])), int(sys.argv[3]), 32, Path(sys.argv[2]))
    print(hashlib.sha256(array.tobytes()).hexdigest())
except RunError as error:
    print(error)
"""


def start(root: Path, cache: Path, height: int = 64, setup: str = "") -> subprocess.Popen[str]:
    """Decode in a process of its own; it prints the digest of the array, or the RunError."""
    code = DECODE.format(setup=setup)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(cache), str(height)], stdout=subprocess.PIPE, text=True
    )


def leftovers(cache: Path) -> list[Path]:
    return list((cache / "arrays").glob(f"{PART}*"))


def test_rows_hold_the_images_in_the_order_of_the_index(market: Path, cache: Path) -> None:
    index = read(market)
    array = decode(index, 24, 12)
    assert array.shape == (len(index), 3, 24, 12)
    assert array.dtype == np.uint8
    for row, name in enumerate(index.names):
        expected = np.asarray(Image.open(market / name).convert("RGB"))
        assert np.array_equal(array[row].transpose(1, 2, 0), expected)


@pytest.mark.parametrize(("height", "width"), [(9, 5), (48, 30)])
def test_resizing_is_bilinear_with_antialiasing(market: Path, cache: Path, height: int, width: int) -> None:
    index = read(market)
    array = decode(index, height, width)
    pixels = np.stack([np.asarray(Image.open(market / name)) for name in index.names])
    full = torch.from_numpy(pixels).permute(0, 3, 1, 2).double()
    expected = F.interpolate(full, (height, width), mode="bilinear", antialias=True, align_corners=False)
    # Pillow rounds to whole levels after each of its two passes.
    assert (torch.from_numpy(np.array(array)).double() - expected).abs().max() <= 1.01


def test_grey_palette_and_transparent_images_become_rgb(market: Path, cache: Path) -> None:
    folder = market / "bounding_box_train"
    grey = Image.fromarray(np.arange(288, dtype=np.uint8).reshape(24, 12))
    grey.save(folder / "0012_c1s1_000001_01.png")
    grey.convert("P").save(folder / "0012_c2s1_000001_01.png")
    grey.convert("RGBA").save(folder / "0012_c3s1_000001_01.png")
    index = read(market)
    array = decode(index, 24, 12)
    for row in np.flatnonzero(index.identities == 12):
        assert (array[row] == np.asarray(grey)).all()


def test_it_is_decoded_once_and_mapped_afterwards(
    market: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = read(market)
    first = decode(index, 16, 8)
    monkeypatch.setattr(arrays, "read_image", lambda path: pytest.fail("decoded again"))
    second = decode(index, 16, 8)
    assert isinstance(second, np.memmap)
    assert np.array_equal(first, second)


def test_writing_to_the_map_reaches_nobody(market: Path, cache: Path) -> None:
    index = read(market)
    first = decode(index, 16, 8)
    before = np.array(first)
    first[:] = 0
    assert np.array_equal(decode(index, 16, 8), before)


def test_an_array_larger_than_the_memory_is_read_only(
    market: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = read(market)
    expected = np.array(decode(index, 16, 8))
    open_memmap = np.lib.format.open_memmap

    def too_large(path: Path, mode: str) -> np.ndarray:
        if mode == "c":
            raise OSError(12, "Cannot allocate memory")
        return open_memmap(path, mode=mode)

    monkeypatch.setattr(np.lib.format, "open_memmap", too_large)
    monkeypatch.setattr(arrays, "read_image", lambda path: pytest.fail("decoded again"))
    found = decode(index, 16, 8)
    assert np.array_equal(found, expected)
    assert not found.flags.writeable


def test_size_and_content_have_files_of_their_own(market: Path, cache: Path) -> None:
    index = read(market)
    decode(index, 16, 8)
    decode(index, 8, 16)
    before = np.array(decode(index, 8, 8))
    Image.new("RGB", (12, 24), "red").save(market / index.names[0])
    after = decode(read(market), 8, 8)
    assert len(list((cache / "arrays").glob("*.npy"))) == 4
    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1:], after[1:])


def test_unreadable_images_are_listed_and_nothing_is_left(market: Path, cache: Path) -> None:
    train = sorted((market / "bounding_box_train").iterdir())
    train[0].write_bytes(train[0].read_bytes()[:-60])
    train[1].write_bytes(b"")
    train[2].write_text("<html>404</html>")
    with pytest.raises(InputError) as caught:
        decode(read(market), 16, 8)
    assert len(caught.value.problems) == 3
    assert "truncated" in caught.value.problems[0]
    assert f"{train[1].name}: not an image" in caught.value.problems[1]
    assert "Restore these images" in str(caught.value)
    assert not leftovers(cache)
    assert not list((cache / "arrays").glob("*.npy"))


def test_of_many_unreadable_images_ten_are_shown(market: Path, cache: Path) -> None:
    for path in (market / "bounding_box_train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"and 2 more \(12 in all\)") as caught:
        decode(read(market), 16, 8)
    assert len(caught.value.problems) == 11


def damaged(whole: bytes) -> dict[str, bytes]:
    def saved(array: np.ndarray) -> bytes:
        import io

        file = io.BytesIO()
        np.save(file, array, allow_pickle=True)
        return file.getvalue()

    return {
        "empty": b"",
        "half a header": whole[:40],
        "cut short": whole[:-1],
        "too long": whole + b"\0",
        "not an array": b"PK\x03\x04" + whole,
        "a broken header": whole[:12] + b"{{(" + whole[15:],
        "another shape": saved(np.zeros((3, 3, 16, 8), np.uint8)),
        "another type": saved(np.zeros((19, 3, 16, 8), np.int8)),
        "column order": saved(np.asfortranarray(np.zeros((19, 3, 16, 8), np.uint8))),
        "objects": saved(np.array([None])),
    }


@pytest.mark.parametrize("kind", list(damaged(b"\0" * 64)))
def test_a_damaged_file_is_built_again(market: Path, cache: Path, kind: str) -> None:
    index = read(market)
    expected = np.array(decode(index, 16, 8))
    path = array_path(index, 16, 8)
    path.write_bytes(damaged(path.read_bytes())[kind])
    assert np.array_equal(decode(index, 16, 8), expected)


SLOW = """
import time
from autoreid.data import arrays
quick = arrays.resized
arrays.resized = lambda *given: time.sleep(0.05) or quick(*given)
"""
NO_LOCKS = "import contextlib; arrays.one_builder = lambda path: contextlib.nullcontext()"


@pytest.mark.parametrize("setup", [SLOW, SLOW + NO_LOCKS], ids=["locks", "no locks"])
def test_two_processes_may_build_at_once(market: Path, cache: Path, setup: str) -> None:
    processes = [start(market, cache, setup=setup) for _ in range(2)]
    found = {process.communicate(timeout=60)[0] for process in processes}
    assert len(found) == 1
    assert len(found.pop().strip()) == 64
    assert not leftovers(cache)
    assert len(list((cache / "arrays").glob("*.npy"))) == 1


STUCK = """
import threading
from autoreid.data import arrays
arrays.resized = lambda *_: print("decoding", flush=True) or threading.Event().wait()
"""


def test_a_killed_build_harms_nobody(market: Path, cache: Path) -> None:
    with start(market, cache, setup=STUCK) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "decoding\n"
        assert len(leftovers(cache)) == 1
        process.send_signal(signal.SIGKILL)
    (left,) = leftovers(cache)
    os.utime(left, (0, 0))
    assert decode(read(market), 64, 32, cache).shape == (19, 3, 64, 32)
    assert not leftovers(cache)


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
NO_FALLOCATE = "import os; del os.posix_fallocate"


@pytest.mark.parametrize("setup", [LIMIT, f"{LIMIT}\n{NO_FALLOCATE}"])
def test_a_full_disk_is_a_clear_error(market: Path, cache: Path, setup: str) -> None:
    text = start(market, cache, setup=setup).communicate(timeout=60)[0]
    assert "cannot be written (File too large); the decoded images take 0 MB. Free space" in text
    assert not leftovers(cache)


def test_a_file_system_that_cannot_reserve_room_is_used_all_the_same(
    market: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert decode(read(market), 16, 8).shape == (19, 3, 16, 8)

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RunError, match="No space left on device"):
        decode(read(market), 16, 9)


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(market: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"the cache cannot be written .*Set AUTOREID_CACHE"):
        decode(read(market), 16, 8, tmp_path / "file")


def test_a_size_of_nothing_is_refused(market: Path, cache: Path) -> None:
    with pytest.raises(InputError, match="0 x 8 pixels is too small"):
        decode(read(market), 0, 8)


def test_big_sets_say_what_they_do(
    market: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arrays, "SAID_FROM_IMAGES", 10)
    monkeypatch.setattr(arrays, "SAID_EVERY_SECONDS", -1.0)
    decode(read(market), 16, 8)
    assert capsys.readouterr().err.splitlines() == [
        "decoding 19 images to 16 x 8, once for this machine",
        "decoded 19 of 19 images",
    ]
