"""The command `evaluate-features`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import difflib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoreid.byte_sizes import byte_count
from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError
from autoreid.evaluation.protocol import RULES, USUAL, Protocol, Reranking
from autoreid.evaluation.words import camera_pairs_text, left_out_text
from autoreid.interruption import begins_anew
from autoreid.words import counted

ARRAYS = (
    "query_features",
    "gallery_features",
    "query_ids",
    "query_cameras",
    "gallery_ids",
    "gallery_cameras",
)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=f".npz with {', '.join(ARRAYS)}, or .parquet of 'autoreid embed' of a whole data set",
    )
    parser.add_argument("--no-normalise", action="store_true", help="rank by the features as they are")
    parser.add_argument(
        "--average-precision",
        choices=RULES,
        default=USUAL.average_precision,
        help="rule of AP (default: mean-precision)",
    )
    parser.add_argument(
        "--single-camera", action="store_true", help="matches under the query's own camera count"
    )
    parser.add_argument("--rerank", action="store_true", help="also the scores after k-reciprocal re-ranking")
    parser.add_argument("--k1", type=int, metavar="N", help="with --rerank: neighbours (default: 20)")
    parser.add_argument("--k2", type=int, metavar="N", help="with --rerank: neighbours to smooth over (6)")
    parser.add_argument(
        "--lambda", dest="weight", type=float, metavar="SHARE", help="with --rerank: of the distance (0.3)"
    )
    parser.add_argument("--cameras", action="store_true", help="also the scores of every pair of cameras")
    parser.add_argument(
        "--memory", default="4GiB", metavar="SIZE", help="held at once beside the features (default: 4GiB)"
    )
    add_json_flag(parser)


@begins_anew()
def _run(options: argparse.Namespace) -> int:
    from autoreid.evaluation.camera_pairs import by_camera_pair
    from autoreid.evaluation.scoring import score_features

    protocol, memory = _protocol(options), _memory(options)
    arrays = read_arrays(options.file, protocol.normalised)
    try:
        result = score_features(arrays, protocol, memory=memory).plain()
        if options.cameras:
            result["camera_pairs"] = by_camera_pair(arrays, protocol, memory=memory)
    except InputError as error:
        raise InputError(*(f"{options.file}: {problem}" for problem in error.problems)) from None
    answer(result, _text(result), options.json)
    return DONE


def _protocol(options: argparse.Namespace) -> Protocol:
    given = {name: getattr(options, name) for name in ("k1", "k2", "weight")}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not options.rerank:
        names = ", ".join(f"--{'lambda' if name == 'weight' else name}" for name in given)
        raise InputError(f"{names}: without effect. Add --rerank, or leave it out.")
    return Protocol(
        normalised=not options.no_normalise,
        average_precision=options.average_precision,
        same_camera_ignored=not options.single_camera,
        reranking=Reranking(**given) if options.rerank else None,
    )


def _memory(options: argparse.Namespace) -> int:
    try:
        return byte_count(options.memory)
    except InputError as error:
        raise InputError(f"--memory: {error}") from None


def read_arrays(path: Path, normalise: bool) -> dict[str, Any]:
    """The arrays of a feature file by name.

    Raises InputError where one cannot be had, together with what is wrong with the others.
    """
    if path.suffix == ".parquet":
        from autoreid.gallery.feature_files import FeatureFile
        from autoreid.gallery.sides import sides_of

        return sides_of(FeatureFile.open(path))
    if not path.is_file():
        raise InputError(f"{path}: no such file. Write one with numpy.savez.")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not an .npz file, or cut off. Write it with numpy.savez.")
    try:
        arrays, problems = _members(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Write it again with numpy.savez.") from None
    if problems:
        from autoreid.evaluation.checks import feature_problems

        problems += feature_problems(arrays, normalise)
        raise InputError(*(f"{path}: {problem}" for problem in problems))
    return arrays


def _members(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What can be read of the arrays, and why the rest cannot."""
    import numpy as np

    arrays, problems = {}, []
    with np.load(path, allow_pickle=False) as members:
        for name in ARRAYS:
            if name not in members:
                near = difflib.get_close_matches(name, sorted(set(members) - set(ARRAYS)), n=1)
                hint = f" It has {near[0]!r}: rename it." if near else f" Needed: {', '.join(ARRAYS)}."
                problems.append(f"{name}: missing.{hint}")
                continue
            try:
                arrays[name] = np.asarray(members[name])
            except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                problems.append(f"{name}: cannot be read ({error}). Write plain numbers with numpy.savez.")
    return arrays, problems


def _text(result: Mapping[str, Any]) -> str:
    lines = [_figures(result)]
    lines += [f"re-ranked: {_figures(result['reranked'])}"] if "reranked" in result else []
    left_out = left_out_text(result)
    lines += [left_out] if left_out else []
    lines += [camera_pairs_text(result["camera_pairs"])] if "camera_pairs" in result else []
    return "\n".join(lines)


def _figures(result: Mapping[str, Any]) -> str:
    figures = "   ".join(
        f"{name.replace('_', '-')} {result[name]:.4f}"
        for name in ("mAP", "rank_1", "rank_5", "rank_10", "mINP")
    )
    protocol = result["protocol"]
    said = [
        counted(result["queries"], "query", "queries"),
        f"{'normalised' if protocol['normalised'] else 'raw'} Euclidean distance",
        "ties against the match",
    ]
    said += ["trapezoid AP"] if protocol["average_precision"] == "trapezoid" else []
    said += [] if protocol["same_camera_ignored"] else ["matches of one camera"]
    return f"{figures}   ({', '.join(said)})"


EVALUATE_FEATURES = Command(
    name="evaluate-features",
    summary="mAP, CMC and mINP of saved features",
    configure=_configure,
    run=_run,
)
