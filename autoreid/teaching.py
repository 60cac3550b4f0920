"""Teachers: trained networks that guide others (KDAS-ReID, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoreid.data.augment import normalise
from autoreid.errors import InputError
from autoreid.feed import Batches, PreparedData
from autoreid.losses import Guidance
from autoreid.model_files import unpack_model
from autoreid.objectives import Objective
from autoreid.optimisation import autocast
from autoreid.weights import WeightFile, read_model


class Teacher:
    """A trained network, frozen and in eval mode, that says what it sees in the images of a batch.

    `file` is the model file of a training on the same data. InputError where it is of other data, or knows
    not all identities of the training set: their order in its classifier is that of the file. Where nothing
    is augmented, each image is looked at once.
    """

    def __init__(
        self, file: WeightFile, data: PreparedData, *, device: torch.device, precision: str, batch: int
    ) -> None:
        columns = _columns(file, data)
        network, _, self.genotype = unpack_model(file.content, file.place)
        network.requires_grad_(requires_grad=False)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.columns = torch.from_numpy(columns).to(device)
        self.device, self.precision, self.batch = device, precision, batch
        self._seen: dict[Batches, Tensor] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """What a result says of its teacher. It was trained on the whole training set, the images that a
        search holds out among them."""
        return {"network": str(self.genotype), "saw_held_out_images": True}

    def logits(self, images: Tensor) -> Tensor:
        """What the teacher's first classifier says of normalised images: (batch, identities), float32, in the
        order of the training set's identities."""
        with torch.no_grad(), autocast(self.precision, self.device):
            found: Tensor = self.network(images)[0].logits
        return found.float()[:, self.columns]

    def of_batch(self, batches: Batches, step: int, images: Tensor) -> Tensor:
        """The logits for the images that `batches.batch(step)` gave."""
        wanted = batches.augmentation
        if wanted.flip or wanted.pad or wanted.erasing:
            return self.logits(images)
        if batches not in self._seen:
            self._seen[batches] = self._of_all(batches)
        return self._seen[batches][torch.from_numpy(batches.chosen(step)).to(self.device)]

    def _of_all(self, batches: Batches) -> Tensor:
        found = []
        for begin in range(0, len(batches.rows), self.batch):
            pixels = torch.from_numpy(batches.images[batches.rows[begin : begin + self.batch]])
            images = normalise(pixels.to(self.device)).contiguous(memory_format=torch.channels_last)
            found.append(self.logits(images))
        return torch.cat(found)


def _columns(file: WeightFile, data: PreparedData) -> np.ndarray:
    """Where the training set's identities stand in the teacher's classifier."""
    content = read_model(file.content, file.place)
    order, of = content.get("order"), content.get("data")
    if order is None or of is None:
        raise InputError(f"{file.place}: does not say whom it knows: no file of a training. Train it again.")
    if of != data.fingerprint:
        raise InputError(
            f"{file.place}: the teacher was trained on other data ({of[:12]}, {len(order)} identities) than "
            f"this ({data.fingerprint[:12]}, {data.identities} identities). Train a teacher on these images."
        )
    places = {identity: place for place, identity in enumerate(order)}
    unknown = [identity for identity in data.identity_order if identity not in places]
    if unknown:
        named = ", ".join(map(str, unknown[:10]))
        raise InputError(
            f"{file.place}: the teacher does not know {len(unknown)} of {data.identities} identities "
            f"({named}). Train it on all of them."
        )
    return np.array([places[identity] for identity in data.identity_order], dtype=np.int64)


def find_teacher(
    file: WeightFile | None,
    objectives: tuple[Objective, ...],
    data: PreparedData,
    *,
    device: torch.device,
    precision: str,
    batch: int,
) -> Teacher | None:
    """The teacher that these objectives need, if one of them distils; InputError where it is not given, or is
    given in vain."""
    distils = any(objective.distillation for objective in objectives)
    if distils and file is None:
        raise InputError(
            "objective.distillation: needs a teacher. Give its model: --teacher FILE (in a campaign, "
            "teacher: NAME), or set it to 0."
        )
    if file is None:
        return None
    if not distils:
        raise InputError("teacher: nothing is distilled. Set objective.distillation, or leave it out.")
    return Teacher(file, data, device=device, precision=precision, batch=batch)


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
