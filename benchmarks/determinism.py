"""Steps of searches and of a training with deterministic kernels against the same steps without.

python benchmarks/determinism.py [--short] [--rounds 5] [--threads N] [--device D]

Both forms take the same batches of random pixels. On CPUs sizes are a quarter of the paper's width and half
of its height, on GPUs the paper's.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from random_people import random_people
from side_by_side import Form, Measurement, compare, main, measurements_of

from autoreid.determinism import VARIABLE, WORKSPACES, repeatable
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.published import SEARCH_RECIPES, TRAIN_RECIPES
from autoreid.searching import SearchRun
from autoreid.training import TrainRun
from autoreid.values import override
from search_spaces.published import PUBLISHED

CASE = "determinism"
SMALL: dict[str, Any] = {"height": 128, "width": 64, "batch": {"identities": 4, "images": 2}}
# Of each kind the sizes on a CPU; the fields of its networks differ.
KINDS: dict[str, dict[str, Any]] = {
    "CDNet search": SMALL | {"width_multiplier": 0.25},
    "Auto-ReID search": SMALL | {"channels": 8},
    "CDNet training": SMALL | {"width_multiplier": 0.25},
}


def build(kind: str, device: str, data: PreparedData, execution: Execution) -> SearchRun | TrainRun:
    sizes = KINDS[kind] if device == "cpu" else {}
    if kind == "CDNet training":
        recipe = override(TRAIN_RECIPES["cdnet"], sizes)
        return TrainRun(recipe, PUBLISHED["cdnet-top2"], data, train_seed=0, execution=execution)
    searched = override(SEARCH_RECIPES["cdnet" if kind == "CDNet search" else "auto-reid"], sizes)
    return SearchRun(searched, data, split_seed=0, search_seed=0, execution=execution)


def steps(run: SearchRun | TrainRun, count: int) -> Callable[[], object]:
    """Each call takes the next steps."""
    numbers = iter(range(10**9))
    for group in run.optimizer.param_groups:
        group["lr"] = 1e-4  # no matter what the pixels say, numbers stay finite

    def take() -> None:
        with repeatable(run.execution):
            for _ in range(count):
                run._step(next(numbers))

    return take


def measure(options: argparse.Namespace) -> list[Measurement]:
    # Before CUDA begins, for both forms.
    os.environ.setdefault(VARIABLE, WORKSPACES[0])
    size = {"height": 128, "width": 64} if options.device == "cpu" else {"height": 256, "width": 128}
    data = random_people(**size, identities=32, images=12)
    found: list[Measurement] = []
    for kind in KINDS:
        forms, count = [], 1 if options.short else 4
        for words, deterministic in ((kind, False), (f"{kind}, deterministic", True)):
            execution = Execution(options.device, options.threads, deterministic=deterministic)
            run = build(kind, options.device, data, execution)
            forms.append(Form(words, steps(run, count)))
        timings = compare(forms, rounds=options.rounds, device=options.device, steps=count)
        found += measurements_of(CASE, timings)
    return found


if __name__ == "__main__":
    raise SystemExit(main(CASE, measure, summary=__doc__))
