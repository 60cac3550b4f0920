"""The time that networks take at inference: networks of several architectures, timed side by side.

What is timed is the network alone, from normalised images on its device to the features of its neck, a batch
at a time: nothing is decoded, and nothing leaves the device. Between two batches the device is waited for.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autoreid.complexity import Complexity, inference_part, measure
from autoreid.epochs import no_pulse
from autoreid.execution import Execution
from autoreid.forms import compiled, layout, place
from autoreid.latency_memory import MemoryCount, counted_peak
from autoreid.latency_recipes import Build, LatencyRecipe
from autoreid.latency_rounds import Spread, interleaved, median_ratio, spread
from autoreid.models.assembly import ReIDModel, build_network, initialise
from autoreid.optimisation import autocast
from autoreid.size_words import described
from search_spaces.genotype import Genotype

# Batches of each network and size that are not counted: kernels are chosen and memory is taken in them.
WARM_UP = 2
# Batches of random images are of one seed, networks without weights of another.
SEED = 0

# Seconds that a call takes, its device waited for.
Stopwatch = Callable[[Callable[[], object]], float]
# Normalised images for networks of a size: float (largest batch, 3, height, width), on the device.
Pixels = Callable[[int, int], Tensor]


@dataclass(frozen=True, slots=True)
class Subject:
    """A network that is timed: its name, its architecture, what builds it, and its weights, if there are any.

    Without weights it is built anew: neither they nor what the images show changes the time.
    """

    name: str
    genotype: Genotype
    build: Build
    trained: ReIDModel | None = None

    def model(self) -> nn.Module:
        """What inference runs of the network, in evaluation mode on the CPU: images -> features."""
        model = self.trained
        if model is None:
            model = build_network(self.genotype, self.build.neck, 1, self.build.macro)
            initialise(model, torch.Generator().manual_seed(SEED))
        return inference_part(model)

    def complexity(self) -> Complexity:
        """Parameters and multiply-adds of the network."""
        build = self.build
        return measure(
            self.genotype,
            build.neck,
            identities=1,
            height=build.height,
            width=build.width,
            macro=build.macro,
        )


@dataclass(frozen=True, slots=True)
class Timed:
    """What one network took with batches of one size.

    `batch_seconds` are of its full batches in all passes, `pass_seconds` of each pass over all images.
    `times_as_fast` as the first network: the median over the passes, taken pass by pass.
    """

    subject: Subject
    batch: int
    images: int
    batch_seconds: Spread
    pass_seconds: tuple[float, ...]
    times_as_fast: float
    memory: MemoryCount
    complexity: Complexity

    def plain(self) -> dict[str, Any]:
        """The figures as JSON values; milliseconds of a batch and, of these, of an image."""
        took, build = self.batch_seconds, self.subject.build
        return {
            "model": self.subject.name,
            "genotype_digest": self.subject.genotype.digest,
            **described(self.subject.genotype, build.neck, build.height, build.width, build.macro),
            "batch": self.batch,
            "batch_milliseconds": 1000 * took.median,
            "batch_milliseconds_iqr": 1000 * took.iqr,
            "image_milliseconds": 1000 * took.median / self.batch,
            "image_milliseconds_iqr": 1000 * took.iqr / self.batch,
            "images_per_second": self.batch / took.median,
            "pass_images": self.images,
            "pass_seconds": statistics.fmean(self.pass_seconds),
            "passes_seconds": list(self.pass_seconds),
            "times_as_fast": self.times_as_fast,
            "parameters": self.complexity.params.inference,
            "multiply_adds": self.complexity.multiply_adds.inference,
            "feature_dim": self.complexity.feature_dim,
            "peak_memory_bytes": self.memory.peak,
            "peak_memory_source": self.memory.source,
        }


class Bench:
    """Networks on their device, ready to be timed with batches of any of the sizes.

    pixels: the images; stopwatch: how long a call takes; pulse: called before each batch, not timed.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        recipe: LatencyRecipe,
        device: torch.device,
        execution: Execution,
        *,
        pixels: Pixels,
        stopwatch: Stopwatch,
        pulse: Callable[[], None] = no_pulse,
        note: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.subjects, self.recipe, self.device = subjects, recipe, device
        self.execution, self.stopwatch, self.pulse = execution, stopwatch, pulse
        self.models = [place(subject.model(), device, execution) for subject in subjects]
        self.calls = [compiled(model, execution, note) for model in self.models]
        sizes = {(subject.build.height, subject.build.width) for subject in subjects}
        form = layout(execution)
        self.pixels = {size: pixels(*size).contiguous(memory_format=form) for size in sorted(sizes)}

    def batches(self, batch: int) -> list[int]:
        """Images of each batch of a pass.

        The last one has those that are left.
        """
        full, rest = divmod(self.recipe.images, batch)
        return [batch] * full + ([rest] if rest else [])

    @contextlib.contextmanager
    def inferring(self) -> Iterator[None]:
        """As batches are run. In bfloat16 each weight is cast once within, and not again for every batch: in
        inference mode autocast would not keep it."""
        lowered = self.recipe.precision == "bf16"
        mode = torch.no_grad() if lowered else torch.inference_mode()
        with mode, autocast(self.recipe.precision, self.device):
            yield

    def seconds(self, place: int, images: int) -> float:
        """One batch of so many images through the network at a place, timed."""
        build, call = self.subjects[place].build, self.calls[place]
        taken = self.pixels[build.height, build.width][:images]
        self.pulse()
        return self.stopwatch(lambda: call(taken))

    def memory(self, place: int, batch: int) -> MemoryCount:
        """The memory of a batch of a network; that of others is not counted."""
        subject, images = self.subjects[place], self.pixels
        if self.device.type != "cuda":
            return counted_peak(subject.genotype, subject.build, self.recipe.precision, batch)
        taken = images[subject.build.height, subject.build.width][:batch]
        own = [*self.models[place].parameters(), *self.models[place].buffers(), taken]
        held = sum(tensor.numel() * tensor.element_size() for tensor in own)
        with self.inferring():
            self.seconds(place, batch)  # kernels are chosen and loaded
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        with self.inferring():
            self.seconds(place, batch)
        return MemoryCount(held + torch.cuda.max_memory_allocated(self.device) - before, "allocator")

    def turn(self, batch: int, place: int) -> list[float]:
        """A pass of one network: the seconds of each batch."""
        return [self.seconds(place, images) for images in self.batches(batch)]

    def run(self) -> list[Timed]:
        """All passes of all networks; sizes of batches in the recipe's order, networks in theirs."""
        pairs = list(itertools.product(self.recipe.batch, range(len(self.subjects))))
        memory = {(batch, place): self.memory(place, batch) for batch, place in pairs}
        counts = [subject.complexity() for subject in self.subjects]
        with self.inferring():
            for batch, place in pairs:
                for images in sorted(set(self.batches(batch))) * WARM_UP:
                    self.seconds(place, images)
            turns = [functools.partial(self.turn, *pair) for pair in pairs]
            seen = dict(zip(pairs, interleaved(turns, self.recipe.passes), strict=True))
        return [
            self._timed(seen, batch, place, memory[batch, place], counts[place]) for batch, place in pairs
        ]

    def _timed(
        self,
        seen: dict[tuple[int, int], list[list[float]]],
        batch: int,
        place: int,
        memory: MemoryCount,
        complexity: Complexity,
    ) -> Timed:
        own, first = ([sum(one) for one in seen[batch, number]] for number in (place, 0))
        full = self.recipe.images // batch
        return Timed(
            self.subjects[place],
            batch,
            self.recipe.images,
            spread([seconds for one in seen[batch, place] for seconds in one[:full]]),
            tuple(own),
            median_ratio(first, own),
            memory,
            complexity,
        )


def random_pixels(images: int, device: torch.device) -> Pixels:
    """Random images, with the mean and the spread of normalised ones."""

    def pixels(height: int, width: int) -> Tensor:
        generator = torch.Generator().manual_seed(SEED)
        return torch.randn((images, 3, height, width), generator=generator).to(device)

    return pixels


def stopwatch_of(device: torch.device) -> Stopwatch:
    """Wall seconds on a CPU. On CUDA those between two events, of which the first finds the device idle."""

    def wall_seconds(call: Callable[[], object]) -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    def event_seconds(call: Callable[[], object]) -> float:
        with torch.cuda.device(device):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(device)
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize(device)
            return begin.elapsed_time(end) / 1000

    return event_seconds if device.type == "cuda" else wall_seconds
