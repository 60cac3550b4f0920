"""What is asked of the time that networks take, and what builds them for it. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from autoreid.pretrain_recipes import PretrainRecipe
from autoreid.recipes import Neck, Precision, TrainRecipe
from autoreid.values import bounded
from search_spaces.macro import Macro

# CDNet, Table 12: queries and gallery of Market-1501, in batches, five times.
TEST_IMAGES, TEST_BATCH, TEST_PASSES = 19_281, 128, 5
NECK = Neck()
# Of a neck only these fields build what inference computes; all others are gone then.
AT_INFERENCE = {
    "bnneck": (),
    "blneck": (),
    "fblneck": ("stripes", "stripe_channels"),
    "fc": ("embedding",),
    "embedding": ("feature",),
}


@dataclass(frozen=True, slots=True)
class Build:
    """What builds the network of a genotype for inference: images in pixels, sizes, and the neck."""

    height: int = bounded(256, 16)
    width: int = bounded(128, 16)
    width_multiplier: float = bounded(1.0, 0.0625)
    channels: int = bounded(64, 1)
    layers: tuple[int, ...] = bounded((2, 2, 2, 2), 1)
    neck: Neck = NECK

    @property
    def macro(self) -> Macro:
        """How large the network is built."""
        return Macro(self.width_multiplier, self.channels, self.layers)

    @classmethod
    def of(cls, recipe: TrainRecipe | PretrainRecipe) -> Build:
        """That of the networks that a recipe trains, without what only training has.

        >>> dropped = Neck(name="bnneck", dropout=0.2, embedding=64)
        >>> Build.of(TrainRecipe(neck=dropped, epochs=3)) == Build(neck=Neck(name="bnneck"))
        True
        """
        return cls(
            recipe.height,
            recipe.width,
            recipe.width_multiplier,
            recipe.channels,
            recipe.layers,
            inference_neck(recipe.neck),
        )


def inference_neck(neck: Neck) -> Neck:
    """The neck with the default in each field that inference does not see: equal work is one job."""
    names = AT_INFERENCE[neck.name]
    if neck.name == "embedding" and neck.feature == "g":
        names = ("feature", "embedding")
    return replace(Neck(name=neck.name), **{name: getattr(neck, name) for name in names})


@dataclass(frozen=True, slots=True)
class LatencyRecipe:
    """How networks are timed: `passes` over so many `images`, in batches of every size of `batch`, in a
    `precision`.

    The defaults are the protocol of CDNet's Table 12. `networks` say what builds each of those that a job
    times, whose architectures are its inputs.
    """

    batch: tuple[int, ...] = bounded((TEST_BATCH,), 1)
    images: int = bounded(TEST_IMAGES, 1)
    passes: int = bounded(TEST_PASSES, 1)
    precision: Precision = "fp32"
    networks: tuple[Build, ...] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows, as (field, message)."""
        if not self.batch:
            yield "batch", "empty. Give at least one number of images."
        for batch in dict.fromkeys(self.batch):
            if self.batch.count(batch) > 1:
                yield "batch", f"{batch} is given twice. Give every size once."
        if self.batch and self.images < max(self.batch):
            yield (
                "images",
                f"{self.images} images are no batch of {max(self.batch)}. Use {max(self.batch)} or more, or "
                "smaller batches.",
            )
