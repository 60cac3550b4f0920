"""`autoreid.load`: a network that is ready to use, from one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from autoreid.data.arrays import resized
from autoreid.data.images import as_rgb, read_image, reason
from autoreid.errors import InputError
from autoreid.evaluation.features import extract
from autoreid.execution import Execution
from autoreid.forms import place
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.models.assembly import ReIDModel
from autoreid.optimisation import choose_device
from autoreid.portable import Facts, Preprocessing
from autoreid.portable_card import draw_card, network_name
from autoreid.portable_packing import opened
from autoreid.size_words import neck_text, sizes_of, sizes_text
from search_spaces.genotype import Genotype

AnImage = Image.Image | Path | str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoadedModel:
    """A trained network in evaluation mode, and what its file says of it.

    `network` is the module itself, `facts` all that is known of it.
    """

    network: ReIDModel
    facts: Facts
    device: torch.device
    card: str

    def __repr__(self) -> str:
        facts, shown = self.facts, self.preprocessing
        sizes = sizes_text(sizes_of(facts.genotype.space, facts.recipe.macro))
        parts = (
            network_name(facts) + (f" with {sizes}" if sizes else ""),
            f"images of {shown.height} x {shown.width}",
            f"features of {self.feature_dim} numbers ({neck_text(facts.recipe.neck)})",
            f"{facts.identities or 'unknown'} identities",
            f"on {self.device}",
        )
        return f"<{type(self).__name__} {'; '.join(parts)}>"

    @property
    def genotype(self) -> Genotype:
        return self.facts.genotype

    @property
    def metrics(self) -> Mapping[str, Any] | None:
        """The evaluation at the end of its training (`mAP`, `rank_1`, ...; fractions); None if not known."""
        return self.facts.metrics

    @property
    def licence(self) -> str | None:
        """The licence of its weights, an SPDX expression; None where nobody said."""
        return self.facts.licence

    @property
    def identities(self) -> int | None:
        """How many people it learned from; None if not known."""
        return self.facts.identities or None

    @property
    def preprocessing(self) -> Preprocessing:
        """The size of its images, and what is done to them and to the features."""
        return self.facts.preprocessing

    @property
    def feature_dim(self) -> int:
        """The length of a feature."""
        return self.network.neck.feature_dim

    def preprocess(self, images: Sequence[AnImage]) -> Tensor:
        """Pictures, or paths of them, as uint8 (images, 3, height, width) of the network's size.

        InputError that lists the files that cannot be read, and for one picture alone.
        """
        if isinstance(images, (str, Path, Image.Image, np.ndarray)):
            raise InputError(
                f"images: a {type(images).__name__}. Give a list of pictures or paths, or a tensor."
            )
        problems, arrays = [], []
        for image in images:
            try:
                found = as_rgb(image) if isinstance(image, Image.Image) else read_image(Path(image))
            except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
                problems.append(f"{image}: cannot be read ({reason(error)}). Leave it out, or restore it.")
                continue
            arrays.append(resized(found, self.preprocessing.height, self.preprocessing.width))
        if problems:
            raise InputError(*problems)
        if not arrays:
            raise InputError("images: none. Give at least one picture.")
        return torch.from_numpy(np.stack(arrays))

    def embed(self, images: Tensor | Sequence[AnImage], batch: int = 128) -> Tensor:
        """Features, float32 (images, feature_dim), L2-normalised, on the CPU, in the order of the images.

        images: uint8 (images, 3, height, width) of the network's size, as `preprocess` gives them; or
        pictures, or paths of them. So many of a `batch` are computed together. Raises InputError for tensors
        of another kind and for files that cannot be read, DivergedError for features that are not finite.
        """
        pixels = images if isinstance(images, Tensor) else self.preprocess(images)
        size = (3, self.preprocessing.height, self.preprocessing.width)
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != size:
            raise InputError(
                f"images: {pixels.dtype} {tuple(pixels.shape)}. Give uint8 (images, {size[0]}, {size[1]}, "
                f"{size[2]}), as preprocess does."
            )
        features = extract(
            self.network.embed,
            pixels.cpu().numpy(),
            np.arange(len(pixels)),
            device=self.device,
            batch=batch,
            precision=self.facts.recipe.precision,
        )
        return functional.normalize(torch.from_numpy(features))


def load(file: Path | str, device: str = "auto") -> LoadedModel:
    """The network of a model file, portable or of a training, or of a training's folder, on a device: auto,
    cpu, cuda or cuda:N.

    InputError where there is no such file, and for an altered, truncated or unfitting one.
    """
    path = checkpoint_file(file)
    network, facts = opened(read_checkpoint(path), path)
    target = choose_device(device)
    network.requires_grad_(requires_grad=False)
    return LoadedModel(place(network, target, Execution()), facts, target, facts.card or draw_card(facts))
