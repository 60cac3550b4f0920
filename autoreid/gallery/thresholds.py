"""The distance below which two images are taken to show one person, as a search uses it. Free of torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoreid.errors import InputError
from autoreid.gallery.store import Gallery
from autoreid.values import digest

CALIBRATED = "calibrated"
VERSION = 1
# Which pairs a threshold is calibrated on: those under two cameras, or all where one camera saw everybody.
ACROSS, ALL = "across cameras", "all"
SEEN = (
    "calibrated on people that the network was trained on: among other people more matches are false, and "
    "fewer are found, than its rates say"
)
UNKNOWN = (
    "nothing tells whether the network was trained on the people that it is calibrated on: {}. If it was, "
    "among other people more matches are false, and fewer are found, than its rates say"
)
ONE_CAMERA = (
    "calibrated on pairs under two cameras: of different people under one camera more are below it than its "
    "rate says. Use --other-cameras"
)


def chosen(given: str | None, gallery: Gallery) -> tuple[float | None, Mapping[str, Any] | None]:
    """The distance that `--threshold` asks for, and its calibration where it has one.

    given: a number, "calibrated", a file of `autoreid gallery calibrate`, or None, for the gallery's where it
    has one. InputError for anything else, and for a calibration of another network.
    """
    if given is None or given == CALIBRATED:
        if gallery.threshold is not None:
            return float(gallery.threshold["distance"]), gallery.threshold
        if given is None:
            return None, None
        raise InputError(
            f"--threshold: {gallery.folder} has no calibrated threshold. Run 'autoreid gallery calibrate', "
            "or give a distance."
        )
    if Path(given).suffix == ".json":
        said = read(Path(given), gallery)
        return float(said["distance"]), said
    try:
        distance = float(given)
    except ValueError:
        distance = math.nan
    if not 0 <= distance <= 2:
        raise InputError(
            f"--threshold: {given!r} is no distance from 0 to 2. Give one, a file of 'autoreid gallery "
            "calibrate', or calibrated."
        )
    return distance, None


def content(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of a threshold holds: `said`, the version of its form and a digest."""
    whole = {"version": VERSION, **said}
    return whole | {"digest": digest(whole)}


def read(path: Path, gallery: Gallery) -> dict[str, Any]:
    """The threshold of a file; InputError where it is none, or was calibrated for other features."""
    remedy = "Give a file that 'autoreid gallery calibrate' wrote."
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"--threshold: {path}: no such file. {remedy}") from None
    except OSError as error:
        raise InputError(
            f"--threshold: {path}: cannot be read: {error.strerror or error}. {remedy}"
        ) from None
    except ValueError as error:
        raise InputError(f"--threshold: {path}: not JSON ({error}). {remedy}") from None
    expected = said.pop("digest", None) if isinstance(said, dict) else None
    if (
        not expected
        or digest(said) != expected
        or said.pop("version", None) != VERSION
        or "distance" not in said
    ):
        raise InputError(
            f"--threshold: {path}: not a file of 'autoreid gallery calibrate', or changed since. Calibrate "
            "again."
        )
    check(said, gallery, f"--threshold: {path}")
    return dict(said)


def check(said: Mapping[str, Any], gallery: Gallery, place: str) -> None:
    """InputError where a threshold was calibrated for features that are not the gallery's."""
    now = gallery.says()
    for name in ("model", "preprocessing"):
        if said[name] != now[name]:
            raise InputError(
                f"{place}: calibrated for another {name} than that of {gallery.folder}. Calibrate for this "
                "one."
            )


def cautions(said: Mapping[str, Any] | None, *, other_cameras: bool = True) -> list[str]:
    """What a reader of a threshold should know. other_cameras: whether it is used on pairs under two cameras
    alone."""
    if said is None:
        return []
    notes = [] if said["seen"] is False else [SEEN if said["seen"] else UNKNOWN.format(_unsaid(said))]
    if not other_cameras and said["pairs"] == ACROSS:
        notes.append(ONE_CAMERA)
    return notes


def _unsaid(said: Mapping[str, Any]) -> str:
    """Why a model file does not tell whether the network was trained on the people of a calibration."""
    if said["trained_on"] is None:
        return "the model file does not say on whom"
    if said["trained_on"] == said["data"]["fingerprint"]:
        return "the model file does not say on which people of these data"
    return "it was trained on other data, which may show them too"
