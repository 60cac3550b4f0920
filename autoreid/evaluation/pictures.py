"""What an evaluation leaves to look at: ranked lists, activation maps, and features for t-SNE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from autoreid.evaluation.activations import draw_activations
from autoreid.evaluation.loss_features import feature_file, most_seen
from autoreid.evaluation.protocol import Protocol
from autoreid.evaluation.ranked_lists import choose_queries, ranked_lists
from autoreid.evaluation.ranked_pictures import draw_ranked
from autoreid.evaluation.ranking import RankingScores
from autoreid.feed import PreparedData
from autoreid.models.assembly import ReIDModel
from autoreid.picture_files import ACTIVATIONS, FEATURES, RANKED

QUERIES = 8


def draw(
    model: ReIDModel,
    data: PreparedData,
    found: Mapping[str, Any],
    protocol: Protocol,
    scores: RankingScores,
    *,
    device: torch.device | str,
    batch: int,
    memory: int,
) -> dict[str, bytes]:
    """The files of one evaluation by name: `pictures-ranked.png` with the lists of the hardest queries and of
    some others, `pictures-activations.png` with the maps of the same queries, and `features.npz`.

    found: features and labels as `of_test_images` gives them for the data; scores: those of the protocol, the
    re-ranked ones where it re-ranks. The model is on the device; features are of `batch` images at once.
    Equal input gives equal bytes.
    """
    images, index = data.images, data.index
    queries = choose_queries(scores, QUERIES)
    lists = ranked_lists(found, index, protocol, scores, queries, device=device, memory=memory)
    rows = index.rows("query")[queries]
    return {
        RANKED: draw_ranked(lists, images, index, protocol),
        ACTIVATIONS: draw_activations(model, images, index, rows, device=device),
        FEATURES: feature_file(model, images, index, most_seen(index), device=device, batch=batch),
    }
