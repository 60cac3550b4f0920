"""What lies on disk: campaigns, jobs, attempts. Free of torch.

    <storage>/campaigns/<name>/manifest.json
    <storage>/jobs/<id>/job.json
    <storage>/jobs/<id>/attempts/<n>-<uuid>/...             an attempt writes here and nowhere else
    <storage>/jobs/<id>/attempts/<n>-<uuid>/outcome.json    written last; lists what it vouches for

Bytes are built in memory and put in one request; nothing is appended, renamed or locked by readers. Of
several attempts the lowest one with a valid outcome counts, so that a straggler can harm nobody.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoreid.errors import InputError
from autoreid.folders import Folder, open_folder
from autoreid.values import canonical_json

VERSION = 1
ATTEMPT = re.compile(r"(\d+)-[0-9a-f]+")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def to_json(item: Any) -> bytes:
    """Readable JSON with sorted keys; NaN and infinity are refused."""
    return (json.dumps(item, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def read_json(folder: Folder, name: str) -> Any:
    """The JSON value of a file; a damaged file is an `InputError` that names it."""
    try:
        return json.loads(folder.read(name))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder}/{name}: not JSON ({error}). Restore the file or remove it.") from None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: its status, its result, and the digests of the files that it vouches for."""

    status: str
    result: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "status": self.status,
            "result": dict(self.result),
            "facts": dict(self.facts),
            "error": self.error,
            "files": dict(self.files),
        }


class Attempt:
    """One attempt at a job. It writes below its own folder; the outcome comes last."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.digests: dict[str, str] = {}

    def write(self, name: str, data: bytes) -> None:
        """Put a file and remember its digest for the outcome."""
        self.folder.write(name, data)
        self.digests[name] = sha256(data)

    def read(self, name: str) -> bytes:
        return self.folder.read(name)

    def remove(self, name: str) -> None:
        """Remove a file of this attempt; the outcome will not vouch for it."""
        self.folder.remove(name)
        self.digests.pop(name, None)

    def write_records(self, part: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put one part of the epoch records: JSON lines, numbered by the checkpoint that they belong to."""
        lines = "".join(canonical_json(row) + "\n" for row in rows)
        self.write(f"records/{part:05d}.jsonl", lines.encode())

    def records(self) -> list[dict[str, Any]]:
        """All epoch records, in order."""
        rows = []
        for name in self.folder.sizes("records/"):
            rows += [json.loads(line) for line in self.folder.read(name).decode().splitlines()]
        return rows

    def finish(self, outcome: Outcome) -> None:
        """Write the outcome, with the digests of all files put so far."""
        plain = outcome.plain() | {"files": dict(sorted(self.digests.items()))}
        self.folder.write("outcome.json", to_json(plain))

    def outcome(self) -> Outcome | None:
        """The outcome, or None while there is none or where it is damaged."""
        try:
            plain = json.loads(self.folder.read("outcome.json"))
            keys = ("status", "result", "facts", "error", "files")
            return Outcome(**{key: plain[key] for key in keys}) if plain["version"] == VERSION else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def valid(self, outcome: Outcome) -> bool:
        """Whether every file that the outcome vouches for is there with its digest."""
        try:
            return all(sha256(self.folder.read(name)) == digest for name, digest in outcome.files.items())
        except FileNotFoundError:
            return False


class JobFolder:
    """One job's place in a storage, shared by all campaigns."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def describe(self, plain: Mapping[str, Any]) -> None:
        """Write job.json, once."""
        try:
            self.folder.read("job.json")
        except FileNotFoundError:
            self.folder.write("job.json", to_json(plain))

    def _numbered(self) -> list[tuple[int, str]]:
        found = ((ATTEMPT.fullmatch(name), name) for name in self.folder.children("attempts"))
        return sorted((int(match[1]), name) for match, name in found if match)

    def attempts(self) -> list[Attempt]:
        """All attempts, lowest number first."""
        return [Attempt(self.folder.child(f"attempts/{name}")) for _, name in self._numbered()]

    def new_attempt(self) -> Attempt:
        number = max((number for number, _ in self._numbered()), default=0) + 1
        return Attempt(self.folder.child(f"attempts/{number}-{uuid.uuid4().hex[:8]}"))

    def finished(self) -> tuple[Attempt, Outcome] | None:
        """The attempt that counts: the lowest one whose outcome is done and whose files are intact."""
        for attempt in self.attempts():
            outcome = attempt.outcome()
            if outcome is not None and outcome.status == "done" and attempt.valid(outcome):
                return attempt, outcome
        return None


class Storage:
    """A storage folder: manifests of campaigns, and jobs by id."""

    def __init__(self, folder: Folder | Path | str) -> None:
        self.folder = open_folder(folder) if isinstance(folder, (str, Path)) else folder

    def job(self, job_id: str) -> JobFolder:
        return JobFolder(self.folder.child(f"jobs/{job_id}"))

    def jobs(self) -> Iterator[str]:
        yield from self.folder.children("jobs")

    def campaigns(self) -> list[str]:
        """Names of the campaigns that have a manifest, sorted."""
        names = self.folder.children("campaigns")
        return [name for name in names if "manifest.json" in self.folder.children(f"campaigns/{name}")]

    def write_manifest(self, name: str, manifest: Mapping[str, Any]) -> None:
        self.folder.write(f"campaigns/{name}/manifest.json", to_json(manifest))

    def read_manifest(self, name: str) -> dict[str, Any]:
        """The manifest of a campaign; InputError when there is none or it is of another version."""
        try:
            manifest: dict[str, Any] = read_json(self.folder, f"campaigns/{name}/manifest.json")
        except FileNotFoundError:
            known = ", ".join(self.campaigns()) or "none"
            raise InputError(
                f"{self.folder}: no campaign {name!r} in this storage. Known: {known}."
            ) from None
        place = f"{self.folder}/campaigns/{name}/manifest.json"
        if not isinstance(manifest, dict):
            raise InputError(f"{place}: not a manifest. Restore the file, or plan the campaign again.")
        if manifest.get("version") != VERSION:
            raise InputError(
                f"{place}: version {manifest.get('version')!r}; this release reads {VERSION}. Use "
                "the release that wrote it, or a newer one."
            )
        if not isinstance(manifest.get("entries"), list) or not isinstance(manifest.get("jobs"), dict):
            raise InputError(f"{place}: no entries and jobs in it. Restore it, or plan the campaign again.")
        return manifest
