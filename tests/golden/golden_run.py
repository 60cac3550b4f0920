"""Three steps of a search and of a training on rendered data, written down.

`exact` values are digests of integers, of pixels and of random numbers: they are equal on every machine. The
others come from floating-point sums, whose order is the processor's and torch's to choose.

The tolerances lie between two measurements. With torch held to the instructions of older processors
(`ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41`, and `avx2` of both), losses differ by up to 5e-6,
norms by 1e-9, how far weights moved by 3e-4 (all relative), alphas by 1e-5, and scores not at all. On the
other side, the tests show which mistakes are noticed, a learning rate that is wrong by 2% among them. The
rates are smaller than the published ones for that: with those, three steps make differences of 1e-3 out of
roundings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

import autoreid.feed
from autoreid.data.augment import draw
from autoreid.data.source import DataSource
from autoreid.execution import Execution
from autoreid.feed import Batches, PreparedData, prepare, split_positions
from autoreid.optimisation import stream
from autoreid.published import CDNET_SEARCH, CDNET_TRAIN
from autoreid.searching import SearchRun
from autoreid.training import TrainRun
from autoreid.values import override
from autoreid.version import ENGINE_REVISION
from search_spaces.published import PUBLISHED

STEPS = 3
# 8 training identities, 3 cameras, 2 images each.
DATA = DataSource(set="rendered", identities=16, cameras=3, images=2, height=64, width=32)
SMALL = {"height": 64, "width": 32, "width_multiplier": 0.25, "epochs": STEPS}
# Each epoch is one step of 8 identities with all their images of that part: every step has its own record.
SEARCH = override(
    CDNET_SEARCH,
    SMALL
    | {
        "batch": {"identities": 8, "images": 3},
        "neck": {"embedding": 32},
        "alpha_scale": 0.1,
        "objective": {"triplet": 0.1, "label_smoothing": 0.1},
        "alpha_objective.triplet": 0.1,
        "optimizer": {"learning_rate": 1e-4, "schedule": {"end": 1e-5}},
        "alpha_optimizer": {"learning_rate": 0.01, "schedule": {"milestones": [2]}},
    },
)
TRAIN = override(
    CDNET_TRAIN,
    SMALL
    | {
        "batch": {"identities": 8, "images": 4},
        "neck": {"embedding": 32, "stripe_channels": 16},
        "objective": {"triplet": 0.1, "label_smoothing": 0.1},
        "optimizer": {"learning_rate": 1e-4, "schedule": {"milestones": [1, 2]}},
    },
)
ONE_THREAD = Execution(device="cpu", threads=1)
# Accuracies and ranks are left out: an image more or less says nothing about three steps.
SEARCH_COLUMNS = (
    *("loss", "cross_entropy", "triplet", "validation_loss", "alpha_entropy"),
    *("learning_rate", "alpha_learning_rate"),
)
TRAIN_COLUMNS = ("loss", "cross_entropy", "triplet", "learning_rate")
SCORES = ("mAP", "mINP")
# Relative, and absolute where a value may be near 0: by the second part of a value's name.
RELATIVE, ABSOLUTE = {"near": 1e-4, "moved": 5e-3}, {"alphas": 2e-4, "scores": 5e-3}
# What torch draws from a normal distribution is equal on processors with these instructions; on others the
# seventh digit differs.
VECTORS = ("AVX2", "AVX512")
REMEDY = (
    "If results change on purpose: raise ENGINE_REVISION in autoreid/version.py and rewrite with "
    "`python tests/golden/rewrite.py`."
)


def sha256(arrays: Iterable[np.ndarray]) -> str:
    """Over shapes, types and bytes, little-endian."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype.str}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def exact_batches(batches: Batches) -> dict[str, str]:
    """Digests of the images that each step takes, and of what happens to them."""
    parameters = []

    def noted(*given: Any, **named: Any) -> Any:
        parameters.append(draw(*given, **named))
        return parameters[-1]

    with mock.patch.object(autoreid.feed, "draw", noted):
        pixels = [batches.batch(step)[0].numpy() for step in range(STEPS)]
    rows = [batches.rows[batches.sampler.batch(step)] for step in range(STEPS)]
    fields = ("flip", "top", "left", "erase_top", "erase_left", "erase_height", "erase_width")
    drawn = [getattr(of_step, name).numpy() for of_step in parameters for name in fields]
    return {"rows": sha256(rows), "augmentation": sha256(drawn), "pixels": sha256(pixels)}


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def parts_of(weights: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    """The names of the weights of each part of a model."""
    parts: dict[str, list[str]] = {}
    for name in weights:
        parts.setdefault(".".join(name.split(".")[:2]), []).append(name)
    return parts


def norms(weights: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """The norm of the weights of each part of a model."""
    return {
        part: float(sum(weights[name].double().square().sum() for name in names)) ** 0.5
        for part, names in parts_of(weights).items()
    }


def after(model: torch.nn.Module, begun: Mapping[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    """The norms of a model's weights, and of how far they have moved since it was built."""
    now = weights_of(model)
    return {"norms": norms(now), "moved": norms({name: now[name] - begun[name] for name in now})}


def open_data(cache: Path) -> PreparedData:
    return prepare(DATA, SMALL["height"], SMALL["width"], cache)


def record_search(data: PreparedData) -> dict[str, Any]:
    """Three steps of a search, split seed 1 and search seed 2."""
    run = SearchRun(SEARCH, data, split_seed=1, search_seed=2, execution=ONE_THREAD)
    begun, alphas = weights_of(run.model), [alpha.detach().numpy() for alpha in run.alphas.values()]
    exact = {
        "split": sha256(split_positions(SEARCH.split, data.labels, stream(1, "split"))),
        "train": exact_batches(run.train),
        "held_out": exact_batches(run.held_out),
        "initial": sha256([*(tensor.numpy() for tensor in begun.values()), *alphas]),
    }
    rows = [run.advance() for _ in range(STEPS)]
    result, _ = run.finish()
    near = {name: [row[name] for row in rows] for name in SEARCH_COLUMNS}
    parts = {"near": near, "alphas": result["alphas"], **after(run.model, begun)}
    return {"exact": exact | {"genotype": result["genotype_digest"]}, **parts}


def record_train(data: PreparedData) -> dict[str, Any]:
    """Three steps of a training of cdnet-top2, training seed 3, and its evaluation."""
    run = TrainRun(TRAIN, PUBLISHED["cdnet-top2"], data, train_seed=3, execution=ONE_THREAD)
    begun = weights_of(run.model)
    exact = {
        "train": exact_batches(run.batches),
        "initial": sha256(tensor.numpy() for tensor in begun.values()),
    }
    rows = [run.advance() for _ in range(STEPS)]
    result, _ = run.finish()
    near = {name: [row[name] for row in rows] for name in TRAIN_COLUMNS}
    scores = {when: {name: result[when][name] for name in SCORES} for when in ("untrained", "evaluation")}
    return {"exact": exact, "near": near, "scores": scores, **after(run.model, begun)}


def golden_run(data: PreparedData) -> dict[str, Any]:
    """What three_steps.json holds."""
    return {
        "engine_revision": ENGINE_REVISION,
        "data": data.fingerprint,
        "search": record_search(data),
        "train": record_train(data),
    }


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The names and the values of everything below, such as (train/near/loss/0, 2.7)."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from leaves(item, f"{name}/{key}" if name else str(key))
    if not isinstance(value, (dict, list)):
        yield name, value


def agrees(name: str, before: Any, now: Any) -> bool:
    """Whether a value is the one that was written down, as closely as it can be on another machine."""
    if not isinstance(before, float) or not isinstance(now, float):
        return bool(before == now)
    part = name.split("/")[1]
    return abs(now - before) <= ABSOLUTE.get(part, 0.0) + RELATIVE.get(part, RELATIVE["near"]) * abs(before)


def run_problems(written: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs between the run that is written down and one of this code; names what to do."""
    before, now = dict(leaves(written)), dict(leaves(found))
    if torch.backends.cpu.get_cpu_capability() not in VECTORS:
        before, now = (
            {k: v for k, v in of.items() if not k.endswith("exact/initial")} for of in (before, now)
        )
    problems = [
        f"{name}: {before.get(name, 'not written down')} is now {now.get(name, 'gone')}"
        for name in dict.fromkeys([*before, *now])
        if name not in before or name not in now or not agrees(name, before[name], now[name])
    ]
    return [*problems, REMEDY] if problems else []
