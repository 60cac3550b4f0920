"""The training of one network, and its evaluation on query and gallery at the end."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoreid import losses
from autoreid.complexity import measure
from autoreid.epochs import Position, all_finite
from autoreid.errors import InputError
from autoreid.evaluating import evaluate
from autoreid.execution import Execution
from autoreid.feed import Batches, PreparedData
from autoreid.forms import compiled, fused, layout, place
from autoreid.model_files import pack_model
from autoreid.models.assembly import build_network, initialise
from autoreid.optimisation import (
    autocast,
    build_optimizer,
    learning_rate,
    restore_optimizer,
    set_learning_rate,
    set_up,
    stream,
)
from autoreid.recipes import TrainRecipe
from autoreid.teaching import find_teacher, guidance, look_ahead, of_distillation
from autoreid.weights import WeightFile, load_weights, read_backbone
from search_spaces.genotype import Genotype


class TrainRun:
    """A training that advances epoch by epoch; `state` and `load` carry it over an interruption.

    `weights` is the file that the recipe's `weights` name, `teacher` the model file of the network that
    guides it.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        genotype: Genotype,
        data: PreparedData,
        *,
        train_seed: int,
        execution: Execution,
        weights: WeightFile | None = None,
        teacher: WeightFile | None = None,
    ) -> None:
        self.recipe, self.genotype, self.data, self.execution = recipe, genotype, data, execution
        self.seed = train_seed
        self.remarks: list[str] = []
        self.complexity = measure(
            genotype,
            recipe.neck,
            identities=data.identities,
            height=recipe.height,
            width=recipe.width,
            macro=recipe.macro,
        )
        self.device = set_up(execution, recipe.precision)
        self.batches = Batches(
            data,
            np.arange(len(data.train_rows)),
            batch=recipe.batch,
            augmentation=recipe.augmentation,
            seed=stream(train_seed, "train"),
            device=self.device,
            layout=layout(execution),
            prefetch=execution.prefetch,
        )
        self.position = Position(recipe.epochs, max(len(data.train_rows) // recipe.batch.size, 1))
        model = build_network(genotype, recipe.neck, data.identities, recipe.macro)
        initialise(model, torch.Generator().manual_seed(stream(train_seed, "weights")))
        if weights is not None:
            begins = read_backbone(weights, genotype)
            load_weights(model.backbone, begins.weights, weights.place)
            self.remarks += [begins.remark] if begins.remark else []
        elif recipe.weights:
            raise InputError(f"weights: {recipe.weights} is asked for, but no file is given. Give its file.")
        self.model = place(model, self.device, execution)
        self.network = compiled(self.model, execution, self.remarks.append)
        self.optimizer = build_optimizer(recipe.optimizer, self.model.parameters(), fused=fused(execution))
        self.teacher = find_teacher(teacher, recipe, data, self.device, layout(execution))
        self.untrained: dict[str, Any] | None = None

    def _step(self, step: int) -> Tensor:
        torch.manual_seed(stream(self.seed, f"step {step}"))
        images, labels = self.batches.batch(step)
        objective, epoch = self.recipe.objective, self.position.epoch
        guided = guidance(objective, self.teacher, epoch, self.batches, step, images)
        with autocast(self.recipe.precision, self.device):
            outputs = self.network(images)
        found = losses.compute(objective, outputs, labels, guided)
        self.optimizer.zero_grad(set_to_none=True)
        found.total.backward()
        self.optimizer.step()
        return torch.stack([*found, losses.correct(outputs, labels)]).detach()

    def _sound(self) -> Tensor:
        return all_finite(self.model.state_dict().values())

    def advance(self) -> dict[str, Any]:
        """The rest of the present epoch; its record. Before the first, the untrained network is evaluated."""
        at = self.position
        if self.untrained is None:
            self.untrained = self.evaluate()
        rate = learning_rate(self.recipe.optimizer, at.epoch, at.epochs)
        set_learning_rate(self.optimizer, rate)
        look_ahead(self.recipe.objective, self.teacher, at.epoch, self.batches, at.pulse)
        self.model.train()
        means = at.finish_epoch(self._step, self._sound)
        seconds = at.next_epoch()
        images = at.steps * self.recipe.batch.size
        return {
            "epoch": at.epoch,
            "loss": means[0],
            "cross_entropy": means[1],
            "triplet": means[2],
            **of_distillation(self.recipe.objective, at.epoch - 1, means[3]),
            "accuracy": means[4] / self.recipe.batch.size,
            "learning_rate": rate,
            "steps": at.steps,
            "images": images,
            "wall_seconds": seconds,
            "images_per_second": images / seconds,
        }

    def evaluate(self) -> dict[str, Any]:
        """mAP, CMC and mINP of the model as it stands, on query and gallery."""
        return evaluate(
            self.model,
            self.data,
            device=self.device,
            precision=self.recipe.precision,
            execution=self.execution,
            pulse=self.position.pulse,
        ).plain()

    def check(self) -> None:
        """RunError when anything that a checkpoint would hold is not finite."""
        self.position.check(self._sound)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "position": self.position.state(),
            "untrained": json.dumps(self.untrained),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.position.load(state["position"], self.device)
        self.untrained = json.loads(state["untrained"])
        self.model.load_state_dict(state["model"], strict=True)
        restore_optimizer(self.optimizer, state["optimizer"])

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Evaluate; the result, and the model file that goes with it."""
        begin = time.perf_counter()
        evaluation = self.evaluate()
        result = {
            "evaluation": evaluation,
            "untrained": self.untrained,
            "complexity": self.complexity.plain(),
            "genotype": self.genotype.plain(),
            "genotype_digest": self.genotype.digest,
            "network": str(self.genotype),
            "train_seconds": self.position.seconds,
            "evaluation_seconds": time.perf_counter() - begin,
        }
        if self.teacher is not None:
            result["teacher"] = self.teacher.facts(held_out=False)
        order, name = self.data.identity_order, self.data.fingerprint
        return result, {"model.pt": pack_model(self.model, self.recipe, self.genotype, order, name)}
