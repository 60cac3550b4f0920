"""The images of CUHK03's official cuhk-03.mat, extracted once into the cache. Free of torch.

The file is HDF5: "labeled" and "detected" hold references to five pairs of cameras, each a matrix of
references, a person a row, whose ten columns are five shots of the first view and five of the second; a shot
is uint8 (3, width, height), an absent one is no image at all. The protocol's file is MATLAB 5: "filelist"
names the images, "train_idx", "query_idx" and "gallery_idx" count them from 1.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from autoreid import values
from autoreid.cli import say
from autoreid.data.cuhk03 import divided_rows, split_file
from autoreid.data.disk import default_cache, one_builder, sweep, writable_folder
from autoreid.data.index import few
from autoreid.errors import InputError, RunError
from autoreid.whole_files import temporary_beside

EXTRACT_VERSION = 1
INDICES = {"train": "train_idx", "query": "query_idx", "gallery": "gallery_idx"}
SHOTS_OF_A_VIEW = 5
RESTORE = "Download the file again."


def extracted(mat: Path, protocol: Path, variant: str, cache: Path | None = None) -> Path:
    """The folder with images_VARIANT/ and splits_new_VARIANT.json, whole: made where it is not there yet.

    Images are stored as BMP, whose bytes no version of a compressor changes: two machines come to the same
    fingerprint. The folder is known by the two files' places, sizes and times. InputError where a file is
    damaged or a reader is not installed, RunError on a full disk; neither leaves a folder.
    """
    folder = writable_folder((default_cache() if cache is None else cache) / "cuhk03")
    target = folder / _key(mat, protocol, variant)
    if not target.is_dir():
        with one_builder(target):
            if not target.is_dir():
                sweep(folder)
                _extract(mat, protocol, variant, target)
    return target


def _key(mat: Path, protocol: Path, variant: str) -> str:
    states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in (mat, protocol)]
    return f"{variant}-{values.digest([variant, *map(list, states)])[:16]}-v{EXTRACT_VERSION}"


def _extract(mat: Path, protocol: Path, variant: str, target: Path) -> None:
    hdf5, matlab = _readers()
    division = _division(matlab, protocol)
    say(f"extracting the {variant} images of {mat.name}, once for this machine")
    temporary = temporary_beside(target)
    images = temporary / f"images_{variant}"
    try:
        images.mkdir(parents=True)
        present = _write_images(hdf5, mat, variant, images)
        _, problems = divided_rows(division, present, mat.name)
        if problems:
            raise InputError(*few(protocol, problems, f"The two files do not belong together. {RESTORE}"))
        plain = {split: [[name, 0, 0] for name in names] for split, names in division.items()}
        (temporary / split_file(variant)).write_text(json.dumps([plain]))
        try:
            temporary.replace(target)
        except OSError:
            if not target.is_dir():  # another process made it meanwhile, where nothing can be locked
                raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"{target}: extracting failed ({reason}). Free space or give another cache."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _readers() -> tuple[ModuleType, ModuleType]:
    try:
        import h5py
        import scipy.io
    except ImportError as error:
        raise InputError(
            f"cuhk03: {error.name} is not installed, and it reads .mat files. Install autoreid[cuhk03], or "
            "give CUHK03 as extracted images or in Market-1501 folders."
        ) from error
    return h5py, scipy.io


def _division(matlab: ModuleType, protocol: Path) -> dict[str, list[str]]:
    """Names of the images by split."""
    try:
        held = matlab.loadmat(protocol)
        names = [str(entry.item()) for entry in held["filelist"].reshape(-1)]
        found = {}
        for split, key in INDICES.items():
            rows = held[key].reshape(-1).astype(np.int64)
            if rows.min(initial=1) < 1 or rows.max(initial=0) > len(names):
                raise ValueError(f"{key} counts beyond the {len(names)} names of filelist")
            found[split] = [names[row - 1] for row in rows]
        return found
    except Exception as error:  # a damaged file may fail anywhere in scipy's reader
        raise InputError(f"{protocol}: not the protocol's file ({_words(error)}). {RESTORE}") from error


def _write_images(hdf5: ModuleType, mat: Path, variant: str, folder: Path) -> dict[str, str]:
    """Write all images of a variant; their file names by stem."""
    present = {}
    try:
        file = hdf5.File(mat, "r")
    except Exception as error:  # HDF5 says OSError and more for what is no HDF5
        raise InputError(f"{mat}: not the official HDF5 file ({_words(error)}). {RESTORE}") from error
    with file:
        shots = _shots(file, variant)
        while True:
            try:
                stem, pixels = next(shots)
            except StopIteration:
                break
            except Exception as error:
                raise InputError(f"{mat}: damaged or of another kind ({_words(error)}). {RESTORE}") from error
            Image.fromarray(pixels).save(folder / f"{stem}.bmp")
            present[stem] = f"{stem}.bmp"
    if not present:
        raise InputError(f"{mat}: no image in {variant!r}. {RESTORE}")
    return present


def _shots(file: Any, variant: str) -> Iterator[tuple[str, np.ndarray]]:
    """Stem and RGB pixels (height, width, 3) of every image of a variant."""
    for pair, reference in enumerate(np.asarray(file[variant]).reshape(-1), start=1):
        people = np.asarray(file[reference]).T
        for person, shots in enumerate(people, start=1):
            for shot, place in enumerate(shots, start=1):
                pixels = np.asarray(file[place])
                if pixels.size == 0 or pixels.ndim < 3:
                    continue
                view = 1 if shot <= SHOTS_OF_A_VIEW else 2
                stem = f"{pair}_{person:03d}_{view}_{shot:02d}"
                if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != np.uint8:
                    raise ValueError(f"{stem}: {pixels.dtype} {pixels.shape} is no image")
                yield stem, np.ascontiguousarray(pixels.T)


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
