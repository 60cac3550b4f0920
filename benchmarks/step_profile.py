"""Where the time of a step goes, and how far it is from what the machine can do; GPU-hours of whole searches.

python benchmarks/step_profile.py [--step NAME] [--precision P] [--execution FIELD=VALUE] [--operators 6]
    [--rounds 5] [--device D] [--short]

Measures the machine's ceilings: bytes copied and multiply-adds of matrix products per second. Then takes
steps of the published recipes on synthetic images of Market-1501's size and number: a search step in
reid-v1 (weights, then alphas), one in cds-v1 with the top 2 branches, a training step of CDNet. Each
step's bytes and multiply-adds over the ceilings are its floor. Its projected hours are its seconds times
the steps of the whole recipe, without what an epoch does besides steps. On a CPU the short form takes
batches of 8, and hours are scaled to full ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from ceilings import Ceilings, measure_ceilings
from side_by_side import Form, Measurement, Promise, Timing, compare, main, wait_for
from step_counts import PREFIX, Count, Counter
from tables import table
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from autoreid.cli import say
from autoreid.data.index import ImageIndex
from autoreid.data.views import Picked
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.memory import free_memory
from autoreid.published import AUTO_REID_SEARCH, CDNET_SEARCH, CDNET_TRAIN
from autoreid.recipes import Batch, SearchRecipe, TrainRecipe
from autoreid.run_flags import settings
from autoreid.searching import SearchRun
from autoreid.training import TrainRun
from autoreid.values import override
from search_spaces.published import PUBLISHED

CASE = "step_profile"
IMAGES, IDENTITIES = 12_936, 751  # of Market-1501's training set
DISTINCT = 256  # synthetic images, repeated
SMALL = Batch(identities=4, images=2)
# The same operators on so little that what is left is what the host does to call them.
LEAST = {"height": 128, "width": 32, "batch": {"identities": 2, "images": 2}}
THIN: dict[str, dict[str, object]] = {"reid-v1 search": {"channels": 4}}
THINNEST = {"width_multiplier": 0.1}
STEPS: dict[str, SearchRecipe | TrainRecipe] = {
    "reid-v1 search": AUTO_REID_SEARCH,
    "cds-v1 top-2 search": CDNET_SEARCH,
    "cdnet-top2 training": CDNET_TRAIN,
}
# GPU-hours of whole searches, in bfloat16.
PROMISES = (
    Promise("cds-v1 top-2 search, bf16", "projected_hours", most=1.0, device="cuda"),
    Promise("reid-v1 search, bf16", "projected_hours", most=2.0, device="cuda"),
)


def synthetic_data(height: int, width: int) -> PreparedData:
    """Noise in place of Market-1501's training images, as many of as many identities."""
    pixels = np.random.default_rng(0).integers(0, 256, (DISTINCT, 3, height, width), dtype=np.uint8)
    index = ImageIndex(
        root=Path("synthetic"),
        names=tuple(f"{number:06d}.jpg" for number in range(IMAGES)),
        identities=np.arange(IMAGES) % IDENTITIES + 1,
        cameras=np.arange(IMAGES) % 6 + 1,
        splits=np.full(IMAGES, "train"),
    )
    return PreparedData(index, Picked(pixels, np.arange(IMAGES) % DISTINCT), "synthetic")


@dataclass(frozen=True, slots=True)
class Step:
    """A step that can be taken again and again. whole: how many of the recipe's batch a whole run takes.
    remarks: where it does not run as it was asked to."""

    name: str
    take: Callable[[], object]
    images: int
    whole: int
    share: float  # of the recipe's batch
    remarks: list[str]

    def hours(self, seconds: float) -> float:
        """Of a whole run whose steps take so long."""
        return seconds / self.share * self.whole / 3600


