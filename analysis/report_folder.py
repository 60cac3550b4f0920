"""The folder of a report: its files are replaced, and those of the former report do not linger."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from autoreid.folders import Folder

# What a report wrote into its folder, and which of these names may be removed on the word of such a list.
LIST = "files.json"
REMOVABLE = re.compile(r"(figures/[a-z0-9-]+\.(svg|png)|tables/[a-z0-9-]+\.(csv|tex))")


def _former(folder: Folder) -> set[str]:
    """The files of the report that was there before; none where it left no list that can be read."""
    try:
        names = json.loads(folder.read(LIST))["files"]
        return {name for name in names if REMOVABLE.fullmatch(name)}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return set()


def _list(names: set[str]) -> bytes:
    return (json.dumps({"files": sorted(names)}, indent=1) + "\n").encode()


def replace_files(folder: Folder, files: Mapping[str, str | bytes]) -> None:
    """Put the files there, and remove those of a former report that are no part of this one.

    The list names all of both meanwhile: after a break nothing is left that no list knows.
    """
    new, former = set(files), _former(folder)
    folder.write(LIST, _list(new | former))
    for name, content in files.items():
        folder.write(name, content if isinstance(content, bytes) else content.encode(errors="replace"))
    for name in sorted(former - new):
        folder.remove(name)
    folder.write(LIST, _list(new))
