"""Tensors as bytes, and checkpoints of a run: written whole, read with `weights_only`, newest valid first."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from autoreid.attempts import Attempt
from autoreid.cli import say
from autoreid.errors import InputError
from autoreid.folders import sha256
from autoreid.packing import PACKED, pack, unpack

CHECKPOINTS, KEPT = "checkpoints/", 2


def to_bytes(content: dict[str, Any]) -> bytes:
    """Tensors and plain values as the bytes of one file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


# What torch raises over bytes that it did not write.
UNREADABLE = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)


def from_bytes(data: bytes, place: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read what `to_bytes` wrote, onto the CPU; nothing in the file can run code."""
    try:
        content: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        missing = [key for key in keys if key not in content]
    except UNREADABLE as error:
        raise InputError(f"{place}: not a file of autoreid, or damaged ({type(error).__name__}).") from None
    if missing:
        raise InputError(f"{place}: missing {', '.join(missing)}. It is not a model file of autoreid.")
    return content


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """The last line of a checkpoint's file, after its bytes: how far the run was, the checkpoint's number,
    the threads that computed it, the digest of the bytes, the id of the job that it belongs to, and the forms
    of the computation (`Execution.forms`)."""

    epoch: int
    step: int
    part: int
    threads: int
    sha256: str
    job: str
    forms: str = ""  # not told by earlier builds

    @property
    def name(self) -> str:
        """Its file: one checkpoint takes the place of the one before the last."""
        return f"{CHECKPOINTS}{self.part % KEPT}.pt"


def write_checkpoint(
    attempt: Attempt, state: dict[str, Any], part: int, forms: str, threads: int | None = None
) -> Label:
    """Put the checkpoint of a number; the newest two are kept.

    `forms` and `threads` are those that computed it; threads: this process's, unless given.
    One file, which is there as a whole or not at all; nothing is removed, which would be three requests of an
    object store.
    """
    buffer, at = io.BytesIO(), state["position"]
    torch.save(pack(state), buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    computed_on = threads or torch.get_num_threads()
    label = Label(at["epoch"], at["step"], part, computed_on, digest, attempt.job, forms)
    buffer.write(f"\n{json.dumps(asdict(label))}".encode())
    # Not vouched for: an outcome needs no checkpoint.
    attempt.folder.write(label.name, buffer.getvalue())
    return label


def remove_checkpoints(attempt: Attempt) -> None:
    """Remove all checkpoints of an attempt."""
    for name in attempt.folder.sizes(CHECKPOINTS):
        attempt.folder.remove(name)


def _checkpoint(attempt: Attempt, name: str) -> tuple[Label, bytes] | None:
    """The label and the bytes of a file; None where it is gone, and, with a word, where it is damaged or
    another job's."""
    place = f"{attempt.folder}/{name}"
    try:
        data, _, line = attempt.read(name).rpartition(b"\n")
        label = Label(**json.loads(line))
    except FileNotFoundError:
        return None  # removed by its own attempt, which goes on
    except (ValueError, TypeError):
        label, data = None, b""
    if label is None or sha256(data) != label.sha256:
        say(f"{place}: this checkpoint is damaged; it is passed over.")
    elif label.job != attempt.job:
        say(f"{place}: a checkpoint of job {label.job}; it is passed over.")
    else:
        return label, data
    return None


def checkpoints(attempts: Iterable[Attempt]) -> Iterator[tuple[Attempt, Label, dict[str, Any]]]:
    """The valid checkpoints of these attempts, each with its attempt and state, the farthest on first.

    Damaged ones are passed over with a word. Two are in memory at a time.
    """
    labels: list[tuple[Label, Attempt]] = []
    best: tuple[Label, bytes] | None = None
    for attempt in attempts:
        for name in attempt.folder.sizes(CHECKPOINTS):
            found = _checkpoint(attempt, name)
            if found is not None:
                labels.append((found[0], attempt))
                best = found if best is None or found[0] > best[0] else best
    for label, attempt in sorted(labels, key=lambda pair: pair[0], reverse=True):
        held, best = best, None
        found = held if held is not None else _checkpoint(attempt, label.name)
        if found is None:
            continue
        try:
            packed = from_bytes(found[1], f"{attempt.folder}/{label.name}", PACKED)
        except InputError as error:
            say(f"{error} This checkpoint is passed over.")
            continue
        yield attempt, found[0], unpack(packed)


def newest_checkpoint(attempts: Iterable[Attempt]) -> tuple[Attempt, Label, dict[str, Any]] | None:
    """The valid checkpoint of these attempts that is farthest on, with its attempt and its state."""
    return next(checkpoints(attempts), None)
