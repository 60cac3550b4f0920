"""From the model file of a training, with what lies around it, to a portable file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoreid import portable
from autoreid.attempts import OUTCOME
from autoreid.errors import InputError, StorageError
from autoreid.licences import check_licence
from autoreid.model_files import network_of, with_weights
from autoreid.model_places import read_checkpoint
from autoreid.models.assembly import ReIDModel
from autoreid.portable import Facts
from autoreid.portable_card import draw_card
from autoreid.storage import Storage
from autoreid.version import __version__
from autoreid.weights import read_model


def pack(
    path: Path,
    *,
    licence: str | None = None,
    words: str = "",
    data_set: str | None = None,
    classifier: bool = False,
) -> bytes:
    """The portable file of a model file, which may be portable itself.

    Metrics and versions are those of the training's outcome beside it, where there is one; the name of the
    data set is that of the storage it lies in, unless it is given; `words` are added to the model card.
    InputError where the outcome is that of other weights, for a licence that is not known, and where a
    classifier is wanted that is not there.
    """
    check_licence(licence)
    data = read_checkpoint(path)
    model, facts = opened(data, path)
    if classifier and facts.order is None:
        raise InputError(
            f"{path}: holds no classifier, or does not say whom it knows. Leave --with-classifier out."
        )
    left = () if classifier else model.neck.training_only
    facts = replace(
        facts,
        order=facts.order if classifier else None,
        licence=licence or facts.licence,
        words=words or facts.words,
        data_set=data_set or facts.data_set,
        versions=dict(facts.versions or {}) | {"packed": versions()},
    )
    return written(facts, model.state_dict(), left)


def written(facts: Facts, weights: Mapping[str, Tensor], left: tuple[str, ...]) -> bytes:
    """The portable file of these facts, with its card and without the parts of the neck that are `left`."""
    kept = {
        name: weight
        for name, weight in weights.items()
        if not any(name.startswith(f"neck.{part}.") for part in left)
    }
    return portable.write(replace(facts, card=draw_card(facts)), kept)


def versions() -> dict[str, str]:
    """The programs that a file is packed with."""
    return {"autoreid": __version__, "torch": torch.__version__}


def opened(data: bytes, path: Path) -> tuple[ReIDModel, Facts]:
    """The network of a model file of either kind, as `unpack_model` gives it, and its facts, without a card
    for one of a training. The file is parsed, and the network built, once.

    data: what `read_checkpoint` gave, so that the outcome beside the file vouches for it.
    """
    place = str(path)
    if portable.is_portable(data):
        facts, weights = portable.read(data, place)
        whole, known = facts.order is not None, max(facts.identities, 1)
        return with_weights(facts.genotype, facts.recipe, known, weights, place, whole=whole), facts
    content = read_model(data, place)
    model, recipe, genotype = network_of(content, place)
    facts = Facts(
        genotype=genotype,
        recipe=recipe,
        identities=content["identities"],
        order=tuple(content["order"]) if "order" in content else None,
        fingerprint=content.get("data"),
        **_beside(path),
    )
    return model, facts


def _beside(path: Path) -> dict[str, Any]:
    """What the outcome beside a training's model file says of it; nothing where it does not vouch for it."""
    path = path.resolve()
    folder = path.parent
    try:
        outcome = json.loads((folder / OUTCOME).read_bytes())
        if path.name not in outcome["files"]:
            return {}
        facts, metrics = outcome["facts"], outcome["result"]["evaluation"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{folder / OUTCOME}: damaged, or not that of a training. Move it away.") from None
    made = {name: facts.get(f"{name}_version") for name in ("torch", "python")}
    made["autoreid"] = facts.get("code_version")
    known = {name: version for name, version in made.items() if version}
    return {"metrics": metrics, "versions": {"trained": known}, "data_set": _data_set(folder)}


def _data_set(folder: Path) -> str | None:
    """The name of the data set of the job whose attempt this folder is, by the storage that it lies in."""
    try:
        job = json.loads((folder.parents[1] / "job.json").read_bytes())
        found = {name for manifest in _manifests(folder.parents[3]) for name in _sets(manifest, job["data"])}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return ", ".join(sorted(found)) or None


def _manifests(root: Path) -> Iterator[Mapping[str, Any]]:
    storage = Storage(root)
    for name in storage.campaigns():
        try:
            yield storage.read_manifest(name)
        except (InputError, StorageError):
            continue  # a damaged one tells nothing here


def _sets(manifest: Mapping[str, Any], fingerprint: str) -> Iterator[str]:
    """The data sets of a manifest that have this fingerprint, by the names of their layouts."""
    sources = {"data": manifest["data"], **manifest.get("data_sets", {})}
    fingerprints = {"data": manifest["data_fingerprint"], **manifest.get("data_fingerprints", {})}
    return (sources[name]["set"] for name in sources if fingerprints.get(name) == fingerprint)
