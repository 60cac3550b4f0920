"""Attempts: one try at a job, in a folder of its own, with the outcome written last. Free of torch."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoreid.errors import StorageError
from autoreid.folders import Folder, sha256, to_json
from autoreid.leases import read_lease
from autoreid.values import canonical_json
from autoreid.version import STORAGE_VERSION

OUTCOME, RECORDS, LOG = "outcome.json", "records.jsonl", "log.txt"
# When and where an attempt began, and what is known of one that was interrupted in order.
STARTED, INTERRUPTED = "started.json", "interrupted.json"
# A reader found a file damaged that the outcome vouches for.
DAMAGED = "damaged.json"
# Files up to this many bytes are vouched for by digest whenever an outcome is looked at, larger ones by their
# size; their digest is checked when they are read.
SMALL_BYTES = 1 << 20


def now() -> str:
    """This moment in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    `status` is done or failed; `final` says of a failure that another attempt would fail in the same way.
    `job` is the id of the job that it answers; `files` holds digest and size of what it vouches for.
    """

    status: str
    result: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    final: bool = False
    job: str = ""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {
            "version": STORAGE_VERSION,
            "status": self.status,
            "result": dict(self.result),
            "facts": dict(self.facts),
            "error": self.error,
            "final": self.final,
            "job": self.job,
            "files": dict(self.files),
        }


OUTCOME_KEYS = ("status", "result", "facts", "error", "final", "job", "files")


class Attempt:
    """One attempt at a job. It writes below its own folder only; the outcome comes last.

    `sizes` are those of its files where they have just been listed together with other attempts'.
    """

    def __init__(
        self, folder: Folder, job: str = "", name: str = "", sizes: Mapping[str, int] | None = None
    ) -> None:
        self.folder, self.job, self.name, self.sizes = folder, job, name, sizes
        self.files: dict[str, dict[str, Any]] = {}
        self._log: list[str] = []
        self._flushed = 0

    @property
    def number(self) -> int:
        """The attempt's number in its job, counted from 1."""
        return int(self.name.partition("-")[0] or 1)

    def write(self, name: str, data: bytes) -> None:
        """Put a file and remember its digest for the outcome."""
        self.folder.write(name, data)
        self.files[name] = {"sha256": sha256(data), "bytes": len(data)}

    def read(self, name: str) -> bytes:
        return self.folder.read(name)

    def remove(self, name: str) -> None:
        """Remove a file of this attempt; the outcome will not vouch for it."""
        self.folder.remove(name)
        self.files.pop(name, None)

    def write_records(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put all epoch records so far, in order, as JSON lines."""
        self.write(RECORDS, "".join(canonical_json(row) + "\n" for row in rows).encode())

    def records(self) -> list[dict[str, Any]]:
        """All epoch records that were put, in order."""
        try:
            return [json.loads(line) for line in self.folder.read(RECORDS).decode().splitlines()]
        except FileNotFoundError:
            return []

    def log(self, line: str) -> None:
        """Add a line to the log; it reaches the storage with the next `flush_log`."""
        self._log.append(f"{now()} {line}\n")

    def flush_log(self) -> None:
        """Write the log, where it has grown."""
        if len(self._log) > self._flushed:
            self.folder.write(LOG, "".join(self._log).encode())
            self._flushed = len(self._log)

    def continue_log(self) -> None:
        """Go on below the log that is there: a folder of its own holds one attempt for ever."""
        self._log = self.read_log().splitlines(keepends=True)
        self._flushed = len(self._log)

    def interrupted_seconds(self) -> float:
        """Wall time of an attempt that ended without an outcome, as far as it is known: what it noted when it
        was interrupted, else from its beginning to the last renewal of its lease."""
        try:
            return float(json.loads(self.folder.read(INTERRUPTED))["wall_seconds"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        lease = read_lease(self.folder)
        try:
            began = json.loads(self.folder.read(STARTED))["started"]
            begin = datetime.datetime.fromisoformat(began).timestamp()
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0.0
        return max(0.0, lease.renewed - begin) if lease else 0.0

    def read_log(self) -> str:
        """The log as far as it was written; empty where nothing was."""
        try:
            return self.folder.read(LOG).decode(errors="replace")
        except FileNotFoundError:
            return ""

    def finish(self, outcome: Outcome) -> None:
        """Write the log and then the outcome, with the job's id and the digests of all files put so far."""
        self.flush_log()
        plain = outcome.plain() | {"job": self.job, "files": dict(sorted(self.files.items()))}
        self.folder.write(OUTCOME, to_json(plain))

    def outcome(self) -> Outcome | None:
        """The outcome, or None while there is none, or where it is damaged or answers another job."""
        try:
            plain = json.loads(self.folder.read(OUTCOME))
            outcome = Outcome(**{key: plain[key] for key in OUTCOME_KEYS})
            right = plain["version"] == STORAGE_VERSION and outcome.job == self.job
            return outcome if right else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def valid(self, outcome: Outcome) -> bool:
        """Whether every file that the outcome vouches for is there with its size, and its digest if small."""
        try:
            sizes = self.folder.sizes() if self.sizes is None else self.sizes
            return DAMAGED not in sizes and all(
                sizes.get(name) == vouched["bytes"]
                and (vouched["bytes"] > SMALL_BYTES or sha256(self.folder.read(name)) == vouched["sha256"])
                for name, vouched in outcome.files.items()
            )
        except (FileNotFoundError, KeyError, TypeError):
            return False

    def vouched(self, name: str, outcome: Outcome) -> bytes:
        """A file that the outcome vouches for, its digest checked.

        A damaged one is a StorageError, and is noted: the attempt no longer counts, and the next launch does
        its job again.
        """
        data = self.folder.read(name)
        if sha256(data) != outcome.files.get(name, {}).get("sha256"):
            self.folder.write(DAMAGED, to_json({"file": name, "found": now()}))
            raise StorageError(
                f"{self.folder}/{name}: damaged: its digest is not the one in {OUTCOME}. This attempt no "
                "longer counts: run the campaign again, which does its job anew."
            )
        return data
