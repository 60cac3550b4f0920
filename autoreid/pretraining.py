"""Pretraining: a network learns to classify, and its backbone's weights are kept for re-ID."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoreid import losses
from autoreid.complexity import measure
from autoreid.data.augment import normalise
from autoreid.data.classes import Classes, Samples, loaded
from autoreid.data.streams import generator
from autoreid.epochs import Position, all_finite
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.forms import compiled, fused, layout, place
from autoreid.models.assembly import build_network, initialise
from autoreid.objectives import Objective
from autoreid.optimisation import (
    autocast,
    build_optimizer,
    learning_rate,
    restore_optimizer,
    set_learning_rate,
    set_up,
    stream,
)
from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.snapshots import to_bytes
from autoreid.values import plain
from autoreid.weights import MODEL_VERSION
from search_spaces.genotype import Genotype


def epoch_batches(
    seed: int, epoch: int, images: int, batch: int, first: int = 0
) -> Iterator[list[tuple[int, int | None]]]:
    """The batches of an epoch from batch `first` on, each image with the seed of its crop: a pure function of
    the arguments.

    An epoch takes the images in random order, each once; what fills no batch is left out.
    """
    order = np.argsort(generator(seed, "batch", epoch).random(images), kind="stable")
    for begin in range(first * batch, images // batch * batch, batch):
        places = range(begin, begin + batch)
        yield [(int(order[place]), stream(seed, f"crop {epoch} {place}")) for place in places]


class PretrainRun:
    """A pretraining that advances epoch by epoch; `state` and `load` carry it over an interruption."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        genotype: Genotype,
        data: Classes,
        *,
        train_seed: int,
        execution: Execution,
    ) -> None:
        self.recipe, self.genotype, self.data, self.execution = recipe, genotype, data, execution
        self.seed, self.classes = train_seed, len(data.names)
        self.remarks: list[str] = []
        if len(data.train.labels) < recipe.batch:
            raise InputError(
                f"batch: {recipe.batch} images, but the training set has {len(data.train.labels)}. Use at "
                "most as many."
            )
        self.complexity = measure(
            genotype,
            recipe.neck,
            identities=self.classes,
            height=recipe.height,
            width=recipe.width,
            macro=recipe.macro,
        )
        self.device = set_up(execution, recipe.precision)
        self.position = Position(recipe.epochs, len(data.train.labels) // recipe.batch)
        self.objective = Objective(triplet=0.0, label_smoothing=recipe.label_smoothing)
        model = build_network(genotype, recipe.neck, self.classes, recipe.macro)
        initialise(model, torch.Generator().manual_seed(stream(train_seed, "weights")))
        self.model = place(model, self.device, execution)
        self.network = compiled(self.model, execution, self.remarks.append)
        self.optimizer = build_optimizer(recipe.optimizer, self.model.parameters(), fused=fused(execution))

    def _rest_of_the_epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        at, images = self.position, len(self.data.train.labels)
        seed = stream(self.seed, "train")
        batches = epoch_batches(seed, at.epoch, images, self.recipe.batch, at.step)
        return self._loaded(Samples(self.data.train, self.recipe), batches)

    def _loaded(
        self, samples: Samples, batches: Iterator[list[tuple[int, int | None]]]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        return loaded(samples, batches, self.execution.workers, pinned=self.device.type == "cuda")

    def _outputs(self, network: Callable[[Tensor], Any], pixels: Tensor) -> Any:
        images = normalise(pixels.to(self.device, non_blocking=True))
        with autocast(self.recipe.precision, self.device):
            return network(images.contiguous(memory_format=layout(self.execution)))

    def _step(self, step: int, given: tuple[Tensor, Tensor]) -> Tensor:
        torch.manual_seed(stream(self.seed, f"step {step}"))
        pixels, labels = given[0], given[1].to(self.device, non_blocking=True)
        outputs = self._outputs(self.network, pixels)
        found = losses.compute(self.objective, outputs, labels)
        self.optimizer.zero_grad(set_to_none=True)
        found.total.backward()
        self.optimizer.step()
        return torch.stack([found.total, losses.correct(outputs, labels)]).detach()

    def _sound(self) -> Tensor:
        return all_finite(self.model.state_dict().values())

    def advance(self) -> dict[str, Any]:
        """The rest of the present epoch; its record."""
        at = self.position
        rate = learning_rate(self.recipe.optimizer, at.epoch, at.epochs)
        set_learning_rate(self.optimizer, rate)
        self.model.train()
        batches = self._rest_of_the_epoch()
        means = at.finish_epoch(lambda step: self._step(step, next(batches)), self._sound)
        seconds = at.next_epoch()
        images = at.steps * self.recipe.batch
        return {
            "epoch": at.epoch,
            "loss": means[0],
            "cross_entropy": means[0],
            "triplet": 0.0,
            "accuracy": means[1] / self.recipe.batch,
            "learning_rate": rate,
            "steps": at.steps,
            "images": images,
            "wall_seconds": seconds,
            "images_per_second": images / seconds,
        }

    def evaluate(self) -> dict[str, Any]:
        """Top-1 and top-5 accuracy of the first classifier on the validation images."""
        self.model.eval()
        count, size = len(self.data.validation.labels), self.execution.evaluation_batch
        batches: Iterator[list[tuple[int, int | None]]] = (
            [(row, None) for row in range(at, min(at + size, count))] for at in range(0, count, size)
        )
        right = torch.zeros(2, dtype=torch.int64, device=self.device)
        samples = Samples(self.data.validation, self.recipe)
        for pixels, labels in self._loaded(samples, batches):
            self.position.pulse()
            with torch.no_grad():
                logits = self._outputs(self.model, pixels)[0].logits
            best = logits.topk(min(5, self.classes), dim=1).indices == labels.to(self.device)[:, None]
            right += torch.stack([best[:, 0].sum(), best.any(1).sum()])
        top_1, top_5 = (right.double() / count).tolist()
        return {"top_1": top_1, "top_5": top_5, "images": count}

    def check(self) -> None:
        """RunError when anything that a checkpoint would hold is not finite."""
        self.position.check(self._sound)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the pretraining depends on."""
        return {
            "position": self.position.state(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.position.load(state["position"], self.device)
        self.model.load_state_dict(state["model"], strict=True)
        restore_optimizer(self.optimizer, state["optimizer"])

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Evaluate; the result, and the file of weights that a training can begin with."""
        begin = time.perf_counter()
        evaluation = self.evaluate()
        result = {
            "evaluation": evaluation,
            "classes": self.classes,
            "complexity": self.complexity.plain(),
            "genotype": self.genotype.plain(),
            "genotype_digest": self.genotype.digest,
            "network": str(self.genotype),
            "train_seconds": self.position.seconds,
            "evaluation_seconds": time.perf_counter() - begin,
        }
        content = {
            "version": MODEL_VERSION,
            "genotype": self.genotype.to_json(),
            "recipe": json.dumps(plain(self.recipe)),
            "identities": self.classes,
            "weights": self.model.state_dict(),
        }
        return result, {"weights.pt": to_bytes(content)}
