"""Model files as people name them: where they are, and whether a training vouches for them. Free of torch."""

from __future__ import annotations

import json
from pathlib import Path

from autoreid.attempts import OUTCOME
from autoreid.errors import InputError
from autoreid.folders import expanded, sha256


def checkpoint_file(given: Path | str) -> Path:
    """The model file that somebody names, or that of the folder of a training; InputError where there is
    none."""
    path = expanded(given)
    try:
        path = path / "model.pt" if path.is_dir() else path
        there = path.is_file()
    except OSError as error:  # a folder on the way to it may not be entered
        raise _unreadable(path, error) from None
    if not there:
        raise InputError(
            f"{path}: no such file. Give the model.pt that autoreid train wrote, its folder, or a portable "
            "file."
        )
    return path


def read_checkpoint(path: Path) -> bytes:
    """The bytes of a model file; InputError where it cannot be read, and where it is not the one that the
    outcome of its training, beside it, vouches for."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    check_vouched(path, data)
    return data


def check_vouched(path: Path, data: bytes) -> None:
    """InputError where the outcome of a training, beside a file, vouches for other bytes than these."""
    outcome = path.resolve().parent / OUTCOME
    vouched = _vouched(outcome, path.resolve().name)
    if vouched is not None and vouched != sha256(data):
        raise InputError(
            f"{path}: not the file that {outcome} vouches for: its digest is another. Give the folder as the "
            "training left it, or the file alone."
        )


def _vouched(outcome: Path, name: str) -> str | None:
    """The digest of a file in the outcome of a training; None where there is none that can be read."""
    try:
        return str(json.loads(outcome.read_bytes())["files"][name]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _unreadable(path: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"{path}: cannot be read: {reason}. Make it readable, or give a copy of it.")
