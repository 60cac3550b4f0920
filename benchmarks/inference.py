"""Inference over the 19,281 test images of Market-1501, batch 128, as in CDNet's Table 12.

python benchmarks/inference.py [--images N] [--model NAME] [--compile] [--rounds 5] [--device D] [--short]

CDNet, BagOfTricks and GDAS with the necks they are trained with, untrained, on synthetic images of
256x128: from decoded bytes to features in memory, in float32 and bfloat16, contiguous and channels_last;
`--compile` adds torch.compile of the latter. On a GPU every pass takes all images; on a CPU 128, in the
short form 32: the seconds for all are the mean of the passes scaled up. Rounds alternate between the
forms of a model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import torch
from side_by_side import Form, Measurement, compare, main, measurements_of
from torch import Tensor, nn

from autoreid.cli import say
from autoreid.data.views import Picked
from autoreid.evaluation.features import extract
from autoreid.execution import Execution
from autoreid.forms import LAYOUTS, compiler_problem, place
from autoreid.latency import Subject
from autoreid.latency_recipes import TEST_BATCH, TEST_IMAGES, Build
from autoreid.published import AUTO_REID_TRAIN
from autoreid.recipes import Neck
from autoreid.values import override
from search_spaces.published import PUBLISHED

HEIGHT, WIDTH = 256, 128
DISTINCT = 512  # synthetic images, repeated


def subject(name: str, build: Build) -> Subject:
    """A published network, for images of the size that all are timed with."""
    return Subject(name, PUBLISHED[name], replace(build, height=HEIGHT, width=WIDTH))


# Each with the neck that it is trained with.
NETWORKS = (
    subject("cdnet-top2", Build(neck=Neck(name="fblneck"))),
    subject("bag-of-tricks", Build(neck=Neck(name="bnneck"))),
    subject("gdas-v1-net", Build.of(AUTO_REID_TRAIN)),
)


def pass_over(
    embed: Callable[[Tensor], Tensor], images: Picked, device: str, precision: str
) -> Callable[[], np.ndarray]:
    """One pass: bytes to features."""
    rows = np.arange(images.shape[0])
    return lambda: extract(embed, images, rows, device=device, batch=TEST_BATCH, precision=precision)


def forms_of(network: Subject, images: Picked, options: argparse.Namespace) -> list[Form]:
    models: dict[str, nn.Module] = {
        layout: place(
            network.model(), torch.device(options.device), override(Execution(), {"memory_format": layout})
        )
        for layout in LAYOUTS
    }
    forms = [
        Form(f"{precision}, {layout}", pass_over(models[layout], images, options.device, precision))
        for precision, layout in product(("fp32", "bf16"), ("contiguous", "channels_last"))
    ]
    problem = compiler_problem(torch.device(options.device)) if options.compile else None
    if problem:
        say(f"nothing can be compiled here ({problem})")
    elif options.compile:
        model = models["channels_last"]
        forms += [
            Form(
                f"{precision}, channels_last, compiled",
                pass_over(torch.compile(model), images, options.device, precision),
            )
            for precision in ("fp32", "bf16")
        ]
    return forms


def measure_network(network: Subject, images: Picked, options: argparse.Namespace) -> list[Measurement]:
    """The forms of one network, against its plain contiguous one in float32."""
    forms = [Form(f"{network.name}, {form.name}", form.run) for form in forms_of(network, images, options)]
    timings = compare(forms, rounds=options.rounds, device=options.device)
    count, adds = images.shape[0], network.complexity().multiply_adds.inference
    extra = {
        timing.name: {
            "images": count,
            "images_per_second": count / timing.seconds,
            "seconds_for_all": timing.mean * TEST_IMAGES / count,
            "giga_multiply_adds_per_second": adds * count / timing.seconds / 1e9,
        }
        for timing in timings
    }
    return measurements_of("inference", timings, extra)


def measure(options: argparse.Namespace) -> list[Measurement]:
    count = options.images or TEST_IMAGES
    if options.device == "cpu" and not options.images:
        count = 32 if options.short else 128
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (min(count, DISTINCT), 3, HEIGHT, WIDTH), dtype=np.uint8)
    images = Picked(pixels, np.arange(count) % len(pixels))
    chosen = [network for network in NETWORKS if not options.model or network.name in options.model]
    return [row for network in chosen for row in measure_network(network, images, options)]


def configure(parser: argparse.ArgumentParser) -> None:
    names = [network.name for network in NETWORKS]
    parser.add_argument("--images", type=int, help=f"default: {TEST_IMAGES}; 128 on a CPU, 32 with --short")
    parser.add_argument("--model", choices=names, action="append", help="default: all")
    parser.add_argument("--compile", action="store_true", help="compiled forms too; needs a C++ compiler")


if __name__ == "__main__":
    sys.exit(main("inference", measure, configure, summary=__doc__))
