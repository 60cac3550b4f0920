"""The command `evaluate-features`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import difflib
import zipfile
import zlib
from pathlib import Path
from typing import Any

from autoreid.cli import DONE, Command, add_json_flag, answer, say
from autoreid.errors import InputError

ARRAYS = (
    "query_features",
    "gallery_features",
    "query_ids",
    "query_cameras",
    "gallery_ids",
    "gallery_cameras",
)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.npz", help=f"holds {', '.join(ARRAYS)}")
    parser.add_argument("--no-normalise", action="store_true", help="rank by the features as they are")
    parser.add_argument("--rerank", action="store_true", help="also the scores after k-reciprocal re-ranking")
    parser.add_argument("--k1", type=int, metavar="N", help="with --rerank: neighbours (default: 20)")
    parser.add_argument("--k2", type=int, metavar="N", help="with --rerank: neighbours to smooth over (6)")
    parser.add_argument(
        "--lambda", dest="weight", type=float, metavar="SHARE", help="with --rerank: of the distance (0.3)"
    )
    add_json_flag(parser)


def _run(options: argparse.Namespace) -> int:
    from autoreid.evaluation.ranking import PROTOCOL, rank_features

    normalise = not options.no_normalise
    given = {name: getattr(options, name) for name in ("k1", "k2", "weight")}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not options.rerank:
        names = ", ".join(f"--{'lambda' if name == 'weight' else name}" for name in given)
        raise InputError(f"{names}: without effect. Add --rerank, or leave it out.")
    arrays = read_arrays(options.file, normalise)
    try:
        scores = rank_features(**arrays, normalise=normalise)
    except InputError as error:
        raise InputError(*(f"{options.file}: {problem}" for problem in error.problems)) from None
    left_out = len(scores.valid) - scores.queries
    if left_out:
        say(f"{left_out} of {len(scores.valid)} queries have no match under another camera and are left out.")
    protocol = {**PROTOCOL, "normalised": normalise}
    result = scores.plain(protocol)
    if options.rerank:
        from autoreid.evaluation.reranking import ReRanking, rerank_features  # deferred: loads torch

        settings = ReRanking(**given)
        better = rerank_features(**arrays, normalise=normalise, settings=settings)
        result["reranked"] = better.plain({**protocol, "reranking": settings.plain()})
    answer(result, _text(result), options.json)
    return DONE


def read_arrays(path: Path, normalise: bool) -> dict[str, Any]:
    """The arrays of a feature file by name.

    Raises InputError where one cannot be had, together with what is wrong with the others.
    """
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


def _text(result: dict[str, Any]) -> str:
    if "reranked" in result:
        rest = {name: value for name, value in result.items() if name != "reranked"}
        return f"{_text(rest)}\nre-ranked: {_text(result['reranked'])}"
    figures = "   ".join(
        f"{name.replace('_', '-')} {result[name]:.4f}"
        for name in ("mAP", "rank_1", "rank_5", "rank_10", "mINP")
    )
    distance = "normalised Euclidean" if result["protocol"]["normalised"] else "raw Euclidean"
    return f"{figures}   ({result['queries']} queries, {distance} distance, ties against the match)"


EVALUATE_FEATURES = Command(
    name="evaluate-features",
    summary="mAP, CMC and mINP of saved features",
    configure=_configure,
    run=_run,
)
