"""`autoreid gallery calibrate`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, add_json_flag, answer, say
from autoreid.embed_commands import CHECKPOINT_HELP, add_feature_flags
from autoreid.errors import InputError, Problems
from autoreid.folders import expanded
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.outputs import new_file
from autoreid.run_flags import add_data_flags, cache_of, data_source, execution_of
from autoreid.words import counted

if TYPE_CHECKING:
    import numpy as np

    from autoreid.embed import Embedder, Training
    from autoreid.feed import PreparedData
    from autoreid.gallery.store import Gallery

RATE = 0.001
REMEDY = "Calibrate on another set (--data), or on identities that the training left out (--fraction)."
UNSURE = (
    "Make sure that it was not, or give the training's model.pt, its data and people that it left out "
    "(--fraction)."
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help=CHECKPOINT_HELP)
    parser.add_argument(
        "--false-match-rate",
        type=float,
        default=RATE,
        metavar="SHARE",
        help=f"of the pairs of different people, at most (default: {RATE:g})",
    )
    parser.add_argument(
        "--split",
        choices=("train", "test"),
        default="train",
        help="whose people: of the training set, or of query and gallery (default: train)",
    )
    parser.add_argument(
        "--fraction",
        type=float,
        metavar="SHARE",
        help="only this share of the training identities: those that a division by --seed holds out",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="with --fraction: of that division (default: 0)"
    )
    parser.add_argument(
        "--out", required=True, metavar="GALLERY|FILE.json", help="the gallery to put it into, or a new file"
    )
    add_feature_flags(parser)
    add_data_flags(parser)
    add_json_flag(parser)
    parser.set_defaults(run_verb=_run)


def _run(options: argparse.Namespace) -> int:
    _check(options)
    gallery, path = _target(options)
    flip = options.flip if gallery is None else gallery.origin.flip
    precision = options.precision if gallery is None else gallery.origin.precision
    model, source = checkpoint_file(options.checkpoint), data_source(options)
    execution, written = execution_of(options), read_checkpoint(model)

    from autoreid.embed import Embedder, trained_on
    from autoreid.feed import prepare
    from autoreid.gallery.calibration import calibrate
    from autoreid.gallery.thresholds import ACROSS, ALL
    from autoreid.weights import read_model

    content = read_model(written, str(model))
    embedder = Embedder.of(content, str(model), execution, precision=precision, flip=flip)
    training = trained_on(content)
    if gallery is not None:
        gallery.check_origin(embedder.origin, options.checkpoint, "Give the model that built the gallery.")
    data = prepare(source, embedder.origin.height, embedder.origin.width, cache_of(options))
    rows = _rows(options, data)
    features = _features(embedder, data, rows)
    cameras = None if data.index.single_camera else data.index.cameras[rows]
    found = calibrate(features, data.index.identities[rows], cameras, options.false_match_rate)
    said = {
        **_plain(asdict(found)),
        "asked_false_match_rate": options.false_match_rate,
        "intervals": "95 %, from draws of whole identities",
        "pairs": ALL if cameras is None else ACROSS,
        "data": _data(options, data),
        "trained_on": None if training is None else training.data,
        "seen": seen(training, data, data.index.identities[rows]),
        "model": embedder.origin.model,
        "preprocessing": embedder.origin.preprocessing(),
    }
    _put(said, gallery, path)
    return _told(said, options)


def _check(options: argparse.Namespace) -> None:
    """InputError, all problems together, for what the flags cannot mean."""
    problems = Problems()
    for flag, value in (("--false-match-rate", options.false_match_rate), ("--fraction", options.fraction)):
        if value is not None and not 0 < value < 1:
            problems.add(flag, f"{value:g} is no share. Use more than 0 and less than 1.")
    if options.fraction is not None and options.split == "test":
        problems.add("--fraction", "without effect beside --split test. Leave one of them out.")
    if options.seed is not None and options.fraction is None:
        problems.add("--seed", "without effect. Add --fraction, or leave it out.")
    problems.raise_if_any()


def _target(options: argparse.Namespace) -> tuple[Gallery | None, Path]:
    """The gallery to put the threshold into, or the file."""
    folder = expanded(options.out).absolute()
    if not folder.is_dir():
        if folder.suffix != ".json":
            raise InputError(
                f"--out: {options.out} is no gallery, and does not end with .json. Name the folder of a "
                "gallery, or a new file FILE.json."
            )
        return None, new_file(options.out, "--out", ".json")

    from autoreid.gallery.store import Gallery

    gallery = Gallery.open(folder)
    if not os.access(folder, os.W_OK):
        raise InputError(
            f"--out: {options.out} may not be written to. Get the right to, or name a new file FILE.json."
        )
    given = {"--flip": options.flip, "--precision": options.precision}
    if named := [flag for flag, value in given.items() if value]:
        raise InputError(f"{', '.join(named)}: a gallery has its own. Leave it out.")
    return gallery, gallery.folder


def _rows(options: argparse.Namespace, data: PreparedData) -> np.ndarray:
    """Rows of the images to calibrate on."""
    import numpy as np

    from autoreid.data import splits
    from autoreid.optimisation import stream

    if options.split == "test":
        index = data.index
        rows = np.flatnonzero(np.isin(index.splits, ("query", "gallery")) & (index.identities > 0))
    elif options.fraction is not None:
        seed = stream(options.seed or 0, "split")
        rows = data.train_rows[splits.by_identity(data.labels, fraction=options.fraction, seed=seed)[1]]
    else:
        rows = data.train_rows
    if not len(rows):
        raise InputError(f"--data: {data.index.root} has no {options.split} images of people.")
    return rows


def _features(embedder: Embedder, data: PreparedData, rows: np.ndarray) -> np.ndarray:
    import numpy as np

    starts = range(0, len(rows), embedder.batch)
    parts = [embedder.features(data.images[rows[start : start + embedder.batch]]) for start in starts]
    return np.concatenate(parts)


def _data(options: argparse.Namespace, data: PreparedData) -> dict[str, Any]:
    """What it was calibrated on."""
    seed = {"seed": options.seed or 0} if options.fraction is not None else {}
    fraction = {"fraction": options.fraction} if options.fraction is not None else {}
    return {"split": options.split, "fingerprint": data.fingerprint, **fraction, **seed}


def seen(training: Training | None, data: PreparedData, identities: np.ndarray) -> bool | None:
    """Whether the network was trained on any of these people of the data; None where its file does not say.

    identities: whole numbers, as the data's index has them. Of other data a file says nothing, were they
    copies of the same images.
    """
    import numpy as np

    if training is None or training.data != data.fingerprint:
        return None
    if training.identities == data.identities:  # all of them, whether or not the file names them
        return bool(np.isin(identities, data.identity_order).any())
    return None if training.order is None else bool(np.isin(identities, training.order).any())


def _put(said: Mapping[str, Any], gallery: Gallery | None, path: Path) -> None:
    from autoreid.folders import to_json
    from autoreid.gallery import thresholds
    from autoreid.gallery.store import set_threshold
    from autoreid.whole_files import output_file

    if gallery is not None:
        set_threshold(gallery, said)
        return
    with output_file(path) as file:
        file.write(to_json(thresholds.content(said)))


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values: pairs of bounds as lists, so that a file says what was put into it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _told(said: Mapping[str, Any], options: argparse.Namespace) -> int:
    from autoreid.evaluation.intervals import LEAST_IDENTITIES
    from autoreid.gallery.thresholds import cautions

    notes = cautions(said)
    for note in notes:
        say(f"threshold: {note}. {REMEDY if said['seen'] else UNSURE}")
    intervals = "in brackets: 95 % intervals"
    if said["false_match_interval"] is None:
        intervals = f"no intervals: fewer than {LEAST_IDENTITIES} people"
    lines = [
        f"threshold {said['distance']:.4f}   ({options.out})",
        f"false matches {_rate(said, 'false')} of {counted(said['different'], 'pair')} of different people "
        f"(asked for: at most {100 * said['asked_false_match_rate']:g} %)",
        f"true matches  {_rate(said, 'true')} of {counted(said['same'], 'pair')} of one person",
        f"{said['images']:,} images of {said['identities']:,} people of the {options.split} split; "
        f"{intervals}",
    ]
    answer({**said, "caution": "; ".join(notes), "out": options.out}, "\n".join(lines), options.json)
    return DONE


def _rate(said: Mapping[str, Any], kind: str) -> str:
    """A rate in percent with its interval."""
    rate, interval = said[f"{kind}_match_rate"], said[f"{kind}_match_interval"]
    between = "" if interval is None else f" [{100 * interval[0]:.4g} to {100 * interval[1]:.4g}]"
    return f"{100 * rate:.4g} %{between}"
