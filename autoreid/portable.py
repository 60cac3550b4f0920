"""Portable model files: one .safetensors file with the weights and all that it takes to use them.

The header's metadata holds JSON texts: version of the format, genotype, training recipe, preprocessing,
identities, metrics, versions, licence, model card, and a SHA-256 of the whole file with the digest itself
left blank. Other readers of safetensors find plain tensors, named as in the network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoreid.data.augment import MEAN, STD
from autoreid.errors import InputError
from autoreid.recipes import TrainRecipe
from autoreid.values import from_plain, plain
from search_spaces.genotype import Genotype

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1
LENGTH_BYTES = 8
BLANK = "0" * 64
# The members of the metadata that are facts.
KEYS = (
    "genotype",
    "recipe",
    "preprocessing",
    "identities",
    "order",
    "data",
    "metrics",
    "versions",
    "licence",
    "words",
    "card",
)
# The members of a recipe that say what network it is, and of which images; all others say how it was trained.
OF_NETWORK = ("height", "width", "width_multiplier", "channels", "layers", "neck")
REMEDY = "Get it again from where it came, or pack it anew."


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What becomes of an image before the network sees it, and of the feature that it gives."""

    height: int
    width: int
    channels: str = "RGB"
    interpolation: str = "bilinear, antialiased"
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    features: str = "L2-normalised"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a trained network beside its weights.

    `identities` is 0 where nobody knows how many. `order` holds them in the order of the classifier; None
    where the file has no parts that only training needs. `data_set` and `fingerprint` are those of the
    training's data. `metrics` is the evaluation at the end of the training. `versions` are those of the
    programs that `trained` and `packed` it. `words` are what a person added to the model card.
    """

    genotype: Genotype
    recipe: TrainRecipe
    identities: int
    order: tuple[int, ...] | None = None
    data_set: str | None = None
    fingerprint: str | None = None
    metrics: Mapping[str, Any] | None = None
    versions: Mapping[str, Any] | None = None
    licence: str | None = None
    words: str = ""
    card: str = ""

    @property
    def trained_here(self) -> bool:
        """Whether the recipe is that of its training; else only the network's sizes and neck are known."""
        return self.fingerprint is not None or bool((self.versions or {}).get("trained"))

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.recipe.height, self.recipe.width)

    def plain(self) -> dict[str, Any]:
        """The facts as JSON values, as the metadata holds them."""
        return {
            "genotype": self.genotype.plain(),
            "recipe": plain(self.recipe),
            "preprocessing": plain(self.preprocessing),
            "identities": self.identities,
            "order": None if self.order is None else list(self.order),
            "data": {"set": self.data_set, "fingerprint": self.fingerprint},
            "metrics": self.metrics,
            "versions": self.versions,
            "licence": self.licence,
            "words": self.words,
            "card": self.card,
        }


def is_portable(data: bytes) -> bool:
    """Whether bytes begin as a safetensors file does: a length, then a JSON object."""
    return data[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"


def write(facts: Facts, weights: Mapping[str, Tensor]) -> bytes:
    """The portable file of a network. Equal facts and weights give equal bytes."""
    from safetensors.torch import save  # deferred: few commands need it

    metadata = {name: _compact(value) for name, value in facts.plain().items()}
    metadata |= {"autoreid": str(VERSION), "format": "pt", "sha256": BLANK}
    written = save({name: weight.contiguous() for name, weight in weights.items()}, metadata)
    # The library writes the metadata in any order.
    size = _header_bytes(written)
    header = _compact(json.loads(written[LENGTH_BYTES : LENGTH_BYTES + size])).encode()
    header += b" " * (-len(header) % LENGTH_BYTES)
    blank = len(header).to_bytes(LENGTH_BYTES, "little") + header + written[LENGTH_BYTES + size :]
    return blank.replace(_digest_member(BLANK), _digest_member(_digest(blank, BLANK)), 1)


def read(data: bytes, place: str) -> tuple[Facts, dict[str, Tensor]]:
    """Facts and weights of a portable file; InputError for altered bytes, a truncated file, another version
    of the format, and for what is no model file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    metadata = _metadata(data, place)
    given = metadata.get("sha256", "")
    if _digest(data, given) != given:
        raise InputError(f"{place}: altered since it was written: its SHA-256 does not fit. {REMEDY}")
    try:
        return _facts(metadata, place), load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{place}: its header is damaged ({error!r}). {REMEDY}") from None


def content_of(facts: Facts, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a portable file holds, in the form that a model file of a training has."""
    return {
        "version": VERSION,
        "genotype": facts.genotype.to_json(),
        "recipe": _compact(plain(facts.recipe)),
        "identities": max(facts.identities, 1),
        "order": None if facts.order is None else list(facts.order),
        "data": facts.fingerprint,
        "weights": weights,
    }


def _compact(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest_member(digest: str) -> bytes:
    # Within other texts of the header quotation marks are escaped: it is there once.
    return f'"sha256":"{digest}"'.encode()


def _digest(data: bytes, given: str) -> str:
    """SHA-256 of a file in which the digest that it gives is left blank. Weights are not copied for it."""
    end = LENGTH_BYTES + _header_bytes(data)
    found = hashlib.sha256(data[:end].replace(_digest_member(given), _digest_member(BLANK), 1))
    found.update(memoryview(data)[end:])
    return found.hexdigest()


def _header_bytes(data: bytes) -> int:
    return int.from_bytes(data[:LENGTH_BYTES], "little")


def _metadata(data: bytes, place: str) -> dict[str, str]:
    """The metadata of a safetensors file that this release can read."""
    size = _header_bytes(data)
    if LENGTH_BYTES + size > len(data):
        raise InputError(f"{place}: truncated or damaged: its header is not whole. {REMEDY}")
    try:
        header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + size])
        metadata = header.get("__metadata__", {})
    except (ValueError, AttributeError):
        raise InputError(f"{place}: damaged: its header is not JSON. {REMEDY}") from None
    if not isinstance(metadata, dict) or "autoreid" not in metadata:
        raise InputError(
            f"{place}: a safetensors file, but no model file of autoreid. Give one of autoreid model pack."
        )
    if metadata["autoreid"] != str(VERSION):
        raise InputError(
            f"{place}: version {metadata['autoreid']!r} of the portable format; this release reads "
            f"{VERSION}. Use the release that wrote it, or a newer one."
        )
    return {name: str(value) for name, value in metadata.items()}


def _facts(metadata: Mapping[str, str], place: str) -> Facts:
    known = {name: json.loads(metadata[name]) for name in KEYS}
    recipe = from_plain(TrainRecipe, known["recipe"], f"{place}.recipe")
    order, data = known["order"], known["data"]
    facts = Facts(
        genotype=Genotype.from_plain(known["genotype"], f"{place}.genotype"),
        recipe=recipe,
        identities=int(known["identities"]),
        order=None if order is None else tuple(map(int, order)),
        data_set=data["set"],
        fingerprint=data["fingerprint"],
        metrics=known["metrics"],
        versions=known["versions"],
        licence=known["licence"],
        words=str(known["words"]),
        card=str(known["card"]),
    )
    if known["preprocessing"] != plain(facts.preprocessing):
        raise InputError(
            f"{place}.preprocessing: {known['preprocessing']} is not what this release does with images of "
            f"its recipe: {plain(facts.preprocessing)}. Use the release that wrote it."
        )
    return facts
