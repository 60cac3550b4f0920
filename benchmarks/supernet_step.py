"""A search step of the cell supernet in its forms, side by side.

python benchmarks/supernet_step.py [--compile] [--precision P] [--rounds 5] [--threads N] [--short]

A step is that of `autoreid search` on `reid-v1` at the paper's size (C = 32, two cells in each block, batch
16) with images of 256x128: a batch and its augmentation for the weights, one for the alphas, both updates.
"plain" runs every operation of every edge by itself; "fused" is the default; "recomputed" is fused with
activation checkpointing; `--compile` adds the plain and the fused form compiled, which takes over an hour
on two cores (`cell_step.py` compiles single cells). All are in channels_last, in float32 on a CPU and in
bfloat16 on a GPU, unless told otherwise. The images are random pixels. Rounds alternate between the forms.
The short form leaves out "recomputed".
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
from autoreid.footprint import search_footprint
from autoreid.published import AUTO_REID_SEARCH
from autoreid.recipes import SearchRecipe
from autoreid.searching import SearchRun

IDENTITIES, IMAGES = 64, 4
FORMS = {
    "plain": Execution(supernet="plain"),
    "fused": Execution(),
    "recomputed": Execution(recompute=True),
}
COMPILED = {
    "plain, compiled": Execution(supernet="plain", compile=True),
    "fused, compiled": Execution(compile=True),
}


def steps_of(recipe: SearchRecipe, data: PreparedData, execution: Execution) -> Callable[[], object]:
    """Each call takes the next step of a search."""
    run = SearchRun(recipe, data, split_seed=0, search_seed=0, execution=execution)
    run.model.train()
    for group in run.optimizer.param_groups:
        group["lr"] = 1e-4  # no matter what the pixels say, numbers stay finite
    numbers = iter(range(10**9))

    def step() -> None:
        run._step(next(numbers))
        for remark in run.remarks:  # it does not run as it was asked to
            raise SystemExit(remark)

    return step


def peak_on_gpu(step: Callable[[], object], device: str) -> int:
    """Bytes that CUDA's allocator has given out at most in a step, other forms' weights among them."""
    torch.cuda.reset_peak_memory_stats(device)
    step()
    return torch.cuda.max_memory_allocated(device)


def measure(options: argparse.Namespace) -> list[Measurement]:
    precision = options.precision or ("fp32" if options.device == "cpu" else "bf16")
    recipe = replace(AUTO_REID_SEARCH, height=256, width=128, precision=precision)
    data = random_people(recipe.height, recipe.width, identities=IDENTITIES, images=IMAGES)
    forms, extra = [], {}
    chosen = {name: FORMS[name] for name in ("plain", "fused")} if options.short else FORMS
    for name, execution in (chosen | (COMPILED if options.compile else {})).items():
        placed = replace(execution, device=options.device, threads=options.threads)
        forms.append(Form(name, steps_of(recipe, data, placed)))
        counted = search_footprint(recipe, data.identities, placed).peak()
        extra[name] = {"batch": recipe.batch.size, "gibibytes_counted": counted / 2**30}
    timings = compare(forms, rounds=options.rounds, device=options.device)
    for form, timing in zip(forms, timings, strict=True):
        extra[form.name]["milliseconds_per_image"] = 1000 * timing.seconds / recipe.batch.size
        if options.device != "cpu":
            extra[form.name]["gibibytes_on_gpu"] = peak_on_gpu(form.run, options.device) / 2**30
    return measurements_of("supernet_step", timings, extra)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--compile", action="store_true", help="compiled forms too; needs a C++ compiler")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], help="default: fp32; bf16 on a GPU")


PROMISES = (
    Promise("fused", least=2.0, device="cpu"),
    Promise("fused", least=3.0, device="cuda"),
)

if __name__ == "__main__":
    sys.exit(main("supernet_step", measure, configure, promises=PROMISES, summary=__doc__))
