"""Scores without the test set, against a naive loop and a network of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoreid.data.augment import normalise
from autoreid.data.index import ImageIndex
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.models.assembly import build_network, build_supernet
from autoreid.published import CDNET_SEARCH
from autoreid.recipes import SearchRecipe, Split
from autoreid.searching import SearchRun
from autoreid.validation import check_ranking, divided, score_in_supernet, score_within
from autoreid.values import override
from search_spaces.genotype import Genotype
from search_spaces.registry import find_space

CPU = Execution(device="cpu", threads=1)
RECIPE = override(
    CDNET_SEARCH,
    {"space": "cs-v1", "height": 64, "width": 32, "width_multiplier": 0.1, "split.held_out": 2}
    | {"batch": {"identities": 4, "images": 2}, "epochs": 1},
)


def naive_map(features: np.ndarray, identities: np.ndarray, cameras: np.ndarray) -> float:
    """mAP of every image against all others, without the images of its identity under its camera."""
    unit = features.astype(float) / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    precisions = []
    for query in range(len(unit)):
        ranked = []
        for other in range(len(unit)):
            match = identities[other] == identities[query]
            if not (match and cameras[other] == cameras[query]):
                ranked.append((np.linalg.norm(unit[query] - unit[other]), match))
        found = [match for _, match in sorted(ranked)]
        hits = [sum(found[: n + 1]) / (n + 1) for n in range(len(found)) if found[n]]
        precisions += [np.mean(hits)] if hits else []
    return float(np.mean(precisions))


def made_up(identities: list[int], cameras: list[int]) -> PreparedData:
    """A data set of training images alone, 2 x 2 pixels of noise."""
    count = len(identities)
    index = ImageIndex(
        root=Path("made-up"),
        names=tuple(f"{n:03d}.png" for n in range(count)),
        identities=np.array(identities),
        cameras=np.array(cameras),
        splits=np.array(["train"] * count),
    )
    noise = np.random.default_rng(0).integers(0, 256, (count, 3, 2, 2), dtype=np.uint8)
    return PreparedData(index, noise, "f" * 64)


def flat(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1)


def test_every_held_out_image_is_a_query_against_all_others() -> None:
    """Identity 0 is a person like the others here, one image in three shares identity and camera."""
    chance = np.random.default_rng(1)
    identities, cameras = chance.integers(0, 9, 60), chance.integers(1, 4, 60)
    data = made_up(identities.tolist(), cameras.tolist())
    positions = np.arange(10, 60)
    scores = score_within(flat, data, positions, device="cpu", precision="fp32", batch=7)
    features = normalise(torch.from_numpy(np.array(data.images[positions]))).flatten(1).numpy()
    expected = naive_map(features, identities[10:], cameras[10:])
    assert scores.mean_average_precision == pytest.approx(expected, abs=1e-9)
    assert 0 < expected < 1


def supernet_weights(recipe: SearchRecipe, data: PreparedData) -> dict[str, torch.Tensor]:
    """A supernet whose norms are anything but their start: running means, variances and scales vary."""
    model = build_supernet(recipe.space, recipe.neck, data.identities, recipe.macro)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
                for tensor in (module.weight, module.running_var):
                    assert tensor is not None
                    tensor.uniform_(0.5, 1.5, generator=generator)
                assert module.running_mean is not None
                module.running_mean.uniform_(-0.3, 0.3, generator=generator)
    return model.state_dict()


def alone(
    recipe: SearchRecipe, genotype: Genotype, weights: dict[str, torch.Tensor], classes: int
) -> torch.nn.Module:
    """The genotype's own network with the weights that the supernet hands down: no branches are in play."""
    model = build_network(genotype, recipe.neck, classes, recipe.macro)
    supernet = find_space(recipe.space).supernet(recipe.macro)
    supernet.load_state_dict({k.removeprefix("supernet."): v for k, v in weights.items() if "neck" not in k})
    model.backbone.load_state_dict(supernet.inherited(genotype))
    model.neck.load_state_dict({k.removeprefix("neck."): v for k, v in weights.items() if "neck" in k})
    return model.eval()


SPLITS = [Split(held_out=2), Split(name="by-image"), Split(name="by-identity", fraction=0.5)]


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: split.name)
def test_a_genotype_scores_in_the_supernet_on_the_images_that_its_search_held_out(
    split: Split, small_data: PreparedData
) -> None:
    objective = {"alpha_objective.cross_entropy": 0} if split.name == "by-identity" else {}
    recipe = override(RECIPE, objective)
    recipe = override(recipe, {"split.name": split.name, "split.fraction": split.fraction})
    weights = supernet_weights(recipe, small_data)
    genotype = find_space("cs-v1").sample(torch.Generator().manual_seed(3))
    scores = score_in_supernet(recipe, genotype, weights, small_data, split_seed=5, execution=CPU)

    run = SearchRun(recipe, small_data, split_seed=5, search_seed=0, execution=CPU)
    rows = run.held_out.rows
    model: Any = alone(recipe, genotype, weights, small_data.identities)
    with torch.inference_mode():
        features = model.embed(normalise(torch.from_numpy(np.array(small_data.images[rows])))).numpy()
    index = small_data.index
    expected = naive_map(features, index.identities[rows], index.cameras[rows])
    assert scores.mean_average_precision == pytest.approx(expected, abs=1e-6)
    assert len(scores.valid) == len(rows)


