"""A training step of CDNet, of the Auto-ReID network and of BagOfTricks in its forms, side by side.

python benchmarks/training_step.py [--network NAME] [--compile] [--rounds 5] [--threads N] [--short]

A step is that of `autoreid train`: the batch and its augmentation, forward, losses, backward, optimizer. The
images are random pixels. "plain" is float32, contiguous, with torch's plain optimizer, and gives memory back
to the system after every step; the next form has the maps' channels last, a fused optimizer, and keeps its
memory, which is the default; the third computes in bfloat16 as well.
`--compile` adds the second and the third compiled, which takes minutes for each. Rounds alternate between the
forms of a network. The short form measures CDNet alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from random_people import random_people
from side_by_side import Form, Measurement, Promise, compare, main, measurements_of, wait_for

from autoreid.allocation import keep_memory
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.published import AUTO_REID_TRAIN, CDNET_TRAIN
from autoreid.recipes import Batch, Neck, TrainRecipe
from autoreid.training import TrainRun
from search_spaces.published import PUBLISHED

IDENTITIES, GPU_STEPS = 100, 10
PLAIN = Execution(memory_format="contiguous", optimizers="plain", prefetch=False, keep_memory=False)
# Name, precision, how it runs.
FORMS: tuple[tuple[str, Any, Execution], ...] = (
    ("plain", "fp32", PLAIN),
    ("channels last", "fp32", Execution()),
    ("bf16", "bf16", Execution()),
)
COMPILED: tuple[tuple[str, Any, Execution], ...] = (
    ("compiled", "fp32", Execution(compile=True)),
    ("bf16, compiled", "bf16", Execution(compile=True)),
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network and how it is trained; on a CPU with fewer images at once where a step would take long."""

    name: str
    genotype: str
    recipe: TrainRecipe
    identities_on_cpu: int

    def on(self, device: str) -> TrainRecipe:
        many = self.recipe.batch.identities if device != "cpu" else self.identities_on_cpu
        return replace(self.recipe, batch=Batch(many, self.recipe.batch.images))


NETWORKS = (
    Network(
        "cdnet-top2, width 0.25, 128x64",
        "cdnet-top2",
        replace(CDNET_TRAIN, width_multiplier=0.25, height=128, width=64),
        16,
    ),
    Network("cdnet-top2, 256x128", "cdnet-top2", CDNET_TRAIN, 4),
    Network("darts-v2-net, 384x128", "darts-v2-net", AUTO_REID_TRAIN, 2),
    Network("bag-of-tricks, 256x128", "bag-of-tricks", replace(CDNET_TRAIN, neck=Neck(name="bnneck")), 2),
)
SHORT = 2


@dataclass(slots=True)
class Parts:
    """Where a step of a run that is watched spends its seconds: the rest is the batch, the losses and the way
    back. The device is waited for around each part, so that no step is timed while it is watched."""

    forward: float = 0.0
    optimizer: float = 0.0

    def watch(self, run: TrainRun, device: str) -> None:
        run.network = self._timed(run.network, "forward", device)
        run.optimizer.step = self._timed(run.optimizer.step, "optimizer", device)  # type: ignore[method-assign]

    def _timed(self, call: Callable[..., Any], part: str, device: str) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            wait_for(device)
            begin = time.perf_counter()
            result = call(*given)
            wait_for(device)
            setattr(self, part, time.perf_counter() - begin)
            return result

        return timed


def steps_of(
    network: Network, recipe: TrainRecipe, data: PreparedData, execution: Execution
) -> tuple[Callable[[], object], TrainRun]:
    """Each call takes the next step of a training."""
    genotype = PUBLISHED[network.genotype]
    run = TrainRun(recipe, genotype, data, train_seed=0, execution=execution)
    run.model.train()
    for group in run.optimizer.param_groups:
        group["lr"] = 1e-4  # no matter what the pixels say, numbers stay finite
    numbers = iter(range(10**9))

    def step() -> object:
        keep_memory(execution.keep_memory)
        found = run._step(next(numbers))
        for remark in run.remarks:  # it does not run as it was asked to
            raise SystemExit(remark)
        return found

    return step, run


def repeated(step: Callable[[], object], count: int) -> Callable[[], None]:
    """So many steps a call."""

    def steps() -> None:
        for _ in range(count):
            step()

    return steps


def measure_network(network: Network, options: argparse.Namespace) -> list[Measurement]:
    """The forms of one network, against its plain one."""
    base = network.on(options.device)
    data = random_people(base.height, base.width, identities=IDENTITIES, images=base.batch.images)
    # On a GPU the host prepares a step while the one before runs: several are timed together.
    forms, watched, count = [], {}, 1 if options.device == "cpu" else GPU_STEPS
    for name, precision, execution in FORMS + (COMPILED if options.compile else ()):
        placed = replace(execution, device=options.device, threads=options.threads)
        step, run = steps_of(network, replace(base, precision=precision), data, placed)
        forms.append(Form(f"{network.name}, {name}", repeated(step, count)))
        watched[forms[-1].name] = Parts(), run, step
    timings = compare(forms, rounds=options.rounds, device=options.device, steps=count)
    for parts, run, step in watched.values():
        parts.watch(run, options.device)
        step()
    extra = {
        timing.name: {
            "batch": base.batch.size,
            "images_per_second": base.batch.size / timing.seconds,
            "forward_share": watched[timing.name][0].forward / timing.seconds,
            "optimizer_share": watched[timing.name][0].optimizer / timing.seconds,
        }
        for timing in timings
    }
    return measurements_of("training_step", timings, extra)


def measure(options: argparse.Namespace) -> list[Measurement]:
    named = [network for network in NETWORKS if not options.network or network.name in options.network]
    chosen = named[:SHORT] if options.short else named
    torch.manual_seed(0)
    return [row for network in chosen for row in measure_network(network, options)]


def configure(parser: argparse.ArgumentParser) -> None:
    names = [network.name for network in NETWORKS]
    parser.add_argument("--network", choices=names, action="append", help="default: all")
    parser.add_argument("--compile", action="store_true", help="compiled forms too; needs a C++ compiler")


PROMISES = tuple(
    Promise(f"{network.name}, bf16", least=2.5, device="cpu", optional=True) for network in NETWORKS[:SHORT]
)

if __name__ == "__main__":
    sys.exit(main("training_step", measure, configure, promises=PROMISES, summary=__doc__))
