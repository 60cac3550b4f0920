"""A search step by the branches of top-k against one by all branches, side by side.

python benchmarks/topk_step.py [--space NAME] [--k 1 2 3 4] [--rounds 5] [--threads N] [--device D] [--short]

A step is that of `autoreid search`: a batch and its augmentation for the weights, one for the alphas, both
updates. Random alphas are set before each step that is counted, so that the k branches of every place are
drawn uniformly; a round counts --steps of top-k and one of all branches, which never change. The images are
random pixels. The short form measures top-2 alone, the long one k = 1 to 4.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace

import torch
from random_people import random_people
from side_by_side import Form, Measurement, Promise, compare, main, measurements_of

from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.published import CDNET_SEARCH
from autoreid.recipes import Batch, SearchRecipe
from autoreid.searching import SearchRun

SPACES = ("cds-v1", "cs-v1")
IDENTITIES = 64
# Of a CPU: a quarter of the paper's width and half of its height; the batch is the paper's.
ON_CPU = {"height": 128, "width": 64, "width_multiplier": 0.25}


def recipe_of(space: str, k: int | str, device: str, *, short: bool) -> SearchRecipe:
    small = ON_CPU if device == "cpu" else {}
    batch = Batch(identities=8 if short and device == "cpu" else 16, images=4)
    return replace(CDNET_SEARCH, space=space, k=k, batch=batch, **small)  # type: ignore[arg-type]


def steps_of(
    recipe: SearchRecipe, data: PreparedData, execution: Execution, count: int
) -> Callable[[], object]:
    """Each call takes the next steps of a search, each at alphas of its own."""
    run = SearchRun(recipe, data, split_seed=0, search_seed=0, execution=execution)
    run.model.train()
    for group in run.optimizer.param_groups:
        group["lr"] = 1e-4  # no matter what the pixels say, numbers stay finite
    generator = torch.Generator().manual_seed(0)
    numbers = iter(range(10**9))

    def take() -> None:
        for _ in range(count):
            with torch.no_grad():
                for alpha in run.alphas.values():
                    alpha.copy_(torch.randn(len(alpha), generator=generator))
            run._step(next(numbers))

    return take


def measure_space(space: str, options: argparse.Namespace) -> list[Measurement]:
    """Top-k for some k, against all branches."""
    base = recipe_of(space, "all", options.device, short=options.short)
    data = random_people(base.height, base.width, identities=IDENTITIES, images=8)
    execution = Execution(device=options.device, threads=options.threads)
    counts: dict[int | str, int] = {"all": 1} | dict.fromkeys(options.k, options.steps)
    forms = [
        Form(f"{space}, k = {k}", steps_of(replace(base, k=k), data, execution, count))
        for k, count in counts.items()
    ]
    timings = [
        replace(
            timing,
            seconds=timing.seconds / count,
            lowest=timing.lowest / count,
            highest=timing.highest / count,
            processor_seconds=timing.processor_seconds / count,
            ratio=timing.ratio * count,
            processor_ratio=timing.processor_ratio * count,
        )
        for timing, count in zip(
            compare(forms, rounds=options.rounds, device=options.device), counts.values(), strict=True
        )
    ]
    extra = {
        timing.name: {
            "batch": base.batch.size,
            "steps": count * options.rounds,
            "milliseconds_per_image": 1000 * timing.seconds / base.batch.size,
        }
        for timing, count in zip(timings, counts.values(), strict=True)
    }
    return measurements_of("topk_step", timings, extra)


def measure(options: argparse.Namespace) -> list[Measurement]:
    options.k = options.k or ([2] if options.short else [1, 2, 3, 4])
    return [row for space in options.space or SPACES for row in measure_space(space, options)]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", choices=SPACES, action="append", help="default: both")
    parser.add_argument("--k", type=int, nargs="+", help="default: 1 2 3 4, with --short 2")
    parser.add_argument("--steps", type=int, default=4, help="steps of top-k in a round (default: 4)")


PROMISES = (
    Promise("cds-v1, k = 2", least=4.5, optional=True),
    Promise("cs-v1, k = 2", least=2.2, optional=True),
)

if __name__ == "__main__":
    sys.exit(main("topk_step", measure, configure, promises=PROMISES, summary=__doc__))
