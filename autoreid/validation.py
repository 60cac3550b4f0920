"""Scores without the test set: training images that were held out, ranked against each other.

Every image is a query against all others, by the standard protocol: those of its identity under its own
camera are ignored, and so is the image itself. Where one camera saw all, the image alone is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from autoreid.data import splits
from autoreid.data.index import ImageIndex
from autoreid.data.views import Picked
from autoreid.epochs import no_pulse
from autoreid.errors import InputError
from autoreid.evaluation.features import extract
from autoreid.evaluation.ranking import RankingScores, rank_features
from autoreid.execution import Execution
from autoreid.feed import PreparedData, split_positions
from autoreid.forms import arranged, place
from autoreid.models.assembly import build_supernet
from autoreid.optimisation import set_up, stream
from autoreid.recipes import SearchRecipe
from autoreid.words import counted
from search_spaces.genotype import Genotype
from search_spaces.registry import find_space
from search_spaces.relaxations import one_hot


def _views(data: PreparedData, positions: np.ndarray) -> np.ndarray:
    """What images at positions of the training set may not share with their matches, int64 (images,): their
    camera, or with a single one nothing but themselves."""
    return positions if data.index.single_camera else data.index.cameras[data.train_rows[positions]]


def check_ranking(labels: np.ndarray, cameras: np.ndarray, what: str, remedy: str) -> None:
    """InputError where a ranking of images against each other says nothing: no identity was seen by two
    cameras, or there is only one identity.

    >>> check_ranking(np.array([1, 1, 2]), np.array([1, 2, 1]), "the images", "Hold out more.")
    """
    seen = np.unique(np.stack([labels, cameras], axis=1), axis=0)[:, 0]
    known, under = np.unique(seen, return_counts=True)
    if len(known) < 2 or under.max() < 2:
        raise InputError(
            f"{what}: no mAP from {counted(len(labels), 'image')} of "
            f"{counted(len(known), 'identity', 'identities')}, {(under > 1).sum()} of which have a "
            f"match. {remedy}"
        )


def score_within(
    embed: Callable[[Tensor], Tensor],
    data: PreparedData,
    positions: np.ndarray,
    *,
    device: torch.device | str,
    precision: str,
    batch: int,
) -> RankingScores:
    """Rank the training images at these positions of the training set against each other.

    embed: as `extract` takes it.
    """
    rows, labels = data.train_rows[positions], data.labels[positions]
    cameras = _views(data, positions)
    features = extract(embed, data.images, rows, device=device, batch=batch, precision=precision)
    # Identities are numbered from 1: 0 would be a distractor.
    sides = {"query_ids": labels + 1, "query_cameras": cameras, "gallery_ids": labels + 1}
    return rank_features(features, features, **sides, gallery_cameras=cameras)


def score_in_supernet(
    recipe: SearchRecipe,
    genotype: Genotype,
    weights: Mapping[str, Tensor],
    data: PreparedData,
    *,
    split_seed: int,
    execution: Execution,
    pulse: Callable[[], None] = no_pulse,
) -> RankingScores:
    """Rank the images that a search held out by the features of a genotype in the search's supernet.

    `weights` are those of the supernet and its neck. Batch norms take the statistics that the search
    gathered, as they are. `pulse` is called before each batch. InputError where the images give no mAP.
    """
    held_out = split_positions(recipe.split, data.labels, stream(split_seed, "split"))[1]
    check_ranking(
        data.labels[held_out],
        _views(data, held_out),
        "the images that the search held out",
        "Hold out more images in the search (split), or select by the rule 'retrain'.",
    )
    device = set_up(execution, recipe.precision)
    model = build_supernet(recipe.space, recipe.neck, data.identities, recipe.macro)
    model.load_state_dict(weights, strict=True)
    model = place(arranged(model, execution), device, execution).eval()
    branches = one_hot(find_space(recipe.space).places, genotype, device)

    def embed(images: Tensor) -> Tensor:
        pulse()
        return model.embed(images, branches)

    batch = execution.evaluation_batch
    return score_within(embed, data, held_out, device=device, precision=recipe.precision, batch=batch)


def divided(data: PreparedData, fraction: float, seed: int) -> PreparedData:
    """The training set as a data set of its own, without its test images.

    Its training images are those of all identities but `fraction` of them; the images of these are the
    queries and, once more, the gallery. InputError where they give no mAP.
    """
    rows, labels = data.train_rows, data.labels
    kept, held = splits.by_identity(labels, fraction=fraction, seed=stream(seed, "split"))
    check_ranking(
        labels[held],
        _views(data, held),
        f"fraction: {fraction:g} of {data.identities} identities",
        "Use a larger fraction, or select by the rule 'supernet'.",
    )
    parts = {"gallery": held, "query": held, "train": kept}  # in the order of the names below
    positions = np.concatenate(list(parts.values()))
    taken = rows[positions]
    prefixes = [split for split, chosen in parts.items() for _ in chosen]
    index = ImageIndex(
        root=data.index.root,
        names=tuple(f"{split}/{data.index.names[row]}" for split, row in zip(prefixes, taken, strict=True)),
        identities=data.index.identities[taken],
        cameras=_views(data, positions),
        splits=np.array(prefixes),
    )
    return PreparedData(index, Picked(data.images, taken), data.fingerprint)