def build_step(name: str, precision: str, execution: Execution, *, small: bool) -> Step:
    recipe = override(STEPS[name], {"precision": precision})
    data = synthetic_data(recipe.height, recipe.width)
    full = build_run(recipe, data, execution).position if small else None
    batch = recipe.batch
    if small:
        recipe = replace(recipe, batch=SMALL)
    run = build_run(recipe, data, execution)
    run.model.train()
    position, numbers = full or run.position, count()
    return Step(
        name=f"{name}, {precision}",
        take=lambda: run._step(next(numbers)),
        remarks=run.remarks,
        images=recipe.batch.size,
        whole=position.epochs * position.steps,
        share=recipe.batch.size / batch.size,
    )


def build_run(
    recipe: SearchRecipe | TrainRecipe, data: PreparedData, execution: Execution
) -> SearchRun | TrainRun:
    if isinstance(recipe, SearchRecipe):
        return SearchRun(recipe, data, split_seed=0, search_seed=0, execution=execution)
    return TrainRun(recipe, PUBLISHED["cdnet-top2"], data, train_seed=0, execution=execution)


def of_host(name: str, precision: str, execution: Execution, rounds: int) -> dict[str, float]:
    """Seconds in which the host calls a step's operators: no device makes a whole run shorter than that."""
    thin = THIN.get(name, THINNEST)
    recipe = override(STEPS[name], {**LEAST, **thin, "precision": precision})
    data = synthetic_data(recipe.height, recipe.width)
    whole = build_run(STEPS[name], data, execution).position
    run, numbers = build_run(recipe, data, replace(execution, threads=1)), count()
    run.model.train()
    form = Form(name, lambda: run._step(next(numbers)))
    (timing,) = compare([form], rounds=rounds, device=execution.device, warmup=3)
    seconds = timing.processor_seconds
    return {"host_seconds": seconds, "hours_of_the_host": seconds * whole.epochs * whole.steps / 3600}


def busy_share(take: Callable[[], object], seconds: float, device: str) -> dict[str, float]:
    """The share of a step's seconds in which a GPU runs kernels; of a CPU nothing is said."""
    if not device.startswith("cuda"):
        return {}
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        take()
        wait_for(device)
    kernels = (event for event in profiled.key_averages() if not event.is_user_annotation)
    busy = sum(event.self_device_time_total for event in kernels) / 1e6
    return {"gpu_busy_percent": 100 * busy / seconds}


def by_operator(take: Callable[[], object], device: str) -> tuple[dict[str, Count], dict[str, float]]:
    """What a step's operators move and multiply, and their seconds on the device."""
    cuda = device.startswith("cuda")
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    with profile(activities=activities) as profiled, Counter() as counter:
        take()
        wait_for(device)
    seconds = {
        event.key.removeprefix(PREFIX): (event.device_time_total if cuda else event.cpu_time_total) / 1e6
        for event in profiled.key_averages()
        if event.key.startswith(PREFIX) and event.device_type == DeviceType.CPU  # where it was called
    }
    return dict(counter.counts), seconds


def of_step(
    step: Step, timing: Timing, counts: dict[str, Count], ceilings: Ceilings, precision: str
) -> Measurement:
    """A step beside its floor."""
    moved = sum(one.moved_bytes for one in counts.values())
    adds = sum(one.multiply_adds for one in counts.values())
    floor = ceilings.floor_seconds(moved, adds, precision)
    separately = sum(
        ceilings.floor_seconds(one.moved_bytes, one.multiply_adds, precision) for one in counts.values()
    )
    return Measurement(
        case=CASE,
        name=step.name,
        seconds=timing.seconds,
        processor_seconds=timing.processor_seconds,
        extra={
            "images": step.images,
            "calls": sum(one.calls for one in counts.values()),
            "gigabytes": moved / 1e9,
            "giga_multiply_adds": adds / 1e9,
            "floor_seconds": floor,
            "times_the_floor": timing.seconds / floor,
            "floor_operator_by_operator": separately,
            "projected_hours": step.hours(timing.seconds),
        },
    )


