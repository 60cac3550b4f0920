"""The code that a process imports, as a digest: every worker compares its own with that of the launch."""

from __future__ import annotations

import hashlib
import importlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

PACKAGES = ("search_spaces", "autoreid", "tune_runs")
GROUPS = ("autoreid.spaces", "autoreid.datasets")


@dataclass(frozen=True, slots=True)
class Packages:
    """Our packages as a process imports them: a digest of their sources, and where they lie."""

    digest: str
    place: str


def imported_packages() -> Packages:
    """The packages that this process imports.

    The digest covers names and bytes of all source files, and name and version of every distribution that
    offers spaces or data sets.
    """
    digest = hashlib.sha256()
    folders = {name: _folder(name) for name in PACKAGES}
    for name, folder in folders.items():
        for path in sorted(folder.rglob("*.py")):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name}/{path.relative_to(folder).as_posix()} {content}\n".encode())
    for line in sorted(_offering()):
        digest.update(f"{line}\n".encode())
    places = dict.fromkeys(str(folder.parent) for folder in folders.values())
    return Packages(digest.hexdigest(), f"{platform.node()}: {', '.join(places)}")


def _folder(package: str) -> Path:
    file = importlib.import_module(package).__file__
    assert file is not None  # each has an __init__.py
    return Path(file).parent


def _offering() -> Iterator[str]:
    for group in GROUPS:
        for entry in entry_points(group=group):
            owner = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"
            yield f"{group} {entry.name} {owner}"


def difference(launch: Packages) -> str | None:
    """What is to be said where this process imports other code than the launch does; else None."""
    here = imported_packages()
    if here.digest == launch.digest:
        return None
    if here.place == launch.place:
        return f"the code in {here.place} has changed since the launch began. Run the same command again."
    return (
        f"the worker imports other code ({here.place}) than the launch ({launch.place}). Install the same "
        "version in both places and run the same command again."
    )
