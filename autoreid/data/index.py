"""The index of a data set: which image shows whom, through which camera, in which split. Free of torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autoreid.data.disk import default_cache, thread_count, write_whole
from autoreid.errors import InputError, unknown

SPLITS = ("train", "query", "gallery")
FINGERPRINT_VERSION = 1
KEPT_FINGERPRINTS = 8
SHOWN = 10


@dataclass(frozen=True, slots=True, eq=False)
class ImageIndex:
    """One row an image, sorted by name.

    names: posix paths relative to `root`, unique. identities, cameras: int64 (images,). splits: str
    (images,), each "train", "query" or "gallery". Identity 0 in the gallery is a distractor. facts: what the
    reader says of the set as a whole and a result must name, such as {"variant": "detected"}; "layout" is
    shown and never compared. single_camera: matches under the query's own camera count, which the user chose.
    InputError where the parts do not fit together.
    """

    root: Path
    names: tuple[str, ...]
    identities: np.ndarray
    cameras: np.ndarray
    splits: np.ndarray
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)
    single_camera: bool = False

    def __post_init__(self) -> None:
        shape = (len(self.names),)
        problems = [
            f"{part} has shape {getattr(self, part).shape} for {shape[0]} names. Give one entry an image."
            for part in ("identities", "cameras", "splits")
            if getattr(self, part).shape != shape
        ]
        if any(first >= second for first, second in zip(self.names, self.names[1:], strict=False)):
            problems.append("the names are not sorted or not unique. Sort them, each once.")
        alien = sorted(set(self.splits.tolist()) - set(SPLITS))
        problems.extend(unknown("split", split, SPLITS) for split in alien)
        if problems:
            raise InputError(*(f"{self.root}: {problem}" for problem in problems))

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of a split, int64, ascending; empty where the data set has no such split."""
        if split not in SPLITS:
            raise InputError(f"{self.root}: {unknown('split', split, SPLITS)}")
        return np.flatnonzero(self.splits == split)


def identity_order(index: ImageIndex) -> list[int]:
    """The training identities in the order of their classes: sorted."""
    found: list[int] = np.unique(index.identities[index.rows("train")]).tolist()
    return found


def fingerprint(index: ImageIndex, cache: Path | None = None) -> str:
    """64 hexadecimal digits that stand for the indexed images: SHA-256 over their names and bytes, and over
    what the index says of each (identity, camera, split) and of the protocol (one camera only).

    Paths and times do not enter, so a copy of the data has the same fingerprint. The bytes are read once;
    what they gave is stored in `<root>/.autoreid/fingerprint.json` under a digest of the listing (names,
    sizes, modification times): a changed folder is computed anew. Where the root cannot be written, the cache
    folder is used.
    Images that cannot be read are reported together as one InputError.
    """
    listing = _listing_digest(index)
    folder = default_cache() if cache is None else cache
    place = hashlib.sha256(str(index.root.resolve()).encode()).hexdigest()[:16]
    places = (index.root / ".autoreid" / "fingerprint.json", folder / "fingerprints" / f"{place}.json")
    for path in places:
        known = _stored(path).get(listing)
        if known is not None:
            return _labelled(known, index)
    result = _content_digest(index)
    for path in places:
        kept = dict(list(_stored(path).items())[-KEPT_FINGERPRINTS + 1 :]) | {listing: result}
        text = json.dumps({"version": FINGERPRINT_VERSION, "fingerprints": kept}, indent=1) + "\n"
        try:
            write_whole(path, text.encode())
            break
        except OSError:
            continue  # storing only saves time: without it the next call computes again
    return _labelled(result, index)


def _labelled(content: str, index: ImageIndex) -> str:
    """Two readers may divide the same images differently: what they say is part of the data.

    So is the single-camera protocol; without it nothing is added, and fingerprints of old stay as they were.
    """
    labels = zip(index.identities.tolist(), index.cameras.tolist(), index.splits.tolist(), strict=True)
    said = "\n".join(f"{identity} {camera} {split}" for identity, camera, split in labels)
    protocol = "\nsingle camera" if index.single_camera else ""
    return hashlib.sha256(f"{content}\n{said}{protocol}".encode()).hexdigest()


def _listing_digest(index: ImageIndex) -> str:
    digest = hashlib.sha256()
    problems = []
    for name in index.names:
        try:
            state = (index.root / name).stat()
        except OSError as error:
            problems.append(f"{name}: {error.strerror or error}")
            continue
        digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    if problems:
        raise InputError(*few(index.root, problems, "Restore these images from the data set's archive."))
    return digest.hexdigest()


def _content_digest(index: ImageIndex) -> str:
    digest = hashlib.sha256()
    problems = []
    for name, (found, problem) in zip(index.names, _file_digests(index), strict=True):
        if problem:
            problems.append(f"{name}: {problem}")
        digest.update(f"{name}\0{found}\n".encode())
    if problems:
        raise InputError(*few(index.root, problems, "Restore these images from the data set's archive."))
    return digest.hexdigest()


def _file_digests(index: ImageIndex) -> Iterator[tuple[str, str]]:
    def read(name: str) -> tuple[str, str]:
        try:
            return hashlib.sha256((index.root / name).read_bytes()).hexdigest(), ""
        except OSError as error:
            return "", error.strerror or str(error)

    with ThreadPoolExecutor(thread_count()) as pool:
        yield from pool.map(read, index.names)


def _stored(path: Path) -> dict[str, str]:
    """Fingerprints by listing; empty where the file is missing, damaged or of another version."""
    try:
        given = json.loads(path.read_bytes())
        if given["version"] != FINGERPRINT_VERSION:
            return {}
        found = dict(given["fingerprints"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    right = {key: text for key, text in found.items() if isinstance(text, str) and len(text) == 64}
    return right if len(right) == len(found) else {}


def few(place: Path | str, problems: list[str], remedy: str, shown: int = SHOWN) -> list[str]:
    """The first `shown` problems, how many there are in all, and what to do about them.

    >>> few("data", ["a.jpg: empty", "b.jpg: empty", "c.jpg: empty"], "Restore them.", shown=2)
    ['data: a.jpg: empty', 'data: b.jpg: empty', 'data: ... and 1 more (3 in all). Restore them.']
    """
    lines = [f"{place}: {problem}" for problem in problems[:shown]]
    hidden = len(problems) - len(lines)
    if hidden:
        return [*lines, f"{place}: ... and {hidden} more ({len(problems)} in all). {remedy}"]
    return [*lines[:-1], f"{lines[-1]}. {remedy}"]
