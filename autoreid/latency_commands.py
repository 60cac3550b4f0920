"""The command `latency`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer, say
from autoreid.errors import InputError, Problems, unknown
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.models.named import MODEL_HELP, add_size_flags, read_named
from autoreid.run_flags import add_data_flags, cache_of, data_source, execution_of
from autoreid.values import override

if TYPE_CHECKING:
    import torch

    from autoreid.latency import Pixels, Subject

# What the command times unless it is told: a single image, and a batch as in evaluations.
BATCHES = (1, 128)
# A pass has at least so many images: one call would say little of a small batch.
LEAST_IMAGES = 16
TABLE_12 = "table12"


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help=MODEL_HELP)
    add_size_flags(parser)
    parser.add_argument(
        "--batch", type=int, action="append", metavar="N", help="images at once; repeatable (1 and 128)"
    )
    parser.add_argument(
        "--protocol", metavar="NAME", help=f"{TABLE_12}: 19,281 images, batch 128, five passes, as in CDNet"
    )
    parser.add_argument("--images", type=int, metavar="N", help="images of a pass (default: a batch, 16)")
    parser.add_argument(
        "--rounds",
        "--passes",
        type=int,
        metavar="N",
        dest="passes",
        help="passes of every model (default: 5)",
    )
    parser.add_argument("--precision", help="fp32 (default), tf32 or bf16")
    add_data_flags(parser, required=False)
    add_json_flag(parser)


def latency_recipe(options: argparse.Namespace, problems: Problems) -> LatencyRecipe:
    """What the flags ask for; mistakes go into `problems`."""
    noted = len(problems.found)
    names = ("images", "passes", "precision")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if options.protocol is None:
        given["batch"] = options.batch or BATCHES
        given.setdefault("images", max(LEAST_IMAGES, *given["batch"]))
    elif options.protocol != TABLE_12:
        problems.add("--protocol", unknown("protocol", options.protocol, [TABLE_12]))
    elif options.batch:
        problems.add("--batch", f"the protocol {TABLE_12} has batches of 128. Leave one of the two out.")
    found = Problems()
    recipe = override(LatencyRecipe(), given, "--", found)
    # The field has the flag's other name.
    problems.extend(problem.replace("--passes:", "--rounds:") for problem in found.found)
    if len(problems.found) == noted:
        problems.extend(f"--{name}: {message}" for name, message in recipe.problems())
    return recipe


def read_subjects(options: argparse.Namespace, problems: Problems) -> list[Subject]:
    """The networks that the command names, in their order; mistakes go into `problems`."""
    from autoreid.latency import Subject
    from autoreid.recipes import TrainRecipe

    for name in dict.fromkeys(options.models):
        if options.models.count(name) > 1:
            problems.add(name, "given twice. Give every model once.")
    return [
        Subject(network.name, network.genotype, Build.of(network.recipe), network.model)
        for network in read_named(options, TrainRecipe(), problems)
    ]


def real_pixels(options: argparse.Namespace, images: int, device: torch.device) -> Pixels:
    """The first test images of the data set, over again where it has fewer."""
    import numpy as np
    import torch

    from autoreid.data.augment import normalise
    from autoreid.feed import prepare

    source, cache = data_source(options), cache_of(options)

    def pixels(height: int, width: int) -> torch.Tensor:
        data = prepare(source, height, width, cache)
        tested = np.concatenate([data.index.rows(split) for split in ("query", "gallery")])
        if not len(tested):
            raise InputError("--data: the data set has no query and no gallery images. Leave --data out.")
        taken = np.resize(tested, images)
        return normalise(torch.from_numpy(np.array(data.images[taken])).to(device))

    return pixels


def _run(options: argparse.Namespace) -> int:
    problems = Problems()
    recipe = latency_recipe(options, problems)
    if options.data is None and (options.data_set or options.data_option or options.cache):
        problems.add("--data-set, --data-option, --cache", "without effect. Add --data, or leave them out.")
    subjects = read_subjects(options, problems)
    result = _timed(subjects, recipe, options)

    from autoreid.latency_words import text_of

    answer(result, text_of(result), options.json)
    return DONE


def _timed(subjects: list[Subject], recipe: LatencyRecipe, options: argparse.Namespace) -> dict[str, Any]:
    """The answer of the command: where and how networks were timed, and a row for each and batch."""
    execution = execution_of(options)

    from autoreid.allocation import kept_memory
    from autoreid.determinism import repeatable
    from autoreid.facts import where
    from autoreid.latency import Bench, random_pixels, stopwatch_of
    from autoreid.memory import memory_explained
    from autoreid.optimisation import set_up

    device = set_up(execution, recipe.precision)
    largest = max(recipe.batch)
    pixels = random_pixels(largest, device)
    if options.data is not None:
        pixels = real_pixels(options, largest, device)
    with memory_explained(recipe, execution), repeatable(execution), kept_memory(execution):
        bench = Bench(
            subjects,
            recipe,
            device,
            execution,
            pixels=pixels,
            stopwatch=stopwatch_of(device),
            note=say,
        )
        rows = [timed.plain() for timed in bench.run()]
    return {
        "protocol": options.protocol,
        "changed": options.protocol is not None and recipe != LatencyRecipe(precision=recipe.precision),
        "pixels": "random" if options.data is None else options.data,
        **where(device, execution),
        "precision": recipe.precision,
        "images": recipe.images,
        "passes": recipe.passes,
        "models": rows,
    }


LATENCY = Command("latency", "The time that models take at inference, side by side.", _configure, _run)