def test_batches_of_an_evaluation_do_not_matter_and_are_counted(small_data: PreparedData) -> None:
    weights = supernet_weights(RECIPE, small_data)
    genotype = find_space("cs-v1").sample(torch.Generator().manual_seed(3))
    beats: list[int] = []
    found = [
        score_in_supernet(
            RECIPE,
            genotype,
            weights,
            small_data,
            split_seed=0,
            execution=Execution(device="cpu", threads=1, evaluation_batch=size),
            pulse=lambda size=size: beats.append(size),  # type: ignore[misc]
        ).mean_average_precision
        for size in (4, 16)
    ]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert beats == [4] * 4 + [16]


@pytest.mark.parametrize(
    ("identities", "cameras", "words"),
    [
        ([1, 1, 2, 2], [1, 1, 2, 2], "no mAP from 4 images of 2 identities, 0 of which"),
        ([1, 1, 1], [1, 2, 3], "no mAP from 3 images of 1 identity, 1 of which"),
    ],
)
def test_images_that_cannot_be_ranked_are_refused(
    identities: list[int], cameras: list[int], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        check_ranking(np.array(identities), np.array(cameras), "the images", "Hold out more.")
    assert str(caught.value).startswith(f"the images: {words}")
    assert str(caught.value).endswith("Hold out more.")


def one_camera(identities: list[int]) -> PreparedData:
    """Made-up images that one camera saw all, and the protocol for these."""
    data = made_up(identities, [1] * len(identities))
    return replace(data, index=replace(data.index, single_camera=True))


def test_of_one_camera_an_image_is_ranked_against_all_but_itself() -> None:
    data = one_camera([1, 1, 1, 2, 2, 2, 3])
    rows = np.arange(7)
    scores = score_within(lambda x: x.flatten(1), data, rows, device="cpu", precision="fp32", batch=4)
    features = normalise(torch.from_numpy(np.array(data.images[rows]))).flatten(1).numpy()
    expected = naive_map(features, data.index.identities, rows)
    assert scores.mean_average_precision == pytest.approx(expected, abs=1e-6)
    assert scores.valid.tolist() == [True] * 6 + [False]


def test_of_one_camera_a_part_is_ranked_without_itself_alone() -> None:
    index = divided(one_camera([1, 1, 2, 2, 3, 3, 4, 4]), 0.5, seed=0).index
    query, gallery = index.rows("query"), index.rows("gallery")
    assert np.array_equal(index.cameras[query], index.cameras[gallery])
    assert len(np.unique(index.cameras[query])) == 4
    with pytest.raises(InputError, match="no mAP from 2 images of 2 identities, 0 of which have a match"):
        divided(one_camera([1, 2, 3, 4]), 0.5, seed=0)


def test_without_a_match_a_search_has_no_score() -> None:
    data = made_up([1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 2, 2, 2, 2])
    genotype = find_space("cs-v1").sample(torch.Generator())
    with pytest.raises(InputError, match="the images that the search held out: no mAP from 4 images of 2"):
        score_in_supernet(RECIPE, genotype, {}, data, split_seed=0, execution=CPU)


def test_the_training_set_divides_into_a_data_set_of_its_own(small_data: PreparedData) -> None:
    """Of 8 identities a quarter is held out; every image keeps its pixels and camera."""
    part = divided(small_data, 0.25, seed=3)
    index, whole = part.index, small_data.index
    rows = {split: index.rows(split) for split in ("train", "query", "gallery")}
    assert {split: len(found) for split, found in rows.items()} == {"train": 36, "query": 12, "gallery": 12}
    assert part.identities == 6
    assert len(np.unique(index.identities[rows["query"]])) == 2
    assert not np.isin(index.identities[rows["train"]], index.identities[rows["query"]]).any()
    assert index.identities.min() >= 1
    origin = {name: row for row, name in enumerate(whole.names)}
    for row, name in enumerate(index.names):
        source = origin[name.split("/", 1)[1]]
        assert whole.splits[source] == "train"
        assert (part.images[np.array([row])] == small_data.images[np.array([source])]).all()
        assert index.cameras[row] == whole.cameras[source]
    # A model file of such a training says in these numbers whom it was trained on.
    sources = [origin[name.split("/", 1)[1]] for name in index.names]
    assert np.array_equal(index.identities, whole.identities[sources])
    assert divided(small_data, 0.25, seed=3).index.names == index.names
    assert divided(small_data, 0.25, seed=4).index.names != index.names


def test_too_few_identities_cannot_be_divided(small_data: PreparedData) -> None:
    with pytest.raises(InputError, match=r"^fraction: 0\.1 of 8 identities: no mAP .* Use a larger fraction"):
        divided(small_data, 0.1, seed=0)
