"""Teachers: trained networks that guide others (KDAS-ReID, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoreid.data.augment import normalise
from autoreid.distilling import check_teacher
from autoreid.errors import InputError
from autoreid.feed import Batches, PreparedData, sent
from autoreid.losses import Guidance
from autoreid.model_files import unpack_model
from autoreid.objectives import Objective
from autoreid.optimisation import autocast
from autoreid.recipes import SearchRecipe, TrainRecipe
from autoreid.weights import WeightFile, read_model

# So many images at once are looked at ahead. Roundings depend on it, so that it is no setting of a machine.
AT_ONCE = 128


class Teacher:
    """A trained network, frozen and in eval mode, that says what it sees in the images of a batch.

    `file` is the model file of a training on the same data. InputError where it is of other data, or knows
    not all identities of the training set: their order in its classifier is that of the file.
    """

    def __init__(
        self,
        file: WeightFile,
        data: PreparedData,
        *,
        device: torch.device,
        precision: str,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        columns = columns_of(file, data.fingerprint, data.identity_order)
        network, self.recipe, self.genotype = unpack_model(file.content, file.place)
        network.requires_grad_(requires_grad=False)
        self.network = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        self.columns = torch.from_numpy(columns).to(device)
        self.device, self.precision, self.layout = device, precision, layout
        self.shown = data.images.shape[2:]
        self._seen: dict[Batches, Tensor] = {}

    def facts(self, *, held_out: bool) -> dict[str, Any]:
        """What a result says of its teacher: its network and the size of the images that it learned from. It
        was trained on the whole training set: on the images, too, that were `held_out`, where some were."""
        facts = {"network": str(self.genotype), "height": self.recipe.height, "width": self.recipe.width}
        return facts | ({"saw_held_out_images": True} if held_out else {})

    @property
    def remark(self) -> str | None:
        """What a log says of it, where its images are of another size than its student's."""
        learned = (self.recipe.height, self.recipe.width)
        if learned == tuple(self.shown):
            return None
        (height, width), (shown_height, shown_width) = learned, self.shown
        return (
            f"the teacher learned from images of {height} x {width}, and is shown those of its student, of "
            f"{shown_height} x {shown_width}: it knows them less well"
        )

    def logits(self, images: Tensor) -> Tensor:
        """What the teacher's first classifier says of normalised images: (batch, identities), float32, in the
        order of the training set's identities."""
        with torch.no_grad(), autocast(self.precision, self.device):
            found: Tensor = self.network(images)[0].logits
        return found.float()[:, self.columns]

    def look_ahead(self, batches: Batches, pulse: Callable[[], None]) -> None:
        """Look at each image of these batches once, where nothing is augmented; `pulse` is called between."""
        wanted = batches.augmentation
        if wanted.flip or wanted.pad or wanted.erasing or batches in self._seen:
            return
        found = []
        for begin in range(0, len(batches.rows), AT_ONCE):
            pulse()
            pixels = torch.from_numpy(batches.images[batches.rows[begin : begin + AT_ONCE]])
            images = normalise(sent(pixels, self.device)).contiguous(memory_format=self.layout)
            found.append(self.logits(images))
        self._seen[batches] = torch.cat(found)

    def of_batch(self, batches: Batches, step: int, images: Tensor) -> Tensor:
        """The logits for the images that `batches.batch(step)` gave."""
        seen = self._seen.get(batches)
        if seen is None:
            return self.logits(images)
        return seen[sent(torch.from_numpy(batches.chosen(step)), self.device)]


def columns_of(file: WeightFile, fingerprint: str, wanted: Sequence[int]) -> np.ndarray:
    """Where the `wanted` identities, of the data of this fingerprint, stand in a model file's classifier;
    InputError where it was trained on other data, or does not know all of them."""
    content = read_model(file.content, file.place)
    order, of = content.get("order"), content.get("data")
    if order is None or of is None:
        raise InputError(f"{file.place}: does not say whom it knows. Give the model.pt of a training.")
    if of != fingerprint:
        raise InputError(
            f"{file.place}: the teacher was trained on other data ({of[:12]}, {len(order)} identities) than "
            f"this ({fingerprint[:12]}, {len(wanted)} identities). Train a teacher on these images."
        )
    places = {identity: place for place, identity in enumerate(order)}
    unknown = [identity for identity in wanted if identity not in places]
    if unknown:
        named = ", ".join(map(str, unknown[:10]))
        raise InputError(
            f"{file.place}: the teacher does not know {len(unknown)} of {len(wanted)} identities "
            f"({named}). Train it on all of them."
        )
    return np.array([places[identity] for identity in wanted], dtype=np.int64)


def find_teacher(
    file: WeightFile | None,
    recipe: SearchRecipe | TrainRecipe,
    data: PreparedData,
    device: torch.device,
    layout: torch.memory_format,
) -> Teacher | None:
    """The teacher of a recipe, if it distils; InputError where it is not given, or is given in vain."""
    check_teacher(recipe, file)
    if file is None:
        return None
    return Teacher(file, data, device=device, precision=recipe.precision, layout=layout)


def look_ahead(
    objective: Objective, teacher: Teacher | None, epoch: int, batches: Batches, pulse: Callable[[], None]
) -> None:
    """Ask a teacher what it can be asked before the steps of an epoch, counted from 0: within a step nothing
    can be interrupted."""
    if teacher is not None and objective.distillation and objective.temperature.at(epoch):
        teacher.look_ahead(batches, pulse)


def guidance(
    objective: Objective, teacher: Teacher | None, epoch: int, batches: Batches, step: int, images: Tensor
) -> Guidance | None:
    """What a step of an epoch, counted from 0, is guided by; None where its objective does not distil."""
    if not objective.distillation:
        return None
    assert teacher is not None
    temperature = objective.temperature
    now = temperature.at(epoch)
    logits = teacher.of_batch(batches, step, images) if now else None
    return Guidance(logits, now, temperature.scale(epoch))


def of_distillation(objective: Objective, epoch: int, mean: float, prefix: str = "") -> dict[str, float]:
    """What the record of an epoch, counted from 0, says of a distillation; nothing where there is none.
    `prefix` goes in front of the names."""
    if not objective.distillation:
        return {}
    return {f"{prefix}distillation": mean, f"{prefix}temperature": objective.temperature.at(epoch)}
