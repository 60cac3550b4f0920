"""Images decoded once into one array on local disk, mapped into memory by every process of the machine."""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from autoreid.cli import say
from autoreid.data.disk import default_cache, one_builder, sweep, thread_count, writable_folder
from autoreid.data.images import read_image, reason
from autoreid.data.index import ImageIndex, few, fingerprint
from autoreid.errors import InputError, RunError
from autoreid.whole_files import temporary_beside

DECODE_VERSION = 2
IMAGES_PER_TASK = 64
SAID_FROM_IMAGES = 5000
SAID_EVERY_SECONDS = 10.0
NO_RESERVATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def decode(
    index: ImageIndex,
    height: int,
    width: int,
    cache: Path | None = None,
    fingerprint_hex: str | None = None,
) -> np.ndarray:
    """All images of an index: uint8 (images, 3, height, width), RGB, rows in the order of the index.

    The array is a private map of one file in `cache` (`default_cache()`), which is built where it is not
    there yet or is damaged: all processes of a machine share its pages, and a write to the array reaches
    nobody else (an array larger than the machine's memory is read-only). Images are resized with an
    antialiased bilinear filter. `fingerprint_hex` spares computing the fingerprint again.

    InputError lists the images that cannot be read; RunError when the disk is full. Neither leaves a file.
    """
    if height < 1 or width < 1:
        raise InputError(f"height and width: {height} x {width} pixels is too small. Use 1 or more.")
    path = array_path(index, height, width, cache, fingerprint_hex)
    shape = (len(index), 3, height, width)
    array = _open(path, shape)
    if array is None:
        writable_folder(path.parent)
        with one_builder(path):
            array = _open(path, shape)
            if array is None:
                sweep(path.parent)
                _build(index, path, shape)
                array = _open(path, shape)
    if array is None:
        raise RunError(f"{path}: damaged right after it was written. Choose another disk for AUTOREID_CACHE.")
    return array


def array_path(
    index: ImageIndex,
    height: int,
    width: int,
    cache: Path | None = None,
    fingerprint_hex: str | None = None,
) -> Path:
    """The file that holds the decoded images of `index` at this size, whether it is there or not."""
    folder = default_cache() if cache is None else cache
    content = fingerprint_hex or fingerprint(index, folder)
    return folder / "arrays" / f"{content}-{height}x{width}-v{DECODE_VERSION}.npy"


def _open(path: Path, shape: tuple[int, ...]) -> np.memmap | None:
    """The mapped array, or None where the file is missing or is not whole."""
    try:
        array = _map(path)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError):
        return None
    right = array.dtype == np.uint8 and array.shape == shape
    whole = right and array.flags.c_contiguous and path.stat().st_size == array.offset + array.nbytes
    return array if whole else None


def _map(path: Path) -> np.memmap:
    try:
        return np.lib.format.open_memmap(path, mode="c")
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        # Linux counts a private map as memory that may be written, and refuses one larger than the machine's.
        return np.lib.format.open_memmap(path, mode="r")


def _build(index: ImageIndex, path: Path, shape: tuple[int, ...]) -> None:
    temporary = temporary_beside(path)
    size = int(np.prod(shape, dtype=np.int64))
    try:
        with temporary.open("xb") as file:
            offset = _write_header(file, shape, size)
            problems = _fill(index, file.fileno(), offset, shape)
            if problems:
                remedy = "Restore these images from the data set's archive, or move them away."
                raise InputError(*few(index.root, problems, remedy))
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); the decoded images take "
            f"{size / 1e6:,.0f} MB. Free space, or set AUTOREID_CACHE to a folder on another local disk."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_header(file: BinaryIO, shape: tuple[int, ...], size: int) -> int:
    """Write the .npy header, reserve room for the images and return where they begin.

    The rows are then written, not mapped: on a full disk a write fails with an error, a map with a signal
    that ends the process.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape},
    )
    file.write(header.getvalue())
    file.flush()
    offset = file.tell()
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(file.fileno(), offset, size)
        except OSError as error:
            if error.errno not in NO_RESERVATION:
                raise
    return offset


def _fill(index: ImageIndex, descriptor: int, offset: int, shape: tuple[int, ...]) -> list[str]:
    """Decode all images into their places; the problems of those that cannot be read."""
    size = int(np.prod(shape[1:]))

    def decode_some(first: int) -> list[str]:
        rows = np.zeros((min(IMAGES_PER_TASK, shape[0] - first), *shape[1:]), dtype=np.uint8)
        problems = []
        for row, name in enumerate(index.names[first : first + len(rows)]):
            try:
                rows[row] = resized(read_image(index.root / name), shape[2], shape[3])
            except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
                problems.append(f"{name}: {reason(error)}")
        _write_at(descriptor, rows, offset + first * size)
        return problems

    starts = range(0, shape[0], IMAGES_PER_TASK)
    with ThreadPoolExecutor(thread_count()) as pool:
        parts = list(_with_progress(pool.map(decode_some, starts), shape))
    return [problem for part in parts for problem in part]


def resized(image: Image.Image, height: int, width: int) -> np.ndarray:
    """An RGB image as uint8 (3, height, width), resized with an antialiased bilinear filter."""
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return pixels.transpose(2, 0, 1)


def _write_at(descriptor: int, rows: np.ndarray, offset: int) -> None:
    left = memoryview(rows.tobytes())
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written


def _with_progress(parts: Iterator[list[str]], shape: tuple[int, ...]) -> Iterator[list[str]]:
    """The same parts; for big sets, a line on stderr now and then."""
    total, height, width = shape[0], shape[2], shape[3]
    spoken = total >= SAID_FROM_IMAGES
    if spoken:
        say(f"decoding {total:,} images to {height} x {width}, once for this machine")
    last = time.monotonic()
    for count, part in enumerate(parts, start=1):
        if spoken and time.monotonic() - last > SAID_EVERY_SECONDS:
            say(f"decoded {min(total, count * IMAGES_PER_TASK):,} of {total:,} images")
            last = time.monotonic()
        yield part
