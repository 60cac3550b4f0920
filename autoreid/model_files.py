"""Files of trained networks: written with what is needed to build them again, and read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autoreid.errors import InputError
from autoreid.models.assembly import ReIDModel, build_network
from autoreid.models.inference import leave_out_training_parts
from autoreid.recipes import TrainRecipe
from autoreid.snapshots import to_bytes
from autoreid.values import from_plain, plain
from autoreid.weights import MODEL_VERSION, load_weights, read_model
from search_spaces.genotype import Genotype

# A field that recipes of pretrainings alone have.
OF_PRETRAINING = "label_smoothing"


def pack_model(
    model: ReIDModel, recipe: TrainRecipe, genotype: Genotype, order: Sequence[int], data: str
) -> bytes:
    """A model file: weights, what is needed to build the network again, and whom it knows: the identities in
    the order of its classifier, and the fingerprint of their images."""
    return to_bytes(
        {
            "version": MODEL_VERSION,
            "genotype": genotype.to_json(),
            "recipe": json.dumps(plain(recipe)),
            "identities": len(order),
            "order": list(order),
            "data": data,
            "weights": model.state_dict(),
        }
    )


def unpack_model(data: bytes, place: str) -> tuple[ReIDModel, TrainRecipe, Genotype]:
    """The network of a model file, of a training or portable, its weights loaded strictly, in eval mode on
    the CPU. Of a portable file without them, it lacks the parts that only training needs."""
    return network_of(read_model(data, place), place)


def network_of(content: Mapping[str, Any], place: str) -> tuple[ReIDModel, TrainRecipe, Genotype]:
    """What `unpack_model` gives, of what was read already."""
    try:
        plainly = json.loads(content["recipe"])
    except json.JSONDecodeError:
        raise InputError(f"{place}: its recipe is damaged. Train the network again.") from None
    if isinstance(plainly, Mapping) and OF_PRETRAINING in plainly:
        raise InputError(
            f"{place}: weights of a pretraining, whose network tells classes and not people. Give the model "
            "of a training that begins with them: autoreid train --weights."
        )
    recipe = from_plain(TrainRecipe, plainly, f"{place}.recipe")
    genotype = Genotype.from_json(content["genotype"], f"{place}.genotype")
    whole = content.get("order", ()) is not None
    model = with_weights(genotype, recipe, content["identities"], content["weights"], place, whole=whole)
    return model, recipe, genotype


def with_weights(
    genotype: Genotype,
    recipe: TrainRecipe,
    identities: int,
    weights: Mapping[str, Tensor],
    place: str,
    *,
    whole: bool,
) -> ReIDModel:
    """The network of a genotype in eval mode on the CPU, with these weights, loaded strictly. One that is not
    `whole` lacks the parts that only training needs."""
    model = build_network(genotype, recipe.neck, identities, recipe.macro)
    if not whole:
        leave_out_training_parts(model, place)
    load_weights(model, weights, place)
    return model.eval()
