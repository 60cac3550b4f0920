"""Weights that a training begins with: ImageNet's of a ResNet, or a file's.

A recipe's `weights` are "" (from scratch), "imagenet" (torchvision's IMAGENET1K_V1, of ResNets), or
"sha256:" and the digest of a file: the content of a file is part of a job's id, its path is not. People write
the path, and `given` reads it. A file is what `autoreid train` writes, of which the backbone is taken, or a
state dict as other tools write it (autoreid.state_dicts).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autoreid.errors import InputError, StorageError
from autoreid.folders import Folder, expanded, sha256
from autoreid.model_places import check_vouched
from autoreid.portable import content_of, is_portable, read
from autoreid.state_dicts import BackboneWeights, check_weights, foreign, from_torch, of_backbone, split
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.registry import find_space

IMAGENET = "imagenet"
DIGEST = "sha256:"
VARIABLE = "AUTOREID_IMAGENET_WEIGHTS"
RESNETS = ("resnet-v1", "resnet-stride1-v1")
# What a training and a pretraining leave in their folders.
NETWORKS = ("model.pt", "weights.pt")
MODEL_VERSION = 1
MODEL_KEYS = ("version", "genotype", "recipe", "identities", "weights")


class WeightFile(NamedTuple):
    """The bytes of a file, and what messages call it."""

    place: str
    content: bytes


def given(
    weights: str, genotype: Genotype, base: Path | None = None, macro: Macro | None = None
) -> tuple[str, WeightFile | None]:
    """What a recipe's `weights` are called in ids, and the file that they are in; none from scratch.

    A relative path starts at `base`. InputError where there is no such file, and, with `macro`, where its
    weights are not those of the genotype's network of that size.
    """
    if not weights:
        return "", None
    if weights == IMAGENET:
        return IMAGENET, imagenet(genotype)
    file = read_file((base or Path()) / expanded(weights))
    if macro is not None:
        _check_fit(file, genotype, macro)
    digest = sha256(file.content)
    if genotype.space in RESNETS and digest.startswith(_digest_of(_imagenet_url(genotype))):
        return IMAGENET, file  # the same content is the same job
    return DIGEST + digest, file


def given_teacher(path: Path | str | None) -> tuple[str | None, WeightFile | None]:
    """What a teacher's model file is called in ids, and the file; InputError where it cannot be read."""
    if path is None:
        return None, None
    remedy = "Give the model.pt of a training, or the folder of one that has ended."
    if path == "":
        raise InputError(f"teacher: '' is no path. {remedy}")
    file = _read(expanded(path), "teacher", NETWORKS[:1], remedy)
    return DIGEST + sha256(file.content), file


def read_file(path: Path) -> WeightFile:
    """The bytes of a file; InputError where it cannot be read, and where the outcome of its training, beside
    it, vouches for others."""
    remedy = (
        "Give the model.pt of a training, the folder of one that has ended, a state dict of the network, or "
        "imagenet."
    )
    return _read(path, "weights", NETWORKS, remedy)


def _read(path: Path, what: str, names: Sequence[str], remedy: str) -> WeightFile:
    """A file, or of a folder the first one of these names."""
    try:
        if path.is_dir():
            there = [path / name for name in names if (path / name).is_file()]
            if not there:
                raise InputError(f"{what}: {path}: a folder without {' or '.join(names)}. {remedy}")
            path = there[0]
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{what}: {path}: cannot be read ({error.strerror}). {remedy}") from None
    check_vouched(path, content)
    return WeightFile(str(path), content)


def _imagenet_url(genotype: Genotype) -> str:
    import torchvision  # deferred: it doubles what a worker imports, and few jobs need it

    found: Any = torchvision.models.get_weight(f"ResNet{genotype['depth']}_Weights.IMAGENET1K_V1")
    url: str = found.url
    return url


def _digest_of(url: str) -> str:
    """The first digits of a file's SHA-256, which torchvision writes into its name.

    >>> _digest_of("models/resnet50-0676ba61.pth")
    '0676ba61'
    """
    return url.rsplit("-", 1)[-1].removesuffix(".pth")


def check_imagenet(genotype: Genotype) -> None:
    """InputError where there are no ImageNet weights of such a network."""
    if genotype.space not in RESNETS:
        raise InputError(
            "weights: 'imagenet' is torchvision's weights of resnet18, 34, 50, 101 or 152, or bag-of-tricks; "
            f"this network is of {genotype.space}. Give a file of its own weights, or leave it out."
        )


def imagenet(genotype: Genotype) -> WeightFile:
    """torchvision's weights of a ResNet: of its cache, of where the environment says, else fetched.

    InputError, with every way, where they are in none of them.
    """
    check_imagenet(genotype)
    url = _imagenet_url(genotype)
    name, expected = url.rsplit("/", 1)[-1], _digest_of(url)
    cached = path = Path(torch.hub.get_dir(), "checkpoints", name)
    local = expanded(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
    try:
        if not cached.is_file() and local is not None:
            path = local / name if local.is_dir() else local
        elif not cached.is_file():
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(cached), expected, progress=False)
        file = WeightFile(str(path), path.read_bytes())
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"weights: {name} could not be fetched or read ({error}). Run once where the machine can fetch "
            f"it, without {VARIABLE}, or have it as a local file: in {cached.parent}, named by {VARIABLE} "
            "(the file, or its folder), or by --weights FILE (in a campaign, train.weights: FILE)."
        ) from None
    if not sha256(file.content).startswith(expected):
        raise InputError(
            f"weights: {path}: not {name}: its SHA-256 does not begin with {expected}. Remove it, or give "
            "other weights by their file: --weights FILE (in a campaign, train.weights: FILE)."
        )
    return file


