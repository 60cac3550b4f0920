"""The engine's sub-commands. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer, run_command, say
from autoreid.errors import InputError, Problems, unknown
from autoreid.evaluation.words import scores_text
from autoreid.folders import expanded
from autoreid.interruption import stop_on_signals
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

    def check(recipe: Any) -> None:
        check_network(recipe, find_genotype(options.genotype), "--set ")

    return chosen_recipe(recipes, options, check), find_genotype(options.genotype)


def data_source(options: argparse.Namespace) -> DataSource:
    """The data set that `--data`, `--data-set` and `--data-option` name; one without a name is found by
    looking. That nothing is there is said when it is opened."""
    from autoreid.data.sets import find_set
    from autoreid.data.source import RENDERED, source_of

    if options.data == RENDERED:
        return source_of(RENDERED, None, options.data_option)
    place = expanded(options.data)
    if not place.exists() and difflib.get_close_matches(str(options.data), [RENDERED], cutoff=0.8):
        message = f"no folder {options.data!r}. Did you mean {RENDERED!r}, the built-in data?"
        raise InputError(f"--data: {message}")
    found = options.data_set or (find_set(place) if place.exists() else "market1501")
    return source_of(found, options.data, options.data_option)


def execution_of(options: argparse.Namespace) -> Execution:
    """How a single run is run: `--execution`, and the flags that have names of their own."""
    from autoreid.byte_sizes import byte_count
    from autoreid.execution import Execution
    from autoreid.optimisation import choose_device
    from autoreid.values import override

    given, problems = settings(options.execution, "--execution", "compile=true"), Problems()
    flags = {name: getattr(options, name, None) for name in FLAGS}
    flags = {name: value for name, value in flags.items() if value is not None}
    execution = override(Execution(), given, "--execution ", problems)
    execution = override(execution, flags, "--", problems)
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("--execution evaluation_memory: ", lambda: byte_count(execution.evaluation_memory)),
        ("--" if "device" in flags else "--execution ", lambda: choose_device(execution.device)),
    )
    for place, check in checks:
        try:
            check()
        except InputError as error:
            problems.extend(place + problem for problem in error.problems)
    problems.raise_if_any()
    return execution


def cache_of(options: argparse.Namespace) -> Path | None:
    return expanded(options.cache) if options.cache else None


def _epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    accuracy = f"accuracy {100 * row['accuracy']:.1f}%"
    entropy = f", alpha entropy {row['alpha_entropy']:.3f}" if "alpha_entropy" in row else ""
    speed = f"{row['images_per_second']:.0f} images/s"
    return f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.3f}, {accuracy}{entropy}, {speed}"


def progress(options: argparse.Namespace, epochs: int) -> Any:
    """Tells of every epoch on stderr, unless nobody wants to know."""
    return None if options.quiet else lambda row: say(_epoch_line(row, epochs))


def _configure_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", help="search space (default: the recipe's), such as cds-v1")
    parser.add_argument("--split-seed", type=int, help="seed that divides the training set (default: --seed)")
    parser.add_argument(
        "--eigenvalue-epochs",
        type=int,
        metavar="N",
        help="measure the alphas' largest eigenvalue every N epochs (default: 0, never)",
    )
    add_run_flags(parser)


def search_notes(result: Mapping[str, Any]) -> list[str]:
    """What a reader of a search's genotype should know; an older release wrote less in the result."""
    notes = []
    if result.get("stopped_epoch") is not None:
        when = f"stopped early after epoch {result['stopped_epoch']}"
        notes.append(f"{when}; the genotype is that of epoch {result['genotype_epoch']}")
    if result.get("collapsed"):
        notes.append("collapsed: half of the normal cell's edges or more have no parameters")
    return notes


def _run_search(options: argparse.Namespace) -> int:
    from autoreid.calls import search
    from autoreid.published import SEARCH_RECIPES
    from autoreid.sizes import check_search

    recipe = chosen_recipe(SEARCH_RECIPES, options, check_search)
    with stop_on_signals() as stop:
        found = search(
            recipe,
            data_source(options),
            options.out,
            seed=options.seed,
            split_seed=options.split_seed,
            teacher=options.teacher,
            execution=execution_of(options),
            cache=cache_of(options),
            on_epoch=progress(options, recipe.epochs),
            stop=stop,
        )
    text = "\n".join([str(found.genotype), *search_notes(found.result), f"{options.out}/genotype.json"])
    answer(found.result | {"out": options.out}, text, options.json)
    return DONE


def _configure_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--genotype", required=True, help="published name, such as cdnet-top2, or JSON file")
    parser.add_argument(
        "--weights",
        metavar="WEIGHTS",
        help="what to begin with: imagenet (ResNets), a file of weights, or the folder of a run",
    )
    add_run_flags(parser)


def _run_train(options: argparse.Namespace) -> int:
    from autoreid.calls import train
    from autoreid.published import TRAIN_RECIPES

    recipe, genotype = network_recipe(TRAIN_RECIPES, options)
    with stop_on_signals() as stop:
        trained = train(
            recipe,
            genotype,
            data_source(options),
            options.out,
            seed=options.seed,
            teacher=options.teacher,
            execution=execution_of(options),
            cache=cache_of(options),
            on_epoch=progress(options, recipe.epochs),
            stop=stop,
        )
    before = trained.result["untrained"]
    text = (
        f"{scores_text(trained.result['evaluation'])}\n"
        f"untrained: rank-1 {100 * before['rank_1']:.1f}, mAP {100 * before['mAP']:.1f}\n"
        f"{options.out}/model.pt"
    )
    answer(trained.result | {"out": options.out}, text, options.json)
    return DONE


def _configure_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", default="autoreid-demo", metavar="DIR", help="storage (default: autoreid-demo)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_json_flag(parser)


def demo_lines(out: str, quiet: bool) -> list[list[str]]:
    """The demo as the command lines that it runs, in order; the last one says what came out."""
    run = ["campaign", "run", "demo", "--storage", out, *(["--quiet"] if quiet else [])]
    return [run, ["tables", "collect", out], ["report", out], ["tables", "summary", out]]


def _run_demo(options: argparse.Namespace) -> int:
    worst = DONE
    *steps, last = demo_lines(options.out, options.quiet)
    # With --json, standard output belongs to the one object that the last line prints.
    elsewhere = contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext()
    with elsewhere:
        for line in steps:
            say(f"$ autoreid {' '.join(line)}")
            worst = max(worst, run_command(line))
    return max(worst, run_command([*last, "--json"] if options.json else last))


DEMO = Command(
    "demo",
    "The main job on built-in data: four searches, four retrainings, tables and a report.",
    _configure_demo,
    _run_demo,
)
SEARCH = Command("search", "Search an architecture on one data set.", _configure_search, _run_search)
TRAIN = Command("train", "Train and evaluate the network of a genotype.", _configure_train, _run_train)
