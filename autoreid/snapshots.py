"""Tensors as bytes, and checkpoints of a run: written whole, read with `weights_only`, newest valid first."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterable
from typing import Any

import torch

from autoreid.attempts import Attempt
from autoreid.cli import say
from autoreid.errors import InputError
from autoreid.folders import sha256, to_json

KEPT = 2


def to_bytes(content: dict[str, Any]) -> bytes:
    """Tensors and plain values as the bytes of one file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes, place: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read what `to_bytes` wrote, onto the CPU; nothing in the file can run code."""
    try:
        content: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        missing = [key for key in keys if key not in content]
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        raise InputError(f"{place}: not a file of autoreid, or damaged ({type(error).__name__}).") from None
    if missing:
        raise InputError(f"{place}: missing {', '.join(missing)}. It is not a model file of autoreid.")
    return content


def write_checkpoint(attempt: Attempt, state: dict[str, Any], part: int) -> None:
    """Put a checkpoint that goes with the records up to `part`; all but the newest two are removed."""
    data = to_bytes(state)
    attempt.write(f"checkpoints/{part:05d}.pt", data)
    attempt.write(f"checkpoints/{part:05d}.json", to_json({"part": part, "sha256": sha256(data)}))
    remove_checkpoints(attempt, keep=KEPT)


def remove_checkpoints(attempt: Attempt, keep: int = 0) -> None:
    """Remove checkpoints but the newest `keep`."""
    labels = [name for name in attempt.folder.sizes("checkpoints/") if name.endswith(".json")]
    for name in labels[: len(labels) - keep]:
        attempt.remove(name)
        attempt.remove(name.removesuffix("json") + "pt")


def newest_checkpoint(attempt: Attempt) -> tuple[int, dict[str, Any]] | None:
    """The newest valid checkpoint of an attempt, as (part, state); damaged ones are passed over."""
    labels = [name for name in attempt.folder.sizes("checkpoints/") if name.endswith(".json")]
    for name in reversed(labels):
        try:
            label = json.loads(attempt.read(name))
            data = attempt.read(name.removesuffix("json") + "pt")
            if sha256(data) == label["sha256"]:
                return label["part"], from_bytes(data, f"{attempt.folder}/{name}")
        except (FileNotFoundError, ValueError, KeyError):
            pass
        say(f"{attempt.folder}/{name}: this checkpoint is damaged; an older one is tried.")
    return None
