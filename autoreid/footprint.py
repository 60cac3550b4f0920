"""Memory of a step, known before it runs: counted on tensors without data, for any number of images.

What torch's kernels take for themselves while they run (cuDNN's workspaces), what CUDA holds for a process,
and the gaps between the blocks of torch's allocator come on top.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoreid import losses
from autoreid.execution import Execution
from autoreid.forms import arranged
from autoreid.models.assembly import build_network, build_supernet
from autoreid.objectives import Objective
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import Optimizer, SearchRecipe, TrainRecipe
from autoreid.tracing import IMAGES, META, AsOnGpu, Curve, Lowered, Tracing, backward
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.registry import find_space
from search_spaces.relaxations import Branches

# Bytes for each pixel of an image that is prepared on a GPU: the image itself, what is read and what is taken
# of it, where it is taken from (int64, twice), and two masks.
PREPARING = 12 + 3 + 3 + 2 * 8 + 2
# A network that guides, and how it was trained.
Guide = tuple[TrainRecipe, Genotype]


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """Bytes that a step holds on its device, for any number of images in its batch.

    Those of `parameters`, `buffers`, `gradients`, `optimizer` and `teacher` are the same for all batches;
    `step` is what a forward and a backward hold beside them, `batch` the images, those that are prepared
    meanwhile among them. `images` is the batch of the recipe.
    """

    parameters: int
    buffers: int
    gradients: int
    optimizer: int
    teacher: int
    batch: Curve
    step: Curve
    images: int

    @property
    def fixed(self) -> int:
        """Bytes that do not depend on the batch."""
        return self.parameters + self.buffers + self.gradients + self.optimizer + self.teacher

    def peak(self, images: int | None = None) -> int:
        """The most bytes that are held at once, with the recipe's batch or one of so many images."""
        count = self.images if images is None else images
        return self.fixed + self.batch.peak(count) + self.step.peak(count)

    @property
    def per_image(self) -> int:
        """Bytes by which one more image in the recipe's batch raises the peak."""
        return self.peak(self.images + 1) - self.peak()


def largest_batch(found: Footprint, memory: int) -> int:
    """The most images in a batch whose step holds at most `memory` bytes; 0 where not even one fits."""
    if found.peak(1) > memory:
        return 0
    fits, more = 1, 2
    while found.peak(more) <= memory:
        fits, more = more, 2 * more
    while more - fits > 1:
        middle = (fits + more) // 2
        fits, more = (middle, more) if found.peak(middle) <= memory else (fits, middle)
    return fits


def search_footprint(
    recipe: SearchRecipe, identities: int, execution: Execution, guide: Guide | None = None
) -> Footprint:
    """What a step of a search holds, with the branches chosen that take most where only some are computed.

    That is the step of the alphas, while the gradients of the weights are still there.
    """
    made: dict[Any, Any] = {}
    with torch.device(META):
        with Tracing(made):  # nothing is initialised
            model = build_supernet(recipe.space, recipe.neck, identities, recipe.macro)
        arranged(model, execution)
        tracer = _Tracer(recipe, recipe.alpha_objective, identities, made, execution)
        chosen = largest_branches(recipe)
        moved: set[Tensor] = set()

        def take(images: Tensor, labels: Tensor, guided: losses.Guidance | None) -> None:
            alphas = _alphas(recipe)
            with tracer.autocast():
                outputs = model(images, _branches(alphas, chosen))
            found = losses.compute(recipe.alpha_objective, outputs, labels, guided)
            moved.update(_leaves(found.total))
            with tracer.autocast() if execution.recompute else contextlib.nullcontext():
                backward(found.total, list(alphas.values()))

        step, batch = tracer.step(take), tracer.batches(2)
        known = _known(model, recipe.optimizer, guide, identities)
        # The weights of branches that are not computed have none.
        gradients = _bytes(moved.intersection(model.parameters()))
    return Footprint(**known, gradients=gradients, batch=batch, step=step, images=recipe.batch.size)


def training_footprint(
    recipe: TrainRecipe | PretrainRecipe,
    genotype: Genotype,
    identities: int,
    execution: Execution,
    guide: Guide | None = None,
) -> Footprint:
    """What a step of a training or of a pretraining holds; `identities` are the classes of the latter.

    Its gradients are a part of the step: those of the step before are there until the backward.
    """
    if isinstance(recipe, PretrainRecipe):
        images, objective = recipe.batch, Objective(triplet=0.0, label_smoothing=recipe.label_smoothing)
    else:
        images, objective = recipe.batch.size, recipe.objective
    made: dict[Any, Any] = {}
    with torch.device(META):
        with Tracing(made):  # nothing is initialised
            model = build_network(genotype, recipe.neck, identities, recipe.macro)
        tracer = _Tracer(recipe, objective, identities, made, execution)

        def take(images: Tensor, labels: Tensor, guided: losses.Guidance | None) -> None:
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)
            with tracer.autocast():
                outputs = model(images)
            found = losses.compute(objective, outputs, labels, guided)
            model.zero_grad(set_to_none=True)
            found.total.backward()

        # A pretraining gets its batches from a loader, which keeps them where they are read.
        step, batch = tracer.step(take), tracer.batches(int(isinstance(recipe, TrainRecipe)))
        known = _known(model, recipe.optimizer, guide, identities)
        model.zero_grad(set_to_none=True)
    return Footprint(**known, gradients=0, batch=batch, step=step, images=images)


