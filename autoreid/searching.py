"""The differentiable search: weights learn on one part of the training set, alphas on the other.

One training batch moves the weights, one held-out batch moves the alphas, in turn (first order). Source:
CDNet, Algorithm 1; Auto-ReID, Algorithm 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autoreid import health, losses
from autoreid.complexity import measure
from autoreid.epochs import Position, all_finite
from autoreid.execution import Execution
from autoreid.feed import Batches, PreparedData, split_positions
from autoreid.forms import arranged, compiled, fused, layout, place, without_gradients
from autoreid.models.assembly import build_supernet, initialise
from autoreid.optimisation import (
    autocast,
    build_optimizer,
    learning_rate,
    restore_optimizer,
    set_learning_rate,
    set_up,
    stream,
)
from autoreid.recipes import Augmentation, Neck, SearchRecipe
from autoreid.sizes import check_search
from autoreid.snapshots import to_bytes
from autoreid.teaching import find_teacher, guidance, look_ahead, of_distillation
from autoreid.weights import WeightFile
from search_spaces.genotype import Genotype
from search_spaces.registry import find_space
from search_spaces.relaxations import Branches, one_hot, relaxation
from search_spaces.space import initial_alphas, mean_entropy, plain_alphas


class SearchRun:
    """A search that advances epoch by epoch; `state` and `load` carry it over an interruption."""

    def __init__(
        self,
        recipe: SearchRecipe,
        data: PreparedData,
        *,
        split_seed: int,
        search_seed: int,
        execution: Execution,
        teacher: WeightFile | None = None,
    ) -> None:
        check_search(recipe)
        self.recipe, self.data, self.seed, self.execution = recipe, data, search_seed, execution
        self.remarks: list[str] = []
        self.space = find_space(recipe.space)
        self.relax = relaxation(recipe.relaxation, recipe.k)
        self.device = set_up(execution, recipe.precision)
        self._build_batches(split_seed, search_seed)
        self._build_model(search_seed)
        self.teacher = find_teacher(teacher, recipe, data, self.device, layout(execution))
        self.genotype: Genotype | None = None
        self.last_row: dict[str, Any] = {}
        # Eigenvalues and genotypes of the last epochs, as long as early stopping looks back.
        self.past: list[tuple[float | None, str]] = []
        self.stopped = False

    def _build_batches(self, split_seed: int, search_seed: int) -> None:
        recipe, labels = self.recipe, self.data.labels
        train, held_out = split_positions(recipe.split, labels, stream(split_seed, "split"))
        batches = partial(
            Batches, self.data, batch=recipe.batch, device=self.device, layout=layout(self.execution)
        )
        augmented = partial(batches, augmentation=recipe.augmentation, prefetch=self.execution.prefetch)
        self.train = augmented(train, seed=stream(search_seed, "train"))
        self.held_out = augmented(held_out, seed=stream(search_seed, "held-out"))
        # The same images, as they are, after every epoch.
        plain = Augmentation(flip=0, pad=0, erasing=0)
        self.probes = batches(held_out, augmentation=plain, seed=stream(search_seed, "health"))
        self.position = Position(recipe.epochs, max(len(train) // recipe.batch.size, 1))

    def _build_model(self, seed: int) -> None:
        recipe, execution = self.recipe, self.execution
        model = build_supernet(recipe.space, recipe.neck, self.data.identities, recipe.macro)
        initialise(model, torch.Generator().manual_seed(stream(seed, "weights")))
        self.model = place(arranged(model, execution, self.remarks.append), self.device, execution)
        chosen = recipe.relaxation == "top-k" and recipe.k != "all"
        self.network = compiled(self.model, execution, self.remarks.append, changes=chosen)
        generator = torch.Generator().manual_seed(stream(seed, "alphas"))
        alphas = initial_alphas(self.space, recipe.alpha_scale, generator)
        self.alphas = {place: alpha.to(self.device).requires_grad_() for place, alpha in alphas.items()}
        build = partial(build_optimizer, fused=fused(execution))
        self.optimizer = build(recipe.optimizer, self.model.parameters())
        self.alpha_optimizer = build(recipe.alpha_optimizer, self.alphas.values())

    def _weight_step(self, step: int, branches: Mapping[str, Branches]) -> Tensor:
        images, labels = self.train.batch(step)
        objective, epoch = self.recipe.objective, self.position.epoch
        guided = guidance(objective, self.teacher, epoch, self.train, step, images)
        fixed = {place: Branches(found.indices, found.weights.detach()) for place, found in branches.items()}
        with autocast(self.recipe.precision, self.device):
            outputs = self.network(images, fixed)
        found = losses.compute(objective, outputs, labels, guided)
        self.optimizer.zero_grad(set_to_none=True)
        found.total.backward()
        self.optimizer.step()
        return torch.stack([*found, losses.correct(outputs, labels)]).detach()

    def _alpha_step(self, step: int, branches: Mapping[str, Branches]) -> Tensor:
        images, labels = self.held_out.batch(step)
        objective, epoch = self.recipe.alpha_objective, self.position.epoch
        guided = guidance(objective, self.teacher, epoch, self.held_out, step, images)
        with without_gradients(self.network), autocast(self.recipe.precision, self.device):
            outputs = self.network(images, branches)
        found = losses.compute(objective, outputs, labels, guided)
        # Gradients of the alphas only: those of the weights are not wanted here, and not computed.
        gradients = torch.autograd.grad(found.total, list(self.alphas.values()))
        for alpha, gradient in zip(self.alphas.values(), gradients, strict=True):
            alpha.grad = gradient
        self.alpha_optimizer.step()
        return torch.stack([found.total, found.distillation, losses.correct(outputs, labels)]).detach()

    def _step(self, step: int) -> Tensor:
        """Move the weights, then the alphas. Both by the branches of the same alphas, chosen once."""
        torch.manual_seed(stream(self.seed, f"step {step}"))
        branches = self.relax(self.alphas)
        return torch.cat([self._weight_step(step, branches), self._alpha_step(step, branches)])

    def _sound(self) -> Tensor:
        return all_finite([*self.model.state_dict().values(), *self.alphas.values()])

    def advance(self) -> dict[str, Any]:
        """The rest of the present epoch; its record."""
        recipe, at = self.recipe, self.position
        rate = learning_rate(recipe.optimizer, at.epoch, at.epochs)
        alpha_rate = learning_rate(recipe.alpha_optimizer, at.epoch, at.epochs)
        set_learning_rate(self.optimizer, rate)
        set_learning_rate(self.alpha_optimizer, alpha_rate)
        look_ahead(recipe.objective, self.teacher, at.epoch, self.train, at.pulse)
        look_ahead(recipe.alpha_objective, self.teacher, at.epoch, self.held_out, at.pulse)
        self.model.train()
        means = at.finish_epoch(self._step, self._sound)
        # Before the next epoch begins: an interruption while measuring continues here.
        found = self._measure(self.space.derive(self.alphas))
        self.last_row = self._record(means[:5], means[5:], (rate, alpha_rate)) | found
        self._stop_early()
        return self.last_row

    def _measure(self, genotype: Genotype) -> dict[str, Any]:
        """The health of the search after an epoch."""
        begin = time.perf_counter()
        found = health.shares(genotype, self.space.places)
        row: dict[str, Any] = {f"share_{name}": share for name, share in found._asdict().items()}
        with health.evaluating(self.model):
            row |= self._accuracies(genotype) | {"alpha_eigenvalue": self._eigenvalue()}
        return row | {"health_seconds": time.perf_counter() - begin}

    def _accuracies(self, genotype: Genotype) -> dict[str, float | None]:
        """Of the supernet, of the genotype's branches in it, and what lies between them."""
        names = ("supernet_accuracy", "discretised_accuracy", "discretisation_gap")
        objective = self.recipe.objective
        learns = objective.cross_entropy or objective.distillation
        if self.recipe.split.name == "by-identity" or not learns:
            return dict.fromkeys(names)  # the classifier never sees the identities that are held out
        count = health.probe_batches(self.recipe.batch.size, self.position.steps)
        with torch.no_grad():
            branches = [self.relax(self.alphas), one_hot(self.space.places, genotype, self.device)]
        with autocast(self.recipe.precision, self.device):
            supernet, discretised = health.accuracies(
                self.model, map(self.probes.batch, range(count)), branches
            )
        return dict(zip(names, (supernet, discretised, supernet - discretised), strict=True))

    def _eigenvalue(self) -> float | None:
        """The largest eigenvalue of the alphas' Hessian; None where it is not asked for, or not finite."""
        every = 1 if self.recipe.early_stopping == "eigenvalue" else self.execution.eigenvalue_epochs
        if not every or (self.position.epoch + 1) % every:
            return None
        images, labels = self.probes.batch(0)
        objective, epoch = self.recipe.alpha_objective, self.position.epoch
        guided = guidance(objective, self.teacher, epoch, self.probes, 0, images)
        outputs = self.model(images, self.relax(self.alphas))
        total = losses.compute(objective, outputs, labels, guided).total
        found = health.largest_eigenvalue(total, list(self.alphas.values()), self.position.pulse)
        return found if math.isfinite(found) else None

    def _stop_early(self) -> None:
        """Make this epoch the last one where the recipe's rule says so."""
        if self.recipe.early_stopping == "never":
            return
        assert self.genotype is not None
        self.past.append((self.last_row["alpha_eigenvalue"], self.genotype.to_json()))
        self.past = self.past[-2 * health.WINDOW :]
        self.stopped = health.rises([eigenvalue for eigenvalue, _ in self.past])
        if self.stopped:
            self.position.epochs = self.position.epoch

    def _record(
        self, weights: list[float], alphas: list[float], rates: tuple[float, float]
    ) -> dict[str, Any]:
        seconds, before = self.position.next_epoch(), self.genotype
        self.genotype = self.space.derive(self.alphas)
        changes = len(set(self.genotype.choices) - set(before.choices)) if before else 0
        recipe, epoch = self.recipe, self.position.epoch - 1
        images = self.position.steps * recipe.batch.size
        # What the numbers of a place belong to is said once.
        options = {place: list(names) for place, names in self.space.places.items()}
        return {
            "epoch": self.position.epoch,
            "loss": weights[0],
            "cross_entropy": weights[1],
            "triplet": weights[2],
            **of_distillation(recipe.objective, epoch, weights[3]),
            **of_distillation(recipe.alpha_objective, epoch, alphas[1], "alpha_"),
            "accuracy": weights[4] / recipe.batch.size,
            "validation_loss": alphas[0],
            "validation_accuracy": alphas[2] / recipe.batch.size,
            "alpha_entropy": mean_entropy(self.alphas),
            "genotype": str(self.genotype),
            "genotype_changes": changes,
            "learning_rate": rates[0],
            "alpha_learning_rate": rates[1],
            "steps": self.position.steps,
            "images": images,
            "wall_seconds": seconds,
            "images_per_second": images / seconds,
            "alphas": plain_alphas(self.alphas),
            **({"options": options} if epoch == 0 else {}),
        }

    def check(self) -> None:
        """RunError when anything that a checkpoint would hold is not finite."""
        self.position.check(self._sound)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the search depends on."""
        return {
            "position": self.position.state(),
            "row": self.last_row,
            "genotype": self.genotype.to_json() if self.genotype else None,
            "past": [list(pair) for pair in self.past],
            "stopped": self.stopped,
            "model": self.model.state_dict(),
            "alphas": {place: alpha.detach() for place, alpha in self.alphas.items()},
            "optimizer": self.optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.position.load(state["position"], self.device)
        self.last_row = state["row"]
        self.genotype = Genotype.from_json(state["genotype"]) if state["genotype"] else None
        # A checkpoint from before there was early stopping holds neither.
        self.past = [tuple(pair) for pair in state.get("past", [])]
        self.stopped = state.get("stopped", False)
        if self.stopped:
            self.position.epochs = self.position.epoch
        self.model.load_state_dict(state["model"], strict=True)
        with torch.no_grad():
            for place, alpha in self.alphas.items():
                alpha.copy_(state["alphas"][place])
        restore_optimizer(self.optimizer, state["optimizer"])
        restore_optimizer(self.alpha_optimizer, state["alpha_optimizer"])

    def finish(self) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The result, and the files that go with it: the genotype and the supernet."""
        recipe, row, epoch = self.recipe, self.last_row, self.position.epoch
        genotype, back = self.space.derive(self.alphas), health.WINDOW if self.stopped else 0
        if back:
            genotype = Genotype.from_json(self.past[-1 - back][1])
        trained = epoch * self.position.steps * recipe.batch.size
        seconds = self.position.seconds
        counts = measure(
            genotype, Neck(name="blneck"), identities=2, height=recipe.height, width=recipe.width
        )
        result = {
            "genotype": genotype.plain(),
            "genotype_digest": genotype.digest,
            "genotype_epoch": epoch - back,
            "stopped_epoch": epoch if self.stopped else None,
            "collapsed": health.collapsed(genotype, self.space.places),
            "alphas": {place: alpha.tolist() for place, alpha in self.alphas.items()},
            "alpha_entropy": row["alpha_entropy"],
            "validation_loss": row["validation_loss"],
            "validation_accuracy": row["validation_accuracy"],
            "relaxation": recipe.relaxation,
            "k": str(recipe.k) if recipe.relaxation == "top-k" else "all",
            "params_backbone": counts.params.backbone,
            "images_seen": 2 * trained,
            "search_seconds": seconds,
            "milliseconds_per_image": 1000 * seconds / trained,
        }
        if self.teacher is not None:
            result["teacher"] = self.teacher.facts(held_out=True)
        supernet = {"model": self.model.state_dict(), "alphas": self.state()["alphas"]}
        return result, {"genotype.json": genotype.to_json().encode(), "supernet.pt": to_bytes(supernet)}
