"""The jobs of a storage by the first digits of their ids, and the manifests that plan them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from autoreid.errors import InputError
from autoreid.storage import Storage

PREFIX = re.compile(r"[0-9a-f]{4,32}")
SHOWN = 5


def readable_manifests(storage: Storage) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The manifests of a storage by campaign, and the problems of those that cannot be read.

    InputError where a newer release wrote the storage.
    """
    storage.check()
    manifests: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for name in storage.campaigns():
        try:
            manifests[name] = storage.read_manifest(name)
        except InputError as error:
            problems += error.problems
    return manifests, problems


def find_job(storage: Storage, prefix: str) -> str:
    """The id of the one job that begins with these digits: it has a folder in the storage, or is planned."""
    manifests, problems = readable_manifests(storage)
    known = {*storage.jobs(), *(job_id for manifest in manifests.values() for job_id in manifest["jobs"])}
    return resolve(prefix, known, str(storage.folder), problems)


def resolve(prefix: str, known: Collection[str], storage: str, problems: Iterable[str] = ()) -> str:
    """The one of the known ids that begins with these digits.

    InputError where there is none, or more than one, or where fewer than four digits are given; with
    `problems`, which may be why an id is not known.
    """
    digits = prefix.strip().lower()
    if not PREFIX.fullmatch(digits):
        raise InputError(
            f"job {prefix!r}: not the beginning of a job's id. Give 4 to 32 digits of 0-9 and a-f."
        )
    found = sorted(job_id for job_id in known if job_id.startswith(digits))
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
        raise InputError(f"job {prefix!r}: {len(found)} jobs begin with it: {shown}. Give more digits.")
    raise InputError(
        f"job {prefix!r}: none of the {len(known)} jobs of {storage} begins with it. "
        "'autoreid campaign plan FILE --jobs' lists the ids of a campaign.",
        *problems,
    )
