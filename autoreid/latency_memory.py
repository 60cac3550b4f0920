"""Memory that inference takes with a batch, counted where no allocator of a GPU tells it."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import Any, Literal

import torch

from autoreid.complexity import inference_part
from autoreid.latency_recipes import Build
from autoreid.models.assembly import build_network
from autoreid.tracing import IMAGES, META, Curve, Lowered, Tracing
from search_spaces.genotype import Genotype


@dataclass(frozen=True, slots=True)
class MemoryCount:
    """The most bytes that are held at once: parameters, images and what lies between them and the features.

    `source` says who knows: the `allocator` of a GPU, or `counted` from the sizes of all tensors, without
    what kernels take for themselves.
    """

    peak: int
    source: Literal["allocator", "counted"]


def counted_peak(genotype: Genotype, build: Build, precision: str, batch: int) -> MemoryCount:
    """The memory of a batch of so many images, by the sizes of the tensors.

    >>> from search_spaces.published import PUBLISHED
    >>> counted_peak(PUBLISHED["cdnet-top2"], Build(), "fp32", 1)
    MemoryCount(peak=17626352, source='counted')
    """
    held, step = _traced(genotype, build, precision)
    images = 12 * build.height * build.width * batch
    return MemoryCount(held + images + step.peak(batch), "counted")


@functools.lru_cache(maxsize=64)
def _traced(genotype: Genotype, build: Build, precision: str) -> tuple[int, Curve]:
    """Bytes of parameters and buffers, and of what a batch holds beside its images."""
    made: dict[Any, Any] = {}
    with torch.device(META):
        with Tracing(made):  # nothing is initialised
            network = inference_part(build_network(genotype, build.neck, 1, build.macro))
        images = torch.empty((IMAGES, 3, build.height, build.width))
        images = images.contiguous(memory_format=torch.channels_last)
        lowered = Lowered() if precision == "bf16" else contextlib.nullcontext()
        with torch.no_grad(), lowered, Tracing(made) as tracing:
            network(images)
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors), tracing.curve()
