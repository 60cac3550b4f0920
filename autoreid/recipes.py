"""Recipes: everything that changes a result, with the papers' values as literals. Free of torch.

A recipe is hashed into the id of the work it describes; how it is run (autoreid.execution) must not change
a result, and is not. Values marked [np] in docs/fidelity.md are not printed in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from autoreid.errors import InputError
from autoreid.objectives import IDENTITY_AND_TRIPLET, Objective
from autoreid.values import bounded
from search_spaces.macro import Macro

Precision = Literal["fp32", "tf32", "bf16"]
# A backbone's middle map, of which stripes are taken, has at most a quarter of the rows behind its stem,
# rounded up.
MIDDLE = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """A class-balanced batch: P identities, K images of each."""

    identities: int = bounded(16, 2)
    images: int = bounded(4, 2)

    @property
    def size(self) -> int:
        return self.identities * self.images


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Per-image random flip, pad-and-crop (pixels) and random erasing; probabilities in [0, 1]."""

    flip: float = bounded(0.5, 0, 1)
    pad: int = bounded(10, 0)
    erasing: float = bounded(0.5, 0, 1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over epochs: constant, cosine down to `end`, or times `factor` at each milestone."""

    name: Literal["constant", "cosine", "steps"] = "constant"
    end: float = bounded(0.0, 0)
    milestones: tuple[int, ...] = bounded((), 1)
    factor: float = bounded(0.1, 0, 1)


@dataclass(frozen=True, slots=True)
class Optimizer:
    """SGD with momentum, or Adam (`momentum` is its beta1)."""

    name: Literal["sgd", "adam", "amsgrad"] = "sgd"
    learning_rate: float = bounded(0.065, 0, 1000)
    momentum: float = bounded(0.9, 0, 0.9999)
    beta2: float = bounded(0.999, 0, 0.999999)
    weight_decay: float = bounded(5e-4, 0)
    schedule: Schedule = Schedule()


@dataclass(frozen=True, slots=True)
class Split:
    """How the training set is divided for a search: by image at random (`fraction` held out), a few images
    of every identity (`held_out`, at most half of them), or by identity (`fraction` of them held out)."""

    name: Literal["per-identity", "by-image", "by-identity"] = "per-identity"
    held_out: int = bounded(4, 1)
    fraction: float = bounded(0.5, 0.01, 0.99)


@dataclass(frozen=True, slots=True)
class Neck:
    """What stands between the backbone and the losses: BNNeck, BLNeck or FBLNeck (CDNet, section 3.3), or
    Auto-ReID's embedding head with its dropouts. FBLNeck with 0 stripes is BLNeck (CDNet, Table 5). `feature`
    is what the embedding head gives for ranking: the pooled map f, or the embedding g. `fc` is OSNet's layer,
    on which both losses act."""

    name: Literal["bnneck", "blneck", "fblneck", "embedding", "fc"] = "fblneck"
    embedding: int = bounded(512, 1)
    stripes: int = bounded(2, 0)
    stripe_channels: int = bounded(128, 1)
    dropout: float = bounded(0.5, 0, 0.95, added=True)
    feature: Literal["f", "g"] = bounded("f", added=True)


@dataclass(frozen=True, slots=True)
class SearchRecipe:
    """A differentiable search. Weights learn on one part of the training set, alphas on the other.

    With `early_stopping: eigenvalue` it ends by the rule of RobustDARTS (`autoreid.health.rises`).
    """

    space: str = "cds-v1"
    height: int = bounded(256, 16)
    width: int = bounded(128, 16)
    width_multiplier: float = bounded(1.0, 0.0625)
    neck: Neck = Neck(name="blneck")
    relaxation: Literal["top-k", "softmax"] = "top-k"
    k: int | Literal["all"] = bounded(2, 1)
    split: Split = Split()
    batch: Batch = Batch()
    augmentation: Augmentation = Augmentation()
    objective: Objective = IDENTITY_AND_TRIPLET
    alpha_objective: Objective = IDENTITY_AND_TRIPLET
    optimizer: Optimizer = Optimizer()
    alpha_optimizer: Optimizer = Optimizer()
    alpha_scale: float = bounded(1e-3, 0)
    epochs: int = bounded(240, 1)
    precision: Precision = "fp32"
    channels: int = bounded(32, 1, added=True)
    layers: tuple[int, ...] = bounded((2, 2, 2, 2), 1, added=True)
    early_stopping: Literal["never", "eigenvalue"] = bounded("never", added=True)

    @property
    def macro(self) -> Macro:
        """How large the supernet is built."""
        return Macro(self.width_multiplier, self.channels, self.layers)


@dataclass(frozen=True, slots=True)
class TrainRecipe:
    """The training of one network, and its evaluation on the test set at the end.

    `weights` is what its backbone begins with: "" from scratch, "imagenet", or a file's (autoreid.weights).
    """

    height: int = bounded(256, 16)
    width: int = bounded(128, 16)
    width_multiplier: float = bounded(1.0, 0.0625)
    neck: Neck = Neck()
    batch: Batch = Batch()
    augmentation: Augmentation = Augmentation()
    objective: Objective = IDENTITY_AND_TRIPLET
    optimizer: Optimizer = Optimizer()
    epochs: int = bounded(350, 1)
    precision: Precision = "fp32"
    channels: int = bounded(64, 1, added=True)
    layers: tuple[int, ...] = bounded((2, 2, 2, 2), 1, added=True)
    drop_path: float = bounded(0.0, 0, 0.95, added=True)
    weights: str = bounded("", added=True)

    @property
    def macro(self) -> Macro:
        """How large the network is built."""
        return Macro(self.width_multiplier, self.channels, self.layers, self.drop_path)


@dataclass(frozen=True, slots=True)
class SelectRecipe:
    """How the best of several searches is chosen, never on the test set.

    `supernet`: by the mAP of each genotype in its own supernet, among the images that its search held out.
    `retrain`: by the mAP of a short training, `train`, without `fraction` of the training identities, among
    the images of these.
    """

    rule: Literal["supernet", "retrain"] = "supernet"
    fraction: float = bounded(0.1, 0.01, 0.9)
    train: TrainRecipe = TrainRecipe()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search sees of the images: its epochs, each as long as its half for the weights, twice over: a
    batch for the weights and one for the alphas. The fields are those of the search's recipe."""

    epochs: int = bounded(240, 1)
    batch: Batch = Batch()
    split: Split = Split()

    @classmethod
    def of(cls, search: SearchRecipe) -> Budget:
        """The budget of a search."""
        return cls(search.epochs, search.batch, search.split)

    def images(self, trained: int) -> int:
        """Images that the search sees, both halves, where its half for the weights has `trained` images."""
        return 2 * self.epochs * max(trained // self.batch.size, 1) * self.batch.size


@dataclass(frozen=True, slots=True)
class RandomSearchRecipe:
    """Random search at the budget of a search: `samples` different architectures, drawn uniformly from a
    space, are trained for a short while, and the best is chosen.

    The budget, in images seen, is divided evenly among them; each takes its part in `train.epochs` epochs of
    equal length. They are trained without `fraction` of the training identities, and compared by the mAP
    among the images of these.
    """

    space: str = "cds-v1"
    samples: int = bounded(8, 2, 10_000)
    fraction: float = bounded(0.1, 0.01, 0.9)
    budget: Budget = Budget()
    train: TrainRecipe = TrainRecipe()

    def steps(self, trained: int) -> int:
        """Batches of one epoch of one sample; InputError where the budget does not give each of them one.

        `trained` is the number of images that the search has for its weights.
        """
        images, batch = self.budget.images(trained), self.train.batch.size
        steps = images // (self.samples * self.train.epochs * batch)
        if steps:
            return steps
        most = images // (self.train.epochs * batch)
        fewer = f"Use at most {most} samples, or search" if most >= 2 else "Search"
        raise InputError(
            f"samples: {self.samples} samples, but the search sees {images} images: less than one batch of "
            f"{batch} in each of the {self.train.epochs} epochs of a sample. {fewer} for longer."
        )


AnyRecipe = SearchRecipe | SelectRecipe | RandomSearchRecipe | TrainRecipe


def recipe_problems(recipe: object) -> Iterator[tuple[str, str]]:
    """Mistakes that no single field shows, as (field, message)."""
    if isinstance(recipe, SelectRecipe):
        yield from _select_problems(recipe)
        return
    if isinstance(recipe, RandomSearchRecipe):
        yield from _short_training_problems(recipe.train)
        return
    yield from _neck_problems(recipe)
    for name in ("objective", "alpha_objective"):
        objective = getattr(recipe, name, None)
        if isinstance(objective, Objective):
            epochs: int = recipe.epochs  # type: ignore[attr-defined]
            yield from ((f"{name}{field}", message) for field, message in objective.problems(epochs))
    if not isinstance(recipe, SearchRecipe):
        return
    if recipe.relaxation == "softmax" and recipe.k not in (SearchRecipe().k, "all"):
        yield "k", f"{recipe.k} branches, but softmax weighs all of them. Leave k out, or use top-k."
    alphas = recipe.alpha_objective
    if recipe.early_stopping == "eigenvalue" and alphas.distillation and alphas.temperature.falls:
        yield (
            "early_stopping",
            "eigenvalue, but the loss of the alphas changes as its temperature falls, and so do eigenvalues. "
            "Use never, or alpha_objective.temperature.name: constant.",
        )
    for name in ("cross_entropy", "distillation"):
        if recipe.split.name == "by-identity" and getattr(alphas, name):
            yield (
                f"alpha_objective.{name}",
                "the classifier never sees the identities that 'split.name: by-identity' holds out. Use 0.",
            )


def _neck_problems(recipe: object) -> Iterator[tuple[str, str]]:
    neck, height = getattr(recipe, "neck", None), getattr(recipe, "height", 0)
    macro: Macro | None = getattr(recipe, "macro", None)
    reduction = MIDDLE * macro.reduction if macro else 1
    rows = -(-height // reduction)
    if isinstance(neck, Neck) and neck.name == "fblneck" and neck.stripes > rows:
        yield (
            "neck.stripes",
            f"{neck.stripes} stripes of a map of at most {rows} rows. Use at most {rows}, or images of "
            f"{reduction * neck.stripes} rows.",
        )


def _short_training_problems(recipe: TrainRecipe) -> Iterator[tuple[str, str]]:
    yield from ((f"train.{name}", message) for name, message in recipe_problems(recipe))
    if recipe.weights:
        yield "train.weights", "weights are of one network, and several are compared. Leave it out."


def _select_problems(recipe: SelectRecipe) -> Iterator[tuple[str, str]]:
    if recipe.rule == "retrain":
        yield from _short_training_problems(recipe.train)
        return
    for name in ("fraction", "train"):
        if getattr(recipe, name) != getattr(SelectRecipe(), name):
            yield name, "nothing is trained by the rule 'supernet'. Leave it out, or use the rule 'retrain'."
