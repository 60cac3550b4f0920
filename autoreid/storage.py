"""What lies on disk: campaigns, jobs, attempts. Free of torch.

    <storage>/storage.json                                  the version of what lies here
    <storage>/campaigns/<name>/manifest.json
    <storage>/campaigns/<name>/cancelled.json               jobs that the campaign is not to run
    <storage>/jobs/<id>/job.json
    <storage>/jobs/<id>/again.json                          failures up to here no longer count
    <storage>/jobs/<id>/attempts/<n>-<uuid>/...             an attempt writes here and nowhere else
    <storage>/jobs/<id>/attempts/<n>-<uuid>/lease.json      who works on it at this moment
    <storage>/jobs/<id>/attempts/<n>-<uuid>/outcome.json    written last; lists what it vouches for
    <storage>/weights/<digest>.pt                           what trainings begin with (autoreid.weights)

Bytes are built in memory and put in one request; nothing is appended, renamed or locked by readers. Of
several attempts the lowest one with a valid outcome counts, so that a straggler can harm nobody.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autoreid.attempts import Attempt, Outcome
from autoreid.errors import InputError
from autoreid.folders import Folder, LocalFolder, existing, open_folder, read_json, to_json, to_lines
from autoreid.leases import Lease, read_lease
from autoreid.values import digest
from autoreid.version import STORAGE_VERSION

ATTEMPT = re.compile(r"(\d+)-[0-9a-f]+")


class JobFolder:
    """One job's place in a storage, shared by all campaigns.

    Where its attempts have just been listed, they can be given again: in an object store a listing is a
    request.
    """

    def __init__(self, folder: Folder, job: str = "") -> None:
        self.folder, self.job = folder, job

    def describe(self, plain: Mapping[str, Any]) -> None:
        """Write job.json, once."""
        try:
            self.folder.read("job.json")
        except FileNotFoundError:
            self.folder.write("job.json", to_json(plain))

    def attempts(self) -> list[Attempt]:
        """All attempts, lowest number first."""
        # By their files, in one request: an object store may keep an empty folder where one was removed.
        sizes: dict[str, dict[str, int]] = {}
        for file, size in self.folder.sizes("attempts/").items():
            name, _, rest = file.removeprefix("attempts/").partition("/")
            sizes.setdefault(name, {})[rest] = size
        found = ((ATTEMPT.fullmatch(name), name) for name in sizes)
        numbered = sorted((int(match[1]), name) for match, name in found if match)
        return [self._attempt(name, sizes[name]) for _, name in numbered]

    def _attempt(self, name: str, sizes: Mapping[str, int] | None = None) -> Attempt:
        return Attempt(self.folder.child(f"attempts/{name}"), self.job, name, sizes)

    def new_attempt(self, attempts: Iterable[Attempt] | None = None) -> Attempt:
        """An attempt with the next number; the number is taken once it has written something."""
        known = self.attempts() if attempts is None else attempts
        number = max((attempt.number for attempt in known), default=0) + 1
        return self._attempt(f"{number}-{uuid.uuid4().hex[:8]}")

    def withdraw(self, attempt: Attempt) -> None:
        """Remove everything that an attempt has written, as if it had never begun."""
        for name in attempt.folder.sizes():
            self.folder.remove(f"attempts/{attempt.name}/{name}")

    def finished(self, attempts: Iterable[Attempt] | None = None) -> tuple[Attempt, Outcome] | None:
        """The attempt that counts: the lowest one whose outcome is done and whose files are intact."""
        for attempt in self.attempts() if attempts is None else attempts:
            outcome = attempt.outcome()
            if outcome is not None and outcome.status == "done" and attempt.valid(outcome):
                return attempt, outcome
        return None

    def held(self, attempts: Iterable[Attempt] | None = None) -> list[tuple[Attempt, Lease]]:
        """The attempts that a process works on at this moment, lowest first, each with its lease."""
        leased = (
            (attempt, read_lease(attempt.folder))
            for attempt in (self.attempts() if attempts is None else attempts)
        )
        return [
            (attempt, lease)
            for attempt, lease in leased
            if lease is not None and lease.holds() and attempt.outcome() is None
        ]

    def holder(self, attempts: Iterable[Attempt] | None = None) -> Lease | None:
        """The process that works on this job, if one does."""
        return next((lease for _, lease in self.held(attempts)), None)

    def failed_for_good(self) -> Outcome | None:
        """The newest attempt's failure where it is final and nobody has asked again since."""
        attempts = self.attempts()
        outcome = attempts[-1].outcome() if attempts else None
        if outcome is None or outcome.status != "failed" or not outcome.final:
            return None
        return outcome if attempts[-1].number > self._asked_after() else None

    def ask_again(self) -> None:
        """Failures up to here no longer keep the job from being run."""
        newest = max((attempt.number for attempt in self.attempts()), default=0)
        self.folder.write("again.json", to_json({"after": newest}))

    def _asked_after(self) -> int:
        try:
            return int(json.loads(self.folder.read("again.json"))["after"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return 0


class Storage:
    """A storage folder: manifests of campaigns, and jobs by id."""

    def __init__(self, folder: Folder | Path | str) -> None:
        self.folder = open_folder(folder) if isinstance(folder, (str, Path)) else folder

    def check(self) -> None:
        """InputError where a newer release wrote this storage, or where its version cannot be read."""
        try:
            content = read_json(self.folder, "storage.json")
        except FileNotFoundError:
            return
        version = content.get("version") if isinstance(content, dict) else None
        if version != STORAGE_VERSION:
            raise InputError(f"{self.folder}/storage.json: {_other_version(version)}")

    def check_writable(self) -> None:
        """StorageError where nothing can be written here. A file is put and removed, in the nearest folder
        above where this one is yet to be made."""
        folder, name = self.folder, f"probe-{uuid.uuid4().hex}"
        if isinstance(folder, LocalFolder):
            folder = LocalFolder(existing(folder.root))
        folder.write(name, b"")
        folder.remove(name)

    def job(self, job_id: str) -> JobFolder:
        return JobFolder(self.folder.child(f"jobs/{job_id}"), job_id)

    def jobs(self) -> Iterator[str]:
        yield from self.folder.children("jobs")

    def campaigns(self) -> list[str]:
        """Names of the campaigns that have a manifest, sorted."""
        names = self.folder.children("campaigns")
        return [name for name in names if "manifest.json" in self.folder.children(f"campaigns/{name}")]

    def write_manifest(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Put a manifest, with the digest of its content; the first one marks the storage's version."""
        try:
            self.folder.read("storage.json")
        except FileNotFoundError:
            self.folder.write("storage.json", to_json({"version": STORAGE_VERSION}))
        signed = {**manifest, "digest": digest({**manifest, "digest": None})}
        self.folder.write(f"campaigns/{name}/manifest.json", to_lines(signed))

    def read_manifest(self, name: str) -> dict[str, Any]:
        """The manifest of a campaign; InputError when there is none, or an altered one, or one of another
        version."""
        self.check()
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
        if manifest.get("version") != STORAGE_VERSION:
            raise InputError(f"{place}: {_other_version(manifest.get('version'))}")
        if not isinstance(manifest.get("entries"), list) or not isinstance(manifest.get("jobs"), dict):
            raise InputError(f"{place}: no entries and jobs in it. Restore it, or plan the campaign again.")
        written = manifest.pop("digest", None)
        if written != digest({**manifest, "digest": None}):
            raise InputError(
                f"{place}: altered since it was written: its digest does not fit. Restore the file, or "
                "remove it and run the campaign again, which writes it anew; no result is lost."
            )
        return manifest

    def cancelled(self, name: str) -> frozenset[str]:
        """Ids of the jobs that a campaign is not to run."""
        try:
            content = read_json(self.folder, f"campaigns/{name}/cancelled.json")
            return frozenset(map(str, content["jobs"]))
        except FileNotFoundError:
            return frozenset()
        except (KeyError, TypeError):
            place = f"{self.folder}/campaigns/{name}/cancelled.json"
            raise InputError(f"{place}: no list of jobs in it. Restore the file or remove it.") from None

    def cancel(self, name: str, jobs: Iterable[str]) -> None:
        """A campaign is no longer to run these jobs; what they have done stays."""
        self._write_cancelled(name, self.cancelled(name) | set(jobs))

    def resume(self, name: str, jobs: Iterable[str]) -> None:
        """A campaign is to run these jobs again."""
        self._write_cancelled(name, self.cancelled(name) - set(jobs))

    def _write_cancelled(self, name: str, jobs: Iterable[str]) -> None:
        self.folder.write(f"campaigns/{name}/cancelled.json", to_json({"jobs": sorted(jobs)}))


def _other_version(version: object) -> str:
    return (
        f"version {version!r}; this release reads {STORAGE_VERSION}. Use the release that wrote it, or a "
        "newer one."
    )
