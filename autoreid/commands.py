"""The engine's sub-commands. Nothing heavy is imported until one of them runs."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from autoreid.cli import DONE, Command, add_json_flag, answer, run_command, say
from autoreid.errors import read_together
from autoreid.evaluation.words import scores_text
from autoreid.interruption import stop_on_signals
from autoreid.run_flags import (
    add_run_flags,
    cache_of,
    chosen_recipe,
    data_source,
    execution_of,
    network_recipe,
)


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
    from autoreid.calls import local_folder, search
    from autoreid.published import SEARCH_RECIPES
    from autoreid.sizes import check_search

    recipe, source, execution, _ = read_together(
        lambda: chosen_recipe(SEARCH_RECIPES, options, check_search),
        lambda: data_source(options),
        lambda: execution_of(options),
        lambda: local_folder(options.out),
    )
    with stop_on_signals() as stop:
        found = search(
            recipe,
            source,
            options.out,
            seed=options.seed,
            split_seed=options.split_seed,
            teacher=options.teacher,
            execution=execution,
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
    from autoreid.calls import local_folder, train
    from autoreid.published import TRAIN_RECIPES

    (recipe, genotype), source, execution, _ = read_together(
        lambda: network_recipe(TRAIN_RECIPES, options),
        lambda: data_source(options),
        lambda: execution_of(options),
        lambda: local_folder(options.out),
    )
    with stop_on_signals() as stop:
        trained = train(
            recipe,
            genotype,
            source,
            options.out,
            seed=options.seed,
            teacher=options.teacher,
            execution=execution,
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
