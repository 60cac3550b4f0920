"""State dicts as other tools write them, as weights of a backbone here: names, what is left out, what fits.

A state dict lies in a file alone, or in a checkpoint under `state_dict`; where a network was trained on
several GPUs, every name begins with `module.`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from autoreid.errors import InputError
from autoreid.snapshots import from_bytes
from search_spaces.genotype import Genotype

# What holds the state dict in a checkpoint, and what stands before names of several GPUs.
WRAPPING = "state_dict"
PARALLEL = "module."
# The parts of a network that are no part of its backbone here, by space: the classifier of ImageNet in
# torchvision's ResNets; the fully connected layer and the classifier of OSNet, which are its neck.
HEADS = {
    "resnet-v1": ("fc",),
    "resnet-stride1-v1": ("fc",),
    "osnet-v1": ("fc", "classifier"),
}
# What files of torch begin with: archives, and pickles of old releases.
BEGINNINGS = (b"PK", b"\x80")
# Of each kind, how many weights that do not fit a message names.
NAMED = 5
# What numbers of NumPy are made of in a pickle: none of it runs code. Older NumPy called its package `core`.
NUMBERS = [
    np.dtype,
    *(getattr(np.dtypes, f"{kind}DType") for kind in ("Float32", "Float64", "Int64")),
    *((np.float32(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("_core", "core")),
]


class BackboneWeights(NamedTuple):
    """The weights of a backbone by name, and how many tensors of which other parts the file had."""

    weights: dict[str, Tensor]
    left_out: Mapping[str, int]

    @property
    def remark(self) -> str | None:
        """In words, what of the file was left out; None where nothing was.

        >>> BackboneWeights({}, {"fc": 7, "classifier": 2}).remark
        'left out of the weights: fc (7 tensors), classifier (2 tensors)'
        """
        parts = [f"{part} ({count} tensor{'s' * (count > 1)})" for part, count in self.left_out.items()]
        return f"left out of the weights: {', '.join(parts)}" if parts else None


def part_of(name: str) -> str:
    """The part of a network that a weight belongs to.

    >>> part_of("conv2.0.conv1.bn.weight")
    'conv2'
    """
    return name.partition(".")[0]


def split(weights: Mapping[str, Tensor], out: tuple[str, ...]) -> BackboneWeights:
    """The weights without those of some parts."""
    kept: dict[str, Tensor] = {}
    left: dict[str, int] = {}
    for name, weight in weights.items():
        if part_of(name) in out:
            left[part_of(name)] = left.get(part_of(name), 0) + 1
        else:
            kept[name] = weight
    return BackboneWeights(kept, left)


def unwrapped(content: Mapping[Any, Any], place: str) -> dict[str, Tensor]:
    """The state dict in what a file holds, its names without the mark of several GPUs; InputError where
    something in it is no weight."""
    if isinstance(content.get(WRAPPING), Mapping):
        content = content[WRAPPING]
    alien = [str(name) for name, weight in content.items() if not isinstance(weight, Tensor)]
    if alien:
        raise InputError(f"{place}: no weights: {', '.join(alien)}. Give a state dict of the backbone.")
    if content and all(str(name).startswith(PARALLEL) for name in content):
        return {str(name).removeprefix(PARALLEL): weight for name, weight in content.items()}
    return {str(name): weight for name, weight in content.items()}


def with_counters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, and zeros for the counters of norms that they lack: no network here reads them, and old
    files are without.

    >>> sorted(with_counters({"fc.1.running_mean": torch.zeros(2)}))
    ['fc.1.num_batches_tracked', 'fc.1.running_mean']
    """
    norms = (name.removesuffix("running_mean") for name in weights if name.endswith("running_mean"))
    return {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms} | dict(weights)


def of_backbone(content: Mapping[Any, Any], genotype: Genotype, place: str) -> BackboneWeights:
    """The weights of a genotype's backbone in what another tool's file holds; InputError where it holds
    something else. Whether they fit is not asked here."""
    out = HEADS.get(genotype.space, ())
    if genotype.space == "osnet-v1" and genotype["conv5"] == "no":
        out = (*out, "conv5")
    found = split(unwrapped(content, place), out)
    return found._replace(weights=with_counters(found.weights))


def foreign(content: bytes, place: str) -> Any:
    """What a file holds that another tool may have written: scores beside weights are numbers of NumPy."""
    with torch.serialization.safe_globals(NUMBERS):
        return from_torch(content, place)


def from_torch(content: bytes, place: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """What `from_bytes` reads; InputError that says so where bytes do not begin as torch's files do."""
    if not content.startswith(BEGINNINGS):
        raise InputError(
            f"{place}: not a file of autoreid, or damaged: its {len(content):,} bytes begin like neither a "
            "safetensors file nor one of torch. Get it again, or give another."
        )
    return from_bytes(content, place, keys)


def check_weights(module: nn.Module, weights: Mapping[str, Tensor], place: str) -> None:
    """InputError that names missing, unexpected and misshapen weights, and how many more there are."""
    known = module.state_dict()
    kinds = {
        "missing": [f"no weight {name}." for name in known if name not in weights],
        "unexpected": [f"unexpected weight {name}." for name in weights if name not in known],
        "misshapen": [
            f"{name} has shape {tuple(weights[name].shape)}, the network's is {tuple(tensor.shape)}."
            for name, tensor in known.items()
            if name in weights and weights[name].shape != tensor.shape
        ],
    }
    problems = []
    for kind, found in kinds.items():
        problems += found[:NAMED]
        if len(found) > NAMED:
            problems.append(f"more {kind} weights: {len(found) - NAMED}.")
    if problems:
        problems += _width_problem(known, weights)
        raise InputError(*(f"{place}: {problem}" for problem in problems))


def _width_problem(known: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """Whether the first layer of a file is wider or narrower than that of the network, in words."""
    first = next(iter(known))
    theirs, ours = (len(one[first]) if first in one else 0 for one in (weights, known))
    if theirs in (0, ours):
        return []
    return [
        f"they are of a network {theirs / ours:g} times as wide: {theirs} channels to {ours} behind its "
        "first layer. Set width_multiplier, or channels, to theirs, or give weights of this width."
    ]
