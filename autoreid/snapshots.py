"""Tensors as bytes, and checkpoints of a run: written whole, read with `weights_only`, newest valid first."""

from __future__ import annotations

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
from autoreid.folders import sha256, to_json

KEPT = 2


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
    """A checkpoint beside its bytes: how far the run was, the checkpoint's number, the threads that computed
    it, the digest, and the id of the job that it belongs to."""

    epoch: int
    step: int
    part: int
    threads: int
    sha256: str
    job: str

    @property
    def name(self) -> str:
        return f"checkpoints/{self.part:05d}"


def write_checkpoint(attempt: Attempt, state: dict[str, Any], part: int) -> Label:
    """Put the checkpoint of a number; all but the newest two are removed."""
    data, at = to_bytes(state), state["position"]
    label = Label(at["epoch"], at["step"], part, torch.get_num_threads(), sha256(data), attempt.job)
    # Not vouched for: an outcome needs no checkpoint.
    attempt.folder.write(f"{label.name}.pt", data)
    attempt.folder.write(f"{label.name}.json", to_json(asdict(label)))
    remove_checkpoints(attempt, keep=KEPT)
    return label


def _label_names(attempt: Attempt) -> list[str]:
    return [name for name in attempt.folder.sizes("checkpoints/") if name.endswith(".json")]


def remove_checkpoints(attempt: Attempt, keep: int = 0) -> None:
    """Remove checkpoints but the newest `keep`."""
    names = _label_names(attempt)
    for name in names[: len(names) - keep]:
        attempt.folder.remove(name)
        attempt.folder.remove(name.removesuffix("json") + "pt")


def _labels(attempt: Attempt) -> Iterator[Label]:
    for name in _label_names(attempt):
        try:
            label = Label(**json.loads(attempt.read(name)))
        except FileNotFoundError:
            continue  # removed by its own attempt, which goes on
        except (ValueError, TypeError):
            say(f"{attempt.folder}/{name}: damaged; this checkpoint is passed over.")
            continue
        if label.job == attempt.job:
            yield label
        else:
            say(f"{attempt.folder}/{name}: a checkpoint of job {label.job}; it is passed over.")


def newest_checkpoint(attempts: Iterable[Attempt]) -> tuple[Attempt, Label, dict[str, Any]] | None:
    """The valid checkpoint of these attempts that is farthest on, with its attempt and its state.

    Damaged ones are passed over with a word.
    """
    found = [(label, attempt) for attempt in attempts for label in _labels(attempt)]
    for label, attempt in sorted(found, key=lambda pair: pair[0], reverse=True):
        place = f"{attempt.folder}/{label.name}.pt"
        try:
            data = attempt.read(f"{label.name}.pt")
            if sha256(data) == label.sha256:
                return attempt, label, from_bytes(data, place)
        except FileNotFoundError:
            pass
        except InputError as error:
            say(str(error))
        say(f"{place}: this checkpoint is damaged; an older one is tried.")
    return None
