"""Recipes of pretraining by classification. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoreid.recipes import Neck, Optimizer, Precision, Schedule
from autoreid.values import bounded
from search_spaces.macro import Macro, Stem

BLNECK, SGD = Neck(name="blneck"), Optimizer()


@dataclass(frozen=True, slots=True)
class PretrainRecipe:
    """The training of one network as a classifier.

    Every image gives a crop of a random part, `smallest_crop` of its area or more, or, where that is 1, the
    whole image, padded by `pad` pixels and cropped; it is mirrored with the probability `flip`. The networks
    are those of a `TrainRecipe` with the same sizes, so that their weights fit there; but for those with the
    `stem` of CIFAR, which are for classifying alone.
    """

    height: int = bounded(224, 16)
    width: int = bounded(224, 16)
    width_multiplier: float = bounded(1.0, 0.0625)
    channels: int = bounded(64, 1)
    layers: tuple[int, ...] = bounded((2, 2, 2, 2), 1)
    drop_path: float = bounded(0.0, 0, 0.95)
    neck: Neck = BLNECK
    batch: int = bounded(256, 2)
    smallest_crop: float = bounded(0.08, 0.01, 1)
    pad: int = bounded(0, 0)
    flip: float = bounded(0.5, 0, 1)
    label_smoothing: float = bounded(0.0, 0, 1)
    optimizer: Optimizer = SGD
    epochs: int = bounded(240, 1)
    precision: Precision = "fp32"
    stem: Stem = bounded("imagenet", added=True)

    @property
    def macro(self) -> Macro:
        """How large the network is built."""
        return Macro(self.width_multiplier, self.channels, self.layers, self.drop_path, self.stem)


# CDNet, on ImageNet: 224x224, flip and crop, 240 epochs, SGD from 0.1, x0.97 after each epoch. Batch: [np].
CDNET_PRETRAIN = PretrainRecipe(
    optimizer=Optimizer(
        name="sgd",
        learning_rate=0.1,
        momentum=0.9,
        weight_decay=3e-5,
        schedule=Schedule(name="steps", milestones=tuple(range(1, 240)), factor=0.97),
    ),
)
# CIFAR-100 [np]: as the training from scratch, in the images' own size and with a stem for it.
CIFAR100_PRETRAIN = replace(
    CDNET_PRETRAIN,
    height=32,
    width=32,
    neck=Neck(),
    batch=64,
    smallest_crop=1.0,
    pad=4,
    epochs=350,
    stem="cifar",
    optimizer=Optimizer(schedule=Schedule(name="steps", milestones=(150, 225, 300), factor=0.1)),
)

PRETRAIN_RECIPES: dict[str, PretrainRecipe] = {"imagenet": CDNET_PRETRAIN, "cifar100": CIFAR100_PRETRAIN}
