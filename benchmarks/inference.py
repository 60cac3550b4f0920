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
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from side_by_side import Form, Measurement, compare, main, measurements_of
from torch import Tensor

from autoreid.cli import say
from autoreid.complexity import measure as complexity_of
from autoreid.data.views import Picked
from autoreid.evaluation.features import extract
from autoreid.execution import Execution
from autoreid.forms import LAYOUTS, compiler_problem, place
from autoreid.models.assembly import ReIDModel, build_network, initialise
from autoreid.published import AUTO_REID_TRAIN
from autoreid.recipes import Neck
from autoreid.values import override
from search_spaces.macro import MACRO, Macro
from search_spaces.published import PUBLISHED

TEST_IMAGES, BATCH, HEIGHT, WIDTH, IDENTITIES = 19_281, 128, 256, 128, 751
DISTINCT = 512  # synthetic images, repeated


@dataclass(frozen=True, slots=True)
class Network:
    """A published network and the neck that it is trained with."""

    genotype: str
    neck: Neck
    macro: Macro = MACRO

    def build(self) -> ReIDModel:
        model = build_network(PUBLISHED[self.genotype], self.neck, IDENTITIES, self.macro)
        initialise(model, torch.Generator().manual_seed(0))
        return model.eval()

    def multiply_adds(self) -> int:
        found = complexity_of(
            PUBLISHED[self.genotype],
            self.neck,
            identities=IDENTITIES,
            height=HEIGHT,
            width=WIDTH,
            macro=self.macro,
        )
        return found.multiply_adds.inference


NETWORKS = (
    Network("cdnet-top2", Neck(name="fblneck")),
    Network("bag-of-tricks", Neck(name="bnneck")),
    Network("gdas-v1-net", AUTO_REID_TRAIN.neck, AUTO_REID_TRAIN.macro),
)


def pass_over(
    embed: Callable[[Tensor], Tensor], images: Picked, device: str, precision: str
) -> Callable[[], np.ndarray]:
    """One pass: bytes to features."""
    rows = np.arange(images.shape[0])
    return lambda: extract(embed, images, rows, device=device, batch=BATCH, precision=precision)


def forms_of(network: Network, images: Picked, options: argparse.Namespace) -> list[Form]:
    models = {
        layout: place(
            network.build(), torch.device(options.device), override(Execution(), {"memory_format": layout})
        )
        for layout in LAYOUTS
    }
    forms = [
        Form(f"{precision}, {layout}", pass_over(models[layout].embed, images, options.device, precision))
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
                pass_over(torch.compile(model.embed), images, options.device, precision),
            )
            for precision in ("fp32", "bf16")
        ]
    return forms


def measure_network(network: Network, images: Picked, options: argparse.Namespace) -> list[Measurement]:
    """The forms of one network, against its plain contiguous one in float32."""
    forms = [
        Form(f"{network.genotype}, {form.name}", form.run) for form in forms_of(network, images, options)
    ]
    timings = compare(forms, rounds=options.rounds, device=options.device)
    count, adds = images.shape[0], network.multiply_adds()
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
    chosen = [network for network in NETWORKS if not options.model or network.genotype in options.model]
    return [row for network in chosen for row in measure_network(network, images, options)]


def configure(parser: argparse.ArgumentParser) -> None:
    names = [network.genotype for network in NETWORKS]
    parser.add_argument("--images", type=int, help=f"default: {TEST_IMAGES}; 128 on a CPU, 32 with --short")
    parser.add_argument("--model", choices=names, action="append", help="default: all")
    parser.add_argument("--compile", action="store_true", help="compiled forms too; needs a C++ compiler")


if __name__ == "__main__":
    sys.exit(main("inference", measure, configure, summary=__doc__))
