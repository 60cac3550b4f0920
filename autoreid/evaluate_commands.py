"""The command `evaluate`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoreid.byte_sizes import byte_count
from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError, TooLittleMemoryError
from autoreid.evaluate_recipes import MEMORY_FIELD, EvaluateRecipe
from autoreid.evaluation.words import camera_pairs_text, scores_text
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.run_flags import add_data_flags, cache_of, data_source, execution_of
from autoreid.values import override

if TYPE_CHECKING:
    from autoreid.execution import Execution

# Flags that mean something with --rerank alone; fields of the recipe have these names.
RERANKING = ("k1", "k2", "lambda")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="model.pt of a training, its folder, or a portable file"
    )
    add_evaluation_flags(parser)
    parser.add_argument("--cameras", action="store_true", help="also the scores of every pair of cameras")
    parser.add_argument(
        "--hardest", type=int, default=0, metavar="N", help="also the N queries of the lowest precision"
    )
    add_data_flags(parser)
    add_json_flag(parser)


def add_evaluation_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of what an `EvaluateRecipe` says, and of the memory that a ranking may take."""
    parser.add_argument("--rerank", action="store_true", help="also the scores after k-reciprocal re-ranking")
    parser.add_argument("--k1", type=int, metavar="N", help="with --rerank: neighbours (default: 20)")
    parser.add_argument("--k2", type=int, metavar="N", help="with --rerank: neighbours to smooth over (6)")
    parser.add_argument("--lambda", type=float, metavar="SHARE", help="with --rerank: of the distance (0.3)")
    parser.add_argument("--flip", action="store_true", help="mean features of image and mirror image")
    parser.add_argument("--no-normalise", action="store_true", help="rank by the features as they are")
    parser.add_argument(
        "--average-precision",
        choices=("mean-precision", "trapezoid"),
        default="mean-precision",
        help="rule of AP (default: mean-precision)",
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="what ranking may take beside the features, such as 2GiB (4GiB)"
    )


def evaluation_recipe(options: argparse.Namespace) -> EvaluateRecipe:
    """What the flags ask for; InputError, all problems together."""
    given = {name: getattr(options, name) for name in RERANKING}
    given = {name: value for name, value in given.items() if value is not None}
    if given and not options.rerank:
        names = ", ".join(f"--{name}" for name in given)
        raise InputError(f"{names}: without effect. Add --rerank, or leave it out.")
    recipe = EvaluateRecipe(
        normalised=not options.no_normalise,
        average_precision=options.average_precision,
        flip=options.flip,
        rerank=options.rerank,
    )
    recipe = override(recipe, given, "--")
    problems = [f"--{name}: {message}" for name, message in recipe.problems()]
    if problems:
        raise InputError(*problems)
    return recipe


def bounded_execution(options: argparse.Namespace) -> Execution:
    """How it is run, within the memory that `--memory` says."""
    execution = execution_of(options)
    if options.memory is None:
        return execution
    try:
        byte_count(options.memory)
    except InputError as error:
        raise InputError(f"--memory: {error}") from None
    return replace(execution, evaluation_memory=options.memory)


@contextlib.contextmanager
def memory_of_the_flag() -> Iterator[None]:
    """Within, memory that does not suffice for a ranking is that of `--memory`."""
    try:
        yield
    except TooLittleMemoryError as error:
        raise InputError(str(error).replace(MEMORY_FIELD, "--memory")) from None


def _run(options: argparse.Namespace) -> int:
    recipe, path = evaluation_recipe(options), checkpoint_file(options.checkpoint)
    if options.hardest < 0:
        raise InputError(f"--hardest: {options.hardest} is too small. Use 0 or more.")
    execution, source = bounded_execution(options), data_source(options)

    from autoreid.evaluating import evaluate, protocol_of
    from autoreid.feed import prepare
    from autoreid.forms import place
    from autoreid.model_files import unpack_model
    from autoreid.optimisation import set_up

    model, trained, _ = unpack_model(read_checkpoint(path), str(path))
    device = set_up(execution, trained.precision)
    data = prepare(source, trained.height, trained.width, cache_of(options))
    with memory_of_the_flag():
        found = evaluate(
            place(model, device, execution),
            data,
            device=device,
            precision=trained.precision,
            execution=execution,
            protocol=protocol_of(recipe),
        )
    result = found.plain()
    if options.cameras:
        result["camera_pairs"] = found.camera_pairs()
    if options.hardest:
        result["hardest"] = found.hardest(options.hardest)
    answer(result, _text(result), options.json)
    return DONE


def hardest_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The hardest queries as lines: AP in percent, the rank of the first match, and the name.

    >>> row = {"name": "query/7.jpg", "average_precision": 0.125, "first_rank": 8}
    >>> print(hardest_text([row]))
      AP  first match  query
    12.5            8  query/7.jpg
    """
    lines = (
        f"{100 * row['average_precision']:>4.1f}  {row['first_rank']:>11,}  {row['name']}" for row in rows
    )
    return "\n".join([f"{'AP':>4}  {'first match':>11}  query", *lines])


def _text(result: Mapping[str, Any]) -> str:
    lines = [scores_text(result)]
    if "reranked" in result and len(result.keys() & {"camera_pairs", "hardest"}):
        lines += ["what follows is by the plain distances:"]
    lines += [camera_pairs_text(result["camera_pairs"])] if "camera_pairs" in result else []
    lines += [hardest_text(result["hardest"])] if "hardest" in result else []
    return "\n\n".join(lines)


EVALUATE = Command("evaluate", "CMC and mAP of a trained model.", _configure, _run)