def of_operators(
    step: Step,
    counts: dict[str, Count],
    seconds: dict[str, float],
    ceilings: Ceilings,
    precision: str,
    top: int,
) -> list[Measurement]:
    """The operators that took most, the longest first, each with its floor."""
    whole = sum(seconds.values())
    found = []
    for name in sorted(seconds, key=lambda name: -seconds[name])[:top]:
        one = counts[name]
        floor = ceilings.floor_seconds(one.moved_bytes, one.multiply_adds, precision)
        extra = {
            "percent_of_the_step": 100 * seconds[name] / whole,
            "calls": one.calls,
            "gigabytes": one.moved_bytes / 1e9,
            "giga_multiply_adds": one.multiply_adds / 1e9,
            "floor_seconds": floor,
            **({"times_the_floor": seconds[name] / floor} if floor else {}),
        }
        found.append(Measurement(CASE, f"{step.name}: {name}", seconds[name], extra=extra))
    return found


def execution_of(options: argparse.Namespace) -> Execution:
    """The forms that were asked for, on the device and threads that are measured."""
    chosen = override(Execution(), settings(options.execution, "--execution", "compile=true"), "--execution ")
    return replace(chosen, device=options.device, threads=options.threads)


def profile_step(
    name: str, precision: str, ceilings: Ceilings, options: argparse.Namespace
) -> list[Measurement]:
    execution = execution_of(options)
    small = options.short and options.device == "cpu"
    step = build_step(name, precision, execution, small=small)
    (timing,) = compare([Form(step.name, step.take)], rounds=options.rounds, device=options.device)
    for remark in step.remarks:
        say(f"{step.name}: {remark}")
    # What a compiled network does inside cannot be seen: it is counted as it is written.
    seen = step
    if execution.compile:
        seen = build_step(name, precision, replace(execution, compile=False), small=small)
        seen.take()
    counts, seconds = by_operator(seen.take, options.device)
    row = of_step(step, timing, counts, ceilings, precision)
    busy = busy_share(step.take, timing.seconds, options.device)
    host = of_host(name, precision, execution, options.rounds)
    rows = [replace(row, extra={**row.extra, **host, **busy})]
    return rows + of_operators(step, counts, seconds, ceilings, precision, options.operators)


def of_ceilings(ceilings: Ceilings) -> Measurement:
    extra = {"copied_gigabytes_per_second": ceilings.bytes_per_second / 1e9}
    for name, found in ceilings.multiply_adds_per_second.items():
        extra[f"{name}_giga_multiply_adds_per_second"] = found / 1e9
    threads = "thread" if ceilings.threads == 1 else "threads"
    place = f"{ceilings.threads} {threads}" if ceilings.device == "cpu" else "GPU"
    return Measurement(CASE, f"ceilings, {place}", extra=extra)


def measure(options: argparse.Namespace) -> list[Measurement]:
    cuda = options.device.startswith("cuda")
    threads = [options.threads] if cuda else sorted({1, options.threads})
    ceilings = [measure_ceilings(options.device, one) for one in threads]
    precisions = options.precision or (["fp32", "bf16"] if cuda or not options.short else ["fp32"])
    rows = [of_ceilings(one) for one in ceilings]
    for name in options.step or STEPS:
        for precision in precisions:
            rows += profile_step(name, precision, ceilings[-1], options)
            free_memory()
    return rows


def show(measurements: Sequence[Measurement]) -> str:
    """Three tables: ceilings, steps, operators."""
    kinds = ("copied_gigabytes_per_second", "times_the_floor", "percent_of_the_step")
    groups = [[one for one in measurements if kind in one.extra] for kind in kinds]
    groups[1] = [one for one in groups[1] if one not in groups[2]]
    return "\n\n".join(table(group) for group in groups)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--step", choices=STEPS, action="append", help="default: all")
    parser.add_argument("--precision", choices=("fp32", "bf16"), action="append", help="default: both")
    parser.add_argument("--execution", action="append", default=[], metavar="FIELD=VALUE", help="repeatable")
    parser.add_argument("--operators", type=int, default=6, help="how many are listed for each step")


if __name__ == "__main__":
    sys.exit(main(CASE, measure, configure, promises=PROMISES, summary=__doc__, show=show))