def _name(weights: str, genotype: Genotype) -> str:
    """The name of a file of weights in a storage."""
    if weights == IMAGENET:
        return f"weights/{_imagenet_url(genotype).rsplit('/', 1)[-1]}"
    return f"weights/{weights.removeprefix(DIGEST)}.pt"


def provide(folder: Folder, weights: str, genotype: Genotype, path: Path | None = None) -> None:
    """Put what a recipe's `weights` name into a storage, where every machine finds it; they are at `path`.

    InputError where they are not, or are others by now.
    """
    name = _name(weights, genotype)
    if name in folder.sizes("weights/"):
        return
    if path is None and weights != IMAGENET:
        raise InputError(f"weights: {weights} is not in {folder}. Give the file itself: train.weights: FILE.")
    found, file = given(str(path or weights), genotype)
    if file is None or found != weights:
        raise InputError(f"weights: {path} was changed since the campaign was read. Run it again.")
    folder.write(name, file.content)


def provide_teacher(folder: Folder, digest: str, path: Path | None) -> None:
    """Put a teacher's model file, by "sha256:" and its digest, into a storage; it is at `path`.

    InputError where it is not, or is another one by now.
    """
    name = f"weights/{digest.removeprefix(DIGEST)}.pt"
    if name in folder.sizes("weights/"):
        return
    if path is None:
        raise InputError(f"teacher: {digest} is not in {folder}. Give the file itself.")
    found, file = given_teacher(path)
    if file is None or found != digest:
        raise InputError(f"teacher: {path}: was changed since the campaign was read. Run it again.")
    folder.write(name, file.content)


def stored(folder: Folder, weights: str, genotype: Genotype) -> WeightFile | None:
    """The file of a recipe's `weights` in a storage. StorageError where it is not there, or damaged."""
    if not weights:
        return None
    if weights == IMAGENET:
        check_imagenet(genotype)
        name = _name(weights, genotype)
        if name not in folder.sizes("weights/"):
            return imagenet(genotype)
        return _read_stored(folder, name, _digest_of(name))
    return stored_file(folder, weights)


def stored_file(folder: Folder, digest: str) -> WeightFile:
    """A file in a storage by "sha256:" and its digest. StorageError where it is not there, or damaged."""
    plain = digest.removeprefix(DIGEST)
    return _read_stored(folder, f"weights/{plain}.pt", plain)


def _read_stored(folder: Folder, name: str, expected: str) -> WeightFile:
    place = f"{folder}/{name}"
    try:
        content = folder.read(name)
    except FileNotFoundError:
        raise StorageError(f"{place}: not there. Run the campaign again, which puts its weights.") from None
    if not sha256(content).startswith(expected):
        raise StorageError(f"{place}: its digest does not fit. Remove it and run the campaign again.")
    return WeightFile(place, content)


def read_model(data: bytes, place: str) -> dict[str, Any]:
    """The content of a model file as `autoreid train` or `autoreid model pack` writes it; InputError for any
    other."""
    if is_portable(data):
        return content_of(*read(data, place))
    content = from_torch(data, place, MODEL_KEYS)
    if content["version"] != MODEL_VERSION:
        raise InputError(
            f"{place}: version {content['version']!r} of the model format; this release reads "
            f"{MODEL_VERSION}. Use the release that wrote it, or a newer one."
        )
    return content


def backbone_weights(file: WeightFile, genotype: Genotype) -> dict[str, Tensor]:
    """The weights of a backbone in a file; InputError where they are those of another architecture."""
    return read_backbone(file, genotype).weights


def read_backbone(file: WeightFile, genotype: Genotype) -> BackboneWeights:
    """The weights of a backbone in a file, and what of the file they leave out; InputError where they are
    those of another architecture."""
    portable = is_portable(file.content)
    content = (read_model if portable else foreign)(file.content, file.place)
    if not isinstance(content, Mapping):
        raise InputError(f"{file.place}: no weights, but a {type(content).__name__}. Give a state dict.")
    if "genotype" not in content:
        return of_backbone(content, genotype, file.place)
    content = content if portable else read_model(file.content, file.place)
    of = Genotype.from_json(content["genotype"], f"{file.place}.genotype")
    if of != genotype:
        raise InputError(
            f"{file.place}: weights of another network: {of} of {of.space}, not {genotype} of "
            f"{genotype.space}. Train that one, or give weights of this one."
        )
    if _stem_of(content["recipe"]) == "cifar":  # its shapes may be those of the other stem
        raise InputError(
            f"{file.place}: weights of a network with the stem of CIFAR, which no training has. Pretrain it "
            "with stem: imagenet."
        )
    parts = split(content["weights"], ("neck",))
    weights = {name.removeprefix("backbone."): weight for name, weight in parts.weights.items()}
    return parts._replace(weights=weights)


def _stem_of(recipe: str) -> object:
    """The stem in a recipe of a model file; None where it has none, or is no JSON."""
    try:
        return json.loads(recipe).get("stem")
    except (ValueError, AttributeError):
        return None


def _check_fit(file: WeightFile, genotype: Genotype, macro: Macro) -> None:
    """InputError where the weights of a file are not those of a genotype's network of this size. Nothing is
    allocated for the network."""
    weights = backbone_weights(file, genotype)
    with torch.device("meta"):
        backbone = find_space(genotype.space).network(genotype, macro)
    check_weights(backbone, weights, file.place)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], place: str) -> None:
    """Load strictly; InputError that names missing, unexpected and misshapen weights."""
    check_weights(module, weights, place)
    module.load_state_dict(weights, strict=True)
