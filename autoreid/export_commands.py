"""The command `export`: trained networks as ONNX. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError
from autoreid.folders import amount
from autoreid.interruption import begins_anew
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.outputs import new_file
from autoreid.run_flags import add_data_flags, cache_of, data_source, execution_of
from autoreid.whole_files import output_file

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from autoreid.feed import PreparedData
    from autoreid.models.assembly import ReIDModel

ENDING = ".onnx"
SHOWN = ("mAP", "rank_1")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="model.pt of a training, its folder, or a portable file"
    )
    parser.add_argument("--onnx", metavar="FILE", help="file to write in 32 bits: NAME.onnx")
    parser.add_argument(
        "--int8",
        metavar="FILE",
        help="file to write in 8 bits: NAME.onnx, calibrated on the training set of --data",
    )
    add_data_flags(parser, required=False)
    add_json_flag(parser)


def _places(options: argparse.Namespace) -> dict[str, Path]:
    """Where the files are to be written, by the flag that names each; InputError, all problems together."""
    problems, places = [], {}
    if options.onnx is None and options.int8 is None:
        problems.append("--onnx: missing. Name the file to write, or one for --int8.")
    if options.int8 is not None and options.data is None:
        problems.append("--int8: needs images to calibrate with. Add --data DIR.")
    if options.device not in (None, "auto", "cpu"):
        problems.append(f"--device: {options.device}, but files are checked on the processor. Leave it out.")
    for name in ("onnx", "int8"):
        if options.__dict__[name] is not None:
            try:
                places[name] = new_file(options.__dict__[name], f"--{name}", ENDING)
            except InputError as error:
                problems += error.problems
    if len({place.resolve() for place in places.values()}) < len(places):
        problems.append(f"--int8: {options.int8} is the file of --onnx. Name another.")
    if problems:
        raise InputError(*problems)
    return places


@begins_anew()
def _run(options: argparse.Namespace) -> int:
    places, path = _places(options), checkpoint_file(options.checkpoint)
    execution = replace(execution_of(options), device="cpu")
    source = None if options.data is None else data_source(options)

    from autoreid.export import check, require_onnx, session_of, to_onnx
    from autoreid.optimisation import set_up
    from autoreid.portable_packing import opened

    require_onnx()
    model, facts = opened(read_checkpoint(path), path)
    set_up(execution, "fp32")
    written = {"onnx": to_onnx(model, facts)}
    sessions = {"onnx": session_of(written["onnx"], execution.threads)}
    agreed = check(sessions["onnx"], model, facts)
    result: dict[str, Any] = {"batches": {batch: asdict(found) for batch, found in agreed.items()}}
    if source is not None:
        from autoreid.feed import prepare

        data = prepare(source, facts.recipe.height, facts.recipe.width, cache_of(options))
        if options.int8 is not None:
            from autoreid.export_int8 import check_near, quantise

            written["int8"] = quantise(written["onnx"], data.images, data.train_rows, options.int8)
            sessions["int8"] = session_of(written["int8"], execution.threads)
        result["data"] = _compared(model, sessions, data)
        if options.int8 is not None:
            check_near(result["data"]["int8"]["mean_cosine"], options.int8)
    for name, place in places.items():
        with output_file(place) as file:
            file.write(written[name])
        result[name] = {"file": options.__dict__[name], "bytes": len(written[name])}
    answer(result, _text(result), options.json)
    return DONE


def _compared(
    model: ReIDModel, sessions: dict[str, InferenceSession], data: PreparedData
) -> dict[str, dict[str, Any]]:
    """The scores of the network and of what was made of it, and how near their features are to its own."""
    import numpy as np

    from autoreid.evaluation.features import of_sides
    from autoreid.evaluation.protocol import USUAL
    from autoreid.evaluation.scoring import score_features
    from autoreid.export import Agreement, network_features, session_features

    protocol = replace(USUAL, same_camera_ignored=not data.index.single_camera)
    of_rows = {"torch": lambda rows: network_features(model, data.images, rows)} | {
        name: lambda rows, session=session: session_features(session, data.images, rows)
        for name, session in sessions.items()
    }
    result, expected = {}, None
    for name, features in of_rows.items():
        found = of_sides(data.index, features)
        both = np.concatenate([found["query_features"], found["gallery_features"]])
        expected = both if expected is None else expected
        scores = score_features(found, protocol, facts=data.index.facts).plain()
        near = asdict(Agreement.of(both, expected))
        result[name] = {figure: scores[figure] for figure in (*SHOWN, "queries")} | near
    return result


def _text(result: dict[str, Any]) -> str:
    words = {"onnx": "32 bits", "int8": "8 bits"}
    lines = [f"{result[name]['file']}: {amount(result[name]['bytes'])}" for name in words if name in result]
    lines += [
        f"batch of {batch}: largest difference {found['largest_difference']:.1e}, "
        f"smallest cosine {found['smallest_cosine']:.7f}"
        for batch, found in result["batches"].items()
    ]
    if "data" not in result:
        return "\n".join(lines)
    before = result["data"]["torch"]
    lines.append(f"PyTorch: mAP {100 * before['mAP']:.2f}, rank-1 {100 * before['rank_1']:.2f}")
    for name, label in words.items():
        if name in result["data"]:
            lines.append(f"{label}: {_change(result['data'][name], before)}")
    return "\n".join(lines)


def _change(found: dict[str, Any], before: dict[str, Any]) -> str:
    changes = {figure: 100 * (found[figure] - before[figure]) for figure in SHOWN}
    figures = ", ".join(
        f"{label} {100 * found[figure]:.2f} ({changes[figure]:+.2f})"
        for figure, label in zip(SHOWN, ("mAP", "rank-1"), strict=True)
    )
    return f"{figures}, cosine {found['mean_cosine']:.5f} on average, {found['smallest_cosine']:.5f} at least"


EXPORT = Command("export", "A trained network as ONNX, checked against PyTorch.", _configure, _run)
