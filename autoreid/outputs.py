"""The files that commands are told to write, looked at before any work. Free of torch."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from autoreid.errors import InputError
from autoreid.folders import existing, expanded


def new_file(given: str, flag: str = "--out", *endings: str) -> Path:
    """The absolute path of a file that is to be written: its folder is there, and it is not.

    `endings` are those that its name may have, with their dots; any where none is given. Nothing is made.
    InputError that names the flag and what to do.

    >>> new_file("net.pt", "--onnx", ".onnx")
    Traceback (most recent call last):
    ...
    search_spaces.errors.InputError: --onnx: net.pt does not end with .onnx. Name it so.
    """
    path = expanded(given).absolute()
    try:
        problem = _problem(path, endings)
    except OSError as error:  # a folder on the way may not be entered, or a name is too long
        problem = f" cannot be looked at: {error.strerror or error}. Name another file."
    if problem:
        raise InputError(f"{flag}: {given}{problem}")
    return path


def _problem(path: Path, endings: tuple[str, ...]) -> str:
    """What is wrong with the place of a new file, as it follows its name; empty where nothing is."""
    folder = path.parent
    if path.is_dir():
        return " is a folder. Name a file in it."
    if endings and path.suffix not in endings:
        return f" does not end with {' or '.join(endings)}. Name it so."
    if path.exists() or path.is_symlink():
        return " is there already. Remove it, or name another file."
    standing = existing(folder)
    if not standing.is_dir():
        return f": {standing} is a file, not a folder. Name a file in a folder."
    if standing != folder:
        return f": there is no folder {folder}. Make it: mkdir -p {shlex.quote(str(folder))}"
    if not os.access(folder, os.W_OK):
        return f": {folder} may not be written to. Get the right to, or name a file elsewhere."
    return ""
