"""OSNet as Torchreid trains and saves it, and as its successors do: a state dict, in a portable file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from autoreid import portable
from autoreid.errors import InputError
from autoreid.folders import sha256
from autoreid.licences import check_licence
from autoreid.model_places import read_checkpoint
from autoreid.models.assembly import build_network
from autoreid.models.inference import leave_out_training_parts
from autoreid.portable_packing import versions, written
from autoreid.recipes import Neck, TrainRecipe
from autoreid.state_dicts import foreign, of_backbone, part_of, unwrapped, with_counters
from autoreid.values import override
from autoreid.weights import load_weights
from search_spaces.combined_depth import STEM_CHANNELS
from search_spaces.published import PUBLISHED

STEM = "conv1.conv.weight"
CLASSIFIER = "classifier.weight"
ORIGIN = """\
## Origin

Weights of OSNet in Torchreid's form, read from `{name}` (SHA-256 `{digest}`). How they were trained is not in
that file."""


def convert(
    path: Path,
    *,
    height: int = 256,
    width: int = 128,
    licence: str | None = None,
    words: str = "",
    data_set: str | None = None,
) -> bytes:
    """The portable file of a checkpoint of Torchreid's OSNet, of any width, with its `fc` as neck.

    The file does not say for which images it is: height and width are those that its training had. InputError
    for what is no OSNet, such as one with instance norms.
    """
    check_licence(licence)
    data = read_checkpoint(path)
    weights = with_counters(_read(data, str(path)))
    recipe = TrainRecipe(neck=Neck(name="fc"), width_multiplier=weights[STEM].shape[0] / STEM_CHANNELS)
    recipe = override(recipe, {"height": height, "width": width}, "--")
    genotype, identities = PUBLISHED["osnet"], _identities(weights)
    model = build_network(genotype, recipe.neck, 1, recipe.macro)
    leave_out_training_parts(model, str(path))
    body = of_backbone(weights, genotype, str(path)).weights
    kept = {f"backbone.{name}": weight for name, weight in body.items()}
    kept |= {f"neck.{name}": weight for name, weight in weights.items() if part_of(name) == "fc"}
    load_weights(model, kept, str(path))
    origin = ORIGIN.format(name=path.name, digest=sha256(data))
    facts = portable.Facts(
        genotype=genotype,
        recipe=recipe,
        identities=identities,
        data_set=data_set,
        versions={"packed": versions()},
        licence=licence,
        words=f"{origin}\n\n{words}".strip(),
    )
    return written(facts, kept, ())


def _read(data: bytes, place: str) -> dict[str, Tensor]:
    """The weights of a file by Torchreid's names; InputError where it is none of OSNet."""
    if portable.is_portable(data):  # a safetensors file of any kind
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            content: Any = load(data)
        except SafetensorError as error:
            raise InputError(f"{place}: damaged ({error}). Get it again.") from None
    else:
        content = foreign(data, place)
    weights = unwrapped(content, place) if isinstance(content, Mapping) else {}
    if STEM not in weights or weights[STEM].dim() != 4:
        raise InputError(
            f"{place}: no weights of OSNet: a state dict with {STEM} is expected, as Torchreid saves it."
        )
    return weights


def _identities(weights: Mapping[str, Tensor]) -> int:
    """The classes of the classifier; 0, nobody knows how many, where it was taken off."""
    return len(weights[CLASSIFIER]) if CLASSIFIER in weights else 0
