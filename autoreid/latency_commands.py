"""The command `latency`. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer, say
from autoreid.commands import add_data_flags, cache_of, data_source, execution_of
from autoreid.errors import InputError, Problems, unknown
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.models.commands import FLAG_OF, add_size_flags, read_networks, sizes_given
from autoreid.values import override

if TYPE_CHECKING:
    import torch

    from autoreid.latency import Pixels, Subject

# What the command times unless it is told: a single image, and a batch as in evaluations.
BATCHES = (1, 128)
# A pass has at least so many images: one call would say little of a small batch.
LEAST_IMAGES = 16
TABLE_12 = "table12"
MEMORY_WORDS = {
    "allocator": "the most that torch's allocator held for a batch, the model included",
    "counted": "the sizes of the tensors of a batch, the model included",
}


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="published names, genotype files, or trained models: model.pt, its folder, a portable file",
    )
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
    recipe = override(LatencyRecipe(), given, "--", problems)
    if len(problems.found) == noted:
        problems.extend(f"--{name}: {message}" for name, message in recipe.problems())
    return recipe


def is_genotype_file(path: Path) -> bool:
    """Whether a file is JSON; trained models are not, though one may begin with a brace."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False  # named where it is read as a model
    return head.lstrip()[:1] == b"{" and b"\0" not in head


def read_subjects(options: argparse.Namespace, problems: Problems) -> list[Subject]:
    """The networks that the command names, in their order; mistakes go into `problems`."""
    from autoreid.latency import Subject
    from search_spaces.published import PUBLISHED

    found: dict[str, Subject] = {}
    architectures = []
    for name in dict.fromkeys(options.models):
        path = Path(name)
        if options.models.count(name) > 1:
            problems.add(name, "given twice. Give every model once.")
        if name in PUBLISHED or (path.is_file() and is_genotype_file(path)):
            architectures.append(name)
        elif path.exists():
            _read_trained(name, found, problems)
        else:
            remedy = "Or give a genotype file, such as genotype.json, or the model.pt of a training."
            problems.add("MODEL", f"{unknown('model', name, PUBLISHED)} {remedy}")
    if found and not architectures:
        for field in sizes_given(options):
            flag = FLAG_OF.get(field, field)
            problems.add(f"--{flag}", "trained models have sizes of their own. Leave it out.")
    recipe, genotypes = read_networks(options, architectures, problems)
    problems.raise_if_any()
    for name, genotype in zip(architectures, genotypes, strict=True):
        found[name] = Subject(name, genotype, Build.of(recipe))
    return [found[name] for name in options.models]


def _read_trained(name: str, found: dict[str, Subject], problems: Problems) -> None:
    from autoreid.latency import Subject
    from autoreid.model_files import unpack_model

    try:
        file = checkpoint_file(name)
        model, trained, genotype = unpack_model(read_checkpoint(file), str(file))
    except InputError as error:
        problems.extend(error.problems)
    else:
        found[name] = Subject(name, genotype, Build.of(trained), model)


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


def text_of(result: Mapping[str, Any]) -> str:
    """The answer for people: what was done, a line for each model and batch, and how to read them."""
    images, passes = counted(result["images"], "image"), counted(result["passes"], "pass", "passes")
    done = f"{passes} of {images}, {result['pixels']} pixels"
    if result["changed"]:
        done = f"Table 12's protocol, changed to {done}"
    elif result["protocol"]:
        done = f"Table 12's protocol: {done}"
    rows = result["models"]
    width = max(len("model"), *(len(row["model"]) for row in rows))
    heads = f"{'model':<{width}} {'batch':>5} {'ms a batch':>10} {'spread':>8} {'ms an image':>11} "
    heads += f"{'images/s':>9} {'times as fast':>13} {'s a pass':>9} {'parameters':>11} "
    heads += f"{'multiply-adds':>14} {'memory MiB':>10}"
    lines = [
        f"{row['model']:<{width}} {row['batch']:>5} {row['batch_milliseconds']:>10.2f} "
        f"{row['batch_milliseconds_iqr']:>8.2f} {row['image_milliseconds']:>11.3f} "
        f"{row['images_per_second']:>9.1f} {row['times_as_fast']:>13.2f} {row['pass_seconds']:>9.2f} "
        f"{row['parameters']:>11,} {row['multiply_adds']:>14,} {row['peak_memory_bytes'] / 2**20:>10.1f}"
        for row in rows
    ]
    source = MEMORY_WORDS[rows[0]["peak_memory_source"]]
    return "\n".join(
        [
            f"{result['device']}, {counted(result['threads'], 'thread')}, {result['precision']}, "
            f"forms: {result['forms']}; {done}",
            heads,
            *lines,
            f"Medians; spread: between the quartiles. Times as fast as {rows[0]['model']}, pass by pass. "
            f"Memory: {source}.",
        ]
    )


def counted(number: int, word: str, words: str = "") -> str:
    """A number and its word.

    >>> counted(1, "image"), counted(19281, "image"), counted(2, "pass", "passes")
    ('1 image', '19,281 images', '2 passes')
    """
    return f"{number:,} {word if number == 1 else words or word + 's'}"


LATENCY = Command("latency", "The time that models take at inference, side by side.", _configure, _run)
