"""Flags that commands share, and what they say: where data is, how work is run, and the recipe."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import add_json_flag
from autoreid.errors import InputError, Problems, read_together, unknown
from autoreid.folders import expanded
from autoreid.models.commands import find_genotype

if TYPE_CHECKING:
    from autoreid.data.source import DataSource
    from autoreid.execution import Execution
    from search_spaces.genotype import Genotype

# Fields of `Execution` that have a flag of their own.
FLAGS = ("device", "threads", "workers", "eigenvalue_epochs")


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that every single run shares."""
    parser.add_argument("--recipe", default="cdnet", help="name of the recipe (default: cdnet)")
    add_data_flags(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the results; continued if there"
    )
    parser.add_argument("--precision", help="fp32, tf32 or bf16; short for --set precision=...")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a recipe field; repeatable",
    )
    parser.add_argument(
        "--teacher",
        metavar="PATH",
        help="model.pt of a training, or its folder, for an objective that distils",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_json_flag(parser)


def add_data_flags(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Where the data is, and on what to compute."""
    parser.add_argument("--data", required=required, metavar="DIR", help="data set folder, or 'rendered'")
    parser.add_argument("--data-set", metavar="NAME", help="name of the set (default: found by looking)")
    parser.add_argument(
        "--data-option",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="a field of the set, such as variant=detected; repeatable",
    )
    parser.add_argument("--cache", metavar="DIR", help="node-local folder for decoded images")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    add_execution_flag(parser)


def add_execution_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--execution",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="how to run, such as memory_format=contiguous (docs/campaigns.md, Execution); changes a step by "
        "rounding at most; repeatable",
    )


def settings(given: list[str], flag: str, example: str) -> dict[str, str]:
    """`FIELD=VALUE` settings of a flag as a mapping; all malformed ones are reported together."""
    problems, found = Problems(), {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            problems.add(flag, f"{setting!r} is not FIELD=VALUE, such as {example}.")
        found[name] = value
    problems.raise_if_any()
    return found


def changes(given: list[str], precision: str | None = None) -> dict[str, str]:
    """What `--set` and `--precision` change of a recipe."""
    return settings(given, "--set", "epochs=2") | ({"precision": precision} if precision else {})


def chosen_recipe(
    recipes: Mapping[str, Any],
    options: argparse.Namespace,
    check: Callable[[Any], None] = lambda recipe: None,
) -> Any:
    """The recipe of a name with the overrides of the command line; `check` may refuse it with an InputError.

    All mistakes are reported together.
    """
    from autoreid.recipes import recipe_problems
    from autoreid.values import override

    if options.recipe not in recipes:
        raise InputError(f"--recipe: {unknown('recipe', options.recipe, recipes)}")
    problems = Problems()
    given = changes(options.set, options.precision)
    for name in ("space", "weights"):
        if getattr(options, name, None) is not None:
            given[name] = getattr(options, name)
    recipe = override(recipes[options.recipe], given, "--set ", problems)
    problems.extend(f"--set {name}: {message}" for name, message in recipe_problems(recipe))
    try:
        check(recipe)
    except InputError as error:
        problems.extend(error.problems)
    problems.raise_if_any()
    return recipe


def network_recipe(recipes: Mapping[str, Any], options: argparse.Namespace) -> tuple[Any, Genotype]:
    """The recipe of a name (see `chosen_recipe`), and the genotype whose network has its sizes."""
    from autoreid.sizes import check_network

    found: list[Genotype] = []

    def check(recipe: Any) -> None:
        for genotype in found:
            check_network(recipe, genotype, "--set ")

    _, recipe = read_together(
        lambda: found.append(find_genotype(options.genotype)),
        lambda: chosen_recipe(recipes, options, check),
    )
    return recipe, found[0]


def data_source(options: argparse.Namespace) -> DataSource:
    """The data set that `--data`, `--data-set` and `--data-option` name; one without a name is found by
    looking. Of one that has a name, it is said when it is opened that nothing is there."""
    from autoreid.data.sets import find_set
    from autoreid.data.source import RENDERED, source_of

    if options.data == RENDERED:
        return source_of(RENDERED, None, options.data_option)
    if options.data_set:
        return source_of(options.data_set, options.data, options.data_option)
    place = expanded(options.data)
    if not place.exists():
        near = difflib.get_close_matches(str(options.data), [RENDERED], cutoff=0.8)
        hint = f"Did you mean {RENDERED!r}, the built-in data?" if near else "Give that of a data set."
        raise InputError(f"--data: {options.data}: no such folder. {hint}")
    return source_of(find_set(place), options.data, options.data_option)


def execution_of(options: argparse.Namespace) -> Execution:
    """How a single run is run: `--execution`, and the flags that have names of their own."""
    from autoreid.execution import Execution
    from autoreid.optimisation import execution_problems
    from autoreid.values import override

    given, problems = settings(options.execution, "--execution", "compile=true"), Problems()
    flags = {name: getattr(options, name, None) for name in FLAGS}
    flags = {name: value for name, value in flags.items() if value is not None}
    execution = override(Execution(), given, "--execution ", problems)
    execution = override(execution, flags, "--", problems)
    for field, message in execution_problems(execution):
        problems.add(f"--{field}" if field in flags else f"--execution {field}", message)
    problems.raise_if_any()
    return execution


def cache_of(options: argparse.Namespace) -> Path | None:
    return expanded(options.cache) if options.cache else None
