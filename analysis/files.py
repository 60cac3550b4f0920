"""The parquet file of one table and campaign: written in batches, and read again by the next collection.

A part is all that a job adds to the table. The metadata of a file names its parts in order, each with a stamp
of what it was made of and its rows; so the next collection takes over those that have not changed. Parts are
never divided between row groups.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.tables import CAMPAIGN_FACTS_KEY, CAMPAIGN_KEY, file_of, schema
from autoreid.folders import Folder, LocalFolder
from autoreid.records import SCHEMA_VERSION
from autoreid.version import __version__

PARTS_KEY = "autoreid_parts"
# So many rows, or as many more as the last part has, are held until they are written as a row group.
BATCH_ROWS = 1 << 17


def digest(stamp: str) -> str:
    """A stamp as a file keeps it; another release makes another one of the same stamp. Empty for none."""
    text = f"{__version__} {SCHEMA_VERSION} {stamp}"
    return hashlib.sha256(text.encode()).hexdigest()[:16] if stamp else ""


class TableFile:
    """A file that grows on the local disk, whatever folder it is for; only some rows are in memory."""

    def __init__(self, table: str, campaign: str, facts: str | None = None) -> None:
        declared = schema(table)
        metadata = {**declared.metadata, CAMPAIGN_KEY: campaign}
        metadata |= {CAMPAIGN_FACTS_KEY: facts} if facts is not None else {}
        self.schema = declared.with_metadata(metadata)
        self.content = tempfile.TemporaryFile()  # noqa: SIM115  # until it is put
        self.writer = pq.ParquetWriter(
            self.content,
            self.schema,
            compression="zstd",
            # Numbers hardly repeat.
            use_dictionary=[field.name for field in self.schema if field.type == pa.string()],
            write_page_checksum=True,
        )
        self.waiting: list[pa.Table] = []
        self.held = 0
        self.rows: list[dict[str, Any]] = []
        self.parts: list[str] = []

    def add_rows(self, rows: list[dict[str, Any]]) -> None:
        """Add rows with all columns of the table."""
        self.rows += rows
        if len(self.rows) >= BATCH_ROWS // 32:
            self._from_rows()

    def _from_rows(self) -> None:
        if self.rows:
            self._add(pa.Table.from_pylist(self.rows, schema=self.schema))
            self.rows = []

    def add_part(self, part: pa.Table, stamp: str) -> None:
        """Add the rows of a job, and what they were made of: nothing where they are to be made again."""
        self.parts.append(f"{digest(stamp)}:{part.num_rows}")
        self._add(part)

    def _add(self, part: pa.Table) -> None:
        if part.num_rows:
            self.waiting.append(part.replace_schema_metadata(self.schema.metadata))
            self.held += part.num_rows
        if self.held >= BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        if self.waiting:
            whole = pa.concat_tables(self.waiting).combine_chunks()
            self.writer.write_table(whole, row_group_size=max(1, whole.num_rows))
            self.waiting, self.held = [], 0

    def put(self, folder: Folder, name: str) -> None:
        """Replace the file of a folder."""
        self._from_rows()
        self._write()
        if self.parts:
            self.writer.add_key_value_metadata({PARTS_KEY: " ".join(self.parts)})
        self.writer.close()
        self.content.seek(0)
        folder.write(name, self.content)

    def close(self) -> None:
        """Let go of what was not put."""
        self.writer.close()
        self.content.close()


class Earlier:
    """The parts of the file that an earlier collection wrote, to be taken over in their order.

    One row group is in memory at a time: a part that lies before the last one that was taken is not given.
    """

    def __init__(self, folder: Folder, table: str, campaign: str) -> None:
        self.file: pq.ParquetFile | None = None
        self.places: dict[str, tuple[int, int, int]] = {}
        self.group, self.content = -1, schema(table).empty_table()
        name = file_of(table, campaign)
        try:
            source = (
                str(folder.root / name) if isinstance(folder, LocalFolder) else io.BytesIO(folder.read(name))
            )
            self.file = pq.ParquetFile(source, page_checksum_verification=True)
            if self.file.schema_arrow.remove_metadata().equals(schema(table).remove_metadata()):
                self.places = _places(self.file.metadata)
        except (OSError, pa.ArrowException, ValueError):
            pass  # missing, damaged or alien: everything is made again

    def take(self, stamp: str) -> pa.Table | None:
        """The rows that were made of the same; None where there are none."""
        group, begin, rows = self.places.get(digest(stamp), (-1, 0, 0))
        if self.file is None or group < 0 or (rows and group < self.group):
            return None
        if not rows:
            return self.content.slice(0, 0)
        if group > self.group:
            try:
                self.content = self.file.read_row_group(group)
                self.group = group
            except (OSError, pa.ArrowException):
                self.places = {}
                return None
        return self.content.slice(begin, rows)

    def close(self) -> None:
        """Let go of the file, which is about to be replaced."""
        if self.file is not None:
            self.file.close()


def _places(metadata: pq.FileMetaData) -> dict[str, tuple[int, int, int]]:
    """Row group, first row in it and rows of each part, by stamp; ValueError where they do not fit."""
    given = (metadata.metadata or {}).get(PARTS_KEY.encode(), b"").decode()
    found: dict[str, tuple[int, int, int]] = {}
    ends = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    group = begin = 0
    for text in given.split():
        stamp, _, count = text.partition(":")
        rows = int(count)
        if group < len(ends) and begin == ends[group] and rows:
            group, begin = group + 1, 0
        if stamp:
            found[stamp] = (group, begin, rows)
        begin += rows
        if rows and (group >= len(ends) or begin > ends[group]):
            raise ValueError("parts lie across row groups")
    if (group, begin) != ((len(ends) - 1, ends[-1]) if ends else (0, 0)):
        raise ValueError("rows belong to no part")
    return found
