"""Features of images in one parquet file, which says what made them. Free of torch.

Columns: name, folder (where the name starts), identity, camera and split (null where nothing says them), and
feature, a list of `dimension` float32 of length 1. The file's metadata, each key with the prefix
"autoreid.": version, model, genotype, height, width, flip, precision, normalised.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from autoreid.errors import InputError
from autoreid.gallery.feature_form import VERSION, column_problems, metadata_problems
from autoreid.gallery.images import ImageFile

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "autoreid."
FIXED = {"version": VERSION, "normalised": "true"}
LABELS = ("name", "folder", "identity", "camera", "split")
# Rows of a row group: what is held of a file at once.
GROUP = 4096
# How far the length of a feature may be from 1: float32 rounds it, a changed file is farther off.
LENGTH_SLACK = 1e-4
REMEDY = "Write it again with 'autoreid embed'."
FORM = "Write it with 'autoreid embed', or in the form that docs/galleries.md tells."


@dataclass(frozen=True, slots=True)
class Origin:
    """What features come from. model: the digest of the network; height and width: of the images that it
    takes, in pixels; precision: in which it ran; flip: whether its features are means with those of mirror
    images. Features of one origin can be compared.

    >>> Origin.read({"model": "ab", "genotype": "{}", "height": "64", "width": "32", "flip": "false",
    ...              "precision": "fp32"}).height
    64
    """

    model: str
    genotype: str
    height: int
    width: int
    flip: bool
    precision: str

    def texts(self) -> dict[str, str]:
        """The fields as a file's metadata holds them."""
        return {
            name: json.dumps(value) if name == "flip" else str(value) for name, value in asdict(self).items()
        }

    @classmethod
    def read(cls, texts: Mapping[str, str]) -> Origin:
        """The inverse of `texts`, of metadata without problems."""
        return cls(
            model=texts["model"],
            genotype=texts["genotype"],
            flip=texts["flip"] == "true",
            precision=texts["precision"],
            height=int(texts["height"]),
            width=int(texts["width"]),
        )

    def preprocessing(self) -> dict[str, Any]:
        """What is done to images, as JSON values."""
        return {name: getattr(self, name) for name in ("height", "width", "flip", "precision")}

    def differences(self, other: Origin) -> list[str]:
        """The names of the fields in which two origins differ."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]


def _columns(dimension: int) -> pa.Schema:
    import pyarrow as pa  # deferred: slow to load

    columns = [
        pa.field("name", pa.string(), nullable=False),
        pa.field("folder", pa.string(), nullable=False),
        pa.field("identity", pa.int64()),
        pa.field("camera", pa.int64()),
        pa.field("split", pa.string()),
        pa.field("feature", pa.list_(pa.field("element", pa.float32(), nullable=False), dimension), False),
    ]
    return pa.schema(columns)


class FeatureWriter:
    """Writes features to an open file as they come, `GROUP` rows at a time."""

    def __init__(self, file: BinaryIO, origin: Origin, dimension: int) -> None:
        import pyarrow.parquet as parquet  # deferred: slow to load

        said = {f"{PREFIX}{name}": text for name, text in (FIXED | origin.texts()).items()}
        self.schema = _columns(dimension).with_metadata(said)
        self.writer = parquet.ParquetWriter(
            file,
            self.schema,
            compression="none",
            use_dictionary=["folder", "split"],
            write_page_checksum=True,
        )
        self.images: list[ImageFile] = []
        self.features: list[np.ndarray] = []
        self.rows = 0

    def add(self, images: Sequence[ImageFile], features: np.ndarray) -> None:
        """Images and their features, float32 (len(images), dimension), of length 1 each."""
        self.images += images
        self.features.append(features)
        if len(self.images) >= GROUP:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa  # deferred: slow to load

        if not self.images:
            return
        labels = {
            "name": [image.name for image in self.images],
            "folder": [image.folder for image in self.images],
            **{name: [getattr(image.said, name) for image in self.images] for name in LABELS[2:]},
        }
        arrays = [pa.array(labels[name], self.schema.field(name).type) for name in LABELS]
        values = pa.array(np.concatenate(self.features).astype(np.float32, copy=False).ravel())
        features = pa.FixedSizeListArray.from_arrays(values, type=self.schema.field("feature").type)
        table = pa.Table.from_arrays([*arrays, features], schema=self.schema)
        self.writer.write_table(table, row_group_size=GROUP)
        self.rows += len(self.images)
        self.images, self.features = [], []

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is left, and the file's end; after an error the file is of no use to anyone."""
        try:
            if kind is None:
                self._write()
                self.writer.close()
        finally:
            self.writer.is_open = False  # else it would be closed once more when it is collected


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """A file of features whose form was checked: nothing of its size is held."""

    path: Path
    origin: Origin
    dimension: int
    count: int

    @classmethod
    def open(cls, path: Path) -> FeatureFile:
        """InputError, all problems together, where there is no such file, or it is none of features."""
        import pyarrow.parquet as parquet  # deferred: slow to load

        if not path.is_file():
            raise InputError(f"{path}: no such file. {REMEDY}")
        with _named(path), parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            texts, count = _texts(metadata.metadata), metadata.num_rows
        if texts.get("version", VERSION) != VERSION:
            raise InputError(
                f"{path}: version {texts['version']!r} of the format of features; this release reads "
                f"{VERSION}. Use the release that wrote it, or a newer one."
            )
        found = schema.get_all_field_indices("feature")
        dimension = getattr(schema.field(found[0]).type, "list_size", 0) if found else 0
        problems = [*column_problems(schema, _columns(max(1, dimension))), *metadata_problems(texts, PREFIX)]
        if problems:
            raise InputError(*(f"{path}: {problem}" for problem in problems), f"{path}: {FORM}")
        return cls(path, Origin.read(texts), dimension, count)

    def blocks(self, rows: int = GROUP) -> Iterator[np.ndarray]:
        """The features in order, float32 (at most `rows`, dimension), read as they are asked for.

        InputError for features that are not of length 1, or are not finite.
        """
        import pyarrow.parquet as parquet  # deferred: slow to load

        start = 0
        # Buffered ahead, all of the column would be in memory.
        how = {"page_checksum_verification": True, "pre_buffer": False}
        with _named(self.path), parquet.ParquetFile(self.path, **how) as file:
            for batch in file.iter_batches(rows, columns=["feature"]):
                values = batch.column(0).flatten().to_numpy().reshape(-1, self.dimension)
                self._check(values, start)
                start += len(values)
                yield values

    def _check(self, values: np.ndarray, start: int) -> None:
        lengths = np.vecdot(values, values)
        broken = np.flatnonzero(~(np.abs(lengths - 1) <= LENGTH_SLACK))
        if broken.size:
            raise InputError(
                f"{self.path}: the feature of row {start + broken[0]} has not length 1: it was changed after "
                "it was written, or never divided by its length (L2). Write it again."
            )

    def labels(self) -> pa.Table:
        """The columns beside the features."""
        import pyarrow.parquet as parquet  # deferred: slow to load

        with _named(self.path):
            return parquet.read_table(self.path, columns=list(LABELS), page_checksum_verification=True)


def is_feature_file(path: Path) -> bool:
    """Whether a file is one of features; an index file in parquet is none."""
    import pyarrow.parquet as parquet  # deferred: slow to load

    if path.suffix.lower() != ".parquet" or not path.is_file():
        return False
    with _named(path):
        return "feature" in parquet.read_schema(path).names


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    found = {
        key.decode(errors="replace"): text.decode(errors="replace") for key, text in (metadata or {}).items()
    }
    return {key.removeprefix(PREFIX): text for key, text in found.items() if key.startswith(PREFIX)}


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """What pyarrow raises over a file, as an InputError that names it."""
    from pyarrow import ArrowException  # deferred: slow to load

    try:
        yield
    except (ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as parquet ({reason}). {REMEDY}") from None