def largest_branches(recipe: SearchRecipe) -> dict[str, tuple[int, ...]]:
    """The branches of every place that take most memory, as many as the recipe computes at once."""
    places = find_space(recipe.space).places
    if recipe.relaxation == "softmax" or recipe.k == "all":
        return {place: tuple(range(len(options))) for place, options in places.items()}
    sizes, found = dict(_option_sizes(recipe.space, recipe.macro, recipe.height, recipe.width)), {}
    for place, options in places.items():
        order = sorted(range(len(options)), key=lambda number: -sizes[options[number]])
        found[place] = tuple(sorted(order[: int(recipe.k)]))
    return found


@functools.lru_cache(maxsize=64)
def _option_sizes(space_id: str, macro: Macro, height: int, width: int) -> tuple[tuple[str, int], ...]:
    """What each option of a space takes, traced alone at all places that have it."""
    recipe = SearchRecipe(space=space_id, height=height, width=width)
    made: dict[Any, Any] = {}
    places = find_space(space_id).places
    sizes = []
    with torch.device(META):
        with Tracing(made):
            model = build_supernet(space_id, recipe.neck, 2, macro)
        tracer = _Tracer(recipe, recipe.objective, 2, made, Execution())
        for option in dict.fromkeys(name for options in places.values() for name in options):
            chosen = {
                place: (options.index(option) if option in options else 0,)
                for place, options in places.items()
            }
            step = tracer.step(lambda images, *_: model(images, _branches(_alphas(recipe), chosen)))  # noqa: B023
            sizes.append((option, step.peak(recipe.batch.size)))
    return tuple(sizes)


def can_recompute(recipe: SearchRecipe) -> bool:
    """Whether the supernet of a recipe can compute its cells again in place of keeping them."""
    with torch.device(META), Tracing({}):
        supernet = find_space(recipe.space).supernet(recipe.macro)
    return supernet.has_forms


def largest_genotype(space_id: str, recipe: TrainRecipe | PretrainRecipe) -> Genotype:
    """The architecture of a space that takes most memory: at every place the option that does."""
    space = find_space(space_id)
    searched = SearchRecipe(
        space=space_id, k=1, height=recipe.height, width=recipe.width, channels=recipe.channels
    )
    chosen = largest_branches(
        replace(searched, width_multiplier=recipe.width_multiplier, layers=recipe.layers)
    )
    alphas = {place: torch.zeros(len(options)) for place, options in space.places.items()}
    for place, (number,) in chosen.items():
        alphas[place][number] = 1.0
    return space.derive(alphas)


@dataclass(frozen=True, slots=True, eq=False)
class _Tracer:
    """What the steps of a recipe have in common, on a device without data."""

    recipe: SearchRecipe | TrainRecipe | PretrainRecipe
    objective: Objective
    identities: int
    made: dict[Any, Any]
    execution: Execution

    @property
    def on_gpu(self) -> bool:
        """Whether it is counted for a GPU, as where it is not said."""
        return self.execution.device != "cpu"

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        return Lowered() if self.recipe.precision == "bf16" else contextlib.nullcontext()

    def step(self, take: Callable[[Tensor, Tensor, losses.Guidance | None], object]) -> Curve:
        """What a step holds beside its images, which are there before."""
        shape = (IMAGES, 3, self.recipe.height, self.recipe.width)
        images, labels = torch.empty(shape), torch.empty(IMAGES, dtype=torch.int64)
        guided = None
        if self.objective.distillation:
            guided = losses.Guidance(torch.empty(IMAGES, self.identities), 1.0, 1.0)
        images = images.contiguous(memory_format=torch.channels_last)
        place = AsOnGpu() if self.on_gpu else contextlib.nullcontext()
        with place, torch.enable_grad(), Tracing(self.made) as tracing:
            take(images, labels, guided)
        return tracing.curve()

    def batches(self, streams: int) -> Curve:
        """Images that are there while a step runs, one batch at a time; where the next ones are prepared
        meanwhile, those of each of the streams, and what preparing them takes."""
        prefetched = self.on_gpu and self.execution.prefetch
        size = self.recipe.height * self.recipe.width
        # Normalised pixels, the label; and what a teacher says of them.
        one = 12 * size + 8 + 4 * self.identities * bool(self.objective.distillation)
        preparing = PREPARING * size if prefetched else 0
        return Curve(np.array([[0, one + streams * preparing, 0]]))


def _known(model: nn.Module, optimizer: Optimizer, guide: Guide | None, identities: int) -> dict[str, int]:
    """Bytes of what is there for the whole run."""
    parameters = _bytes(model.parameters())
    copies = 1 if optimizer.name == "sgd" else 3 if optimizer.name == "amsgrad" else 2
    found = {"parameters": parameters, "buffers": _bytes(model.buffers())}
    taught = 0
    if guide is not None:
        recipe, genotype = guide
        with Tracing({}):
            network = build_network(genotype, recipe.neck, identities, recipe.macro)
        taught = _bytes(network.parameters()) + _bytes(network.buffers())
    moved = copies if optimizer.name != "sgd" or optimizer.momentum else 0
    return found | {"optimizer": moved * parameters, "teacher": taught}


def _leaves(total: Tensor) -> Iterator[Tensor]:
    """The tensors that a value's gradient is taken by."""
    ahead, seen = [total.grad_fn], set()
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        ahead += [other for other, _ in node.next_functions]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _alphas(recipe: SearchRecipe) -> dict[str, Tensor]:
    places = find_space(recipe.space).places
    return {place: torch.empty(len(options), requires_grad=True) for place, options in places.items()}


def _branches(alphas: Mapping[str, Tensor], chosen: Mapping[str, tuple[int, ...]]) -> dict[str, Branches]:
    return {
        place: Branches(chosen[place], alpha.softmax(0)[: len(chosen[place])])
        for place, alpha in alphas.items()
    }
