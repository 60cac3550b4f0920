"""Activation maps of every network, the features that losses see, and the files of an evaluation."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from drawn_people import TINY, index_of, model_of, pixels_of, places_of
from torch import nn

from autoreid.data.augment import normalise
from autoreid.errors import DivergedError, InputError
from autoreid.evaluation import pictures
from autoreid.evaluation.activations import draw_activations, heat, overlaid, stage_maps
from autoreid.evaluation.features import of_test_images
from autoreid.evaluation.loss_features import IMAGES, feature_file, loss_features, most_seen, rows_of
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.scoring import score_features
from autoreid.evaluation.sides import DEFAULT_MEMORY
from autoreid.feed import PreparedData
from autoreid.models.assembly import ReIDModel, build_network, initialise
from autoreid.models.necks import build_neck
from autoreid.recipes import Neck
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES
from search_spaces.space import Backbone, FeatureMaps

RERANKED = Protocol(reranking=Reranking(k1=4, k2=2))


@pytest.fixture(scope="module")
def model() -> ReIDModel:
    return model_of()


@pytest.mark.parametrize("space", sorted(SPACES))
def test_every_network_shows_the_maps_of_its_stages(space: str) -> None:
    genotype = SPACES[space].sample(torch.Generator().manual_seed(1))
    if space == "resnet-v1":
        genotype = PUBLISHED["resnet18"]
    model = build_network(genotype, Neck(), 5, TINY)
    initialise(model, torch.Generator().manual_seed(0))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 32), dtype=np.uint8)
    model.train()
    maps = stage_maps(model, pixels, "cpu")
    assert not model.training
    assert not any(module._forward_hooks for module in model.modules())
    halved = {
        "cs-v1": (2, 3, 4),
        "cds-v1": (2, 3, 4),
        "cds-std-v1": (2, 3, 4),
        "osnet-v1": (2, 3, 4),
        "resnet-stride1-v1": (2, 3, 4, 4),
    }
    shapes = [(2, 64 >> times, 32 >> times) for times in halved.get(space, (2, 3, 4, 5))]
    assert [found.shape for found in maps] == shapes
    with torch.inference_mode():
        last = model.backbone(normalise(torch.from_numpy(pixels))).last
    norms = last.square().sum(1).sqrt().flatten(1)
    low, high = norms.min(1, keepdim=True)[0], norms.max(1, keepdim=True)[0]
    expected = ((norms - low) / (high - low).clamp_min(1e-30)).numpy().reshape(maps[-1].shape)
    assert maps[-1] == pytest.approx(expected, abs=1e-5)
    for found in maps:
        if found[0].size > 1:
            assert found.min() == 0 and found.max() == pytest.approx(1)


class Plain(Backbone):
    """A backbone of somebody else, which names no stages."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.channels = (4, 6)

    def forward(self, images: torch.Tensor) -> FeatureMaps:
        middle = self.first(images)
        return FeatureMaps(middle, self.second(middle))


def test_a_backbone_that_names_no_stages_shows_its_two_maps() -> None:
    backbone = Plain()
    model = ReIDModel(backbone, build_neck(Neck(name="blneck"), backbone.channels, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 16, 8), dtype=np.uint8)
    assert [found.shape for found in stage_maps(model, pixels, "cpu")] == [(1, 8, 4), (1, 4, 2)]


def test_heat_is_brighter_where_the_map_is_larger() -> None:
    light = heat(np.linspace(0, 1, 101)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > -0.6).all() and light[-1] - light[0] > 150
    image = np.full((3, 40, 20), 128, dtype=np.uint8)
    values = np.zeros((4, 2), dtype=np.float32)
    values[3, 1] = 1.0
    shown = np.asarray(overlaid(image, values)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert shown.shape == (40, 20)
    assert np.unravel_index(shown.argmax(), shown.shape) >= (35, 15)
    assert shown[:20].max() < shown[38, 18] - 60


def test_activations_are_drawn_for_the_stages_that_are_asked_for(
    small_data: PreparedData, model: ReIDModel
) -> None:
    data, rows = small_data, small_data.index.rows("query")[:3]
    whole = pixels_of(draw_activations(model, data.images, data.index, rows, device="cpu"))
    one = pixels_of(draw_activations(model, data.images, data.index, rows, device="cpu", stages=[2]))
    for row in rows:
        assert len(places_of(whole, data.images[row])) == len(places_of(one, data.images[row])) == 1
    pixels = np.asarray(data.images[rows])
    maps = stage_maps(model, pixels, "cpu")
    for number in range(3):
        blended = np.asarray(overlaid(pixels[number], maps[1][number])).transpose(2, 0, 1)
        assert len(places_of(one, blended)) == len(places_of(whole, blended)) == 1
        missing = np.asarray(overlaid(pixels[number], maps[0][number])).transpose(2, 0, 1)
        assert (len(places_of(one, missing)), len(places_of(whole, missing))) == (0, 1)
    with pytest.raises(InputError) as caught:
        draw_activations(model, data.images, data.index, rows, device="cpu", stages=[0, 1, 9])
    assert caught.value.problems == (
        "--stage 0: the network's stages are 1 to 3.",
        "--stage 9: the network's stages are 1 to 3.",
    )


@pytest.mark.parametrize(
    "neck", [Neck(), Neck(name="blneck"), Neck(name="bnneck"), Neck(name="embedding")], ids=lambda n: n.name
)
def test_loss_features_are_what_the_losses_see(neck: Neck) -> None:
    model = model_of(neck)
    images = torch.rand(5, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        branch = model(images)[0]
        found = model.loss_features(images)
        classifier = (
            model.neck.balance.classifier if hasattr(model.neck, "balance") else model.neck.classifier
        )
        logits = classifier(found["f_fc"])  # type: ignore[operator]
    assert list(found) == ["f_tri", "f_fc"]
    assert torch.equal(found["f_tri"], branch.feature)
    assert torch.allclose(logits, branch.logits, atol=1e-6)


def test_the_people_with_the_most_test_images_are_taken() -> None:
    rows = [("gallery", 5, 1)] * 3 + [("gallery", 0, 1)] * 9 + [("gallery", -1, 1)] * 9
    rows += [("gallery", 2, 1), ("query", 2, 1), ("query", 2, 2)] + [("gallery", 7, 1)] * 4
    index = index_of([*rows, ("gallery", 3, 1), *[("train", 8, 1)] * 9])
    assert most_seen(index) == [7, 2, 5, 3]
    assert most_seen(index, 2) == [7, 2]
    assert index.identities[rows_of(index, [5, 2])].tolist() == [5, 5, 5, 2, 2, 2]
    with pytest.raises(InputError) as caught:
        rows_of(index, [8, 7, 44, 0, -1])
    assert caught.value.problems == (
        "--identity 8: no query or gallery image shows this person.",
        "--identity 44: no query or gallery image shows this person.",
        "--identity 0: no query or gallery image shows this person.",
        "--identity -1: no query or gallery image shows this person.",
        "--identity: most images show 7, 2, 5, 3.",
    )


def test_a_set_without_test_images_has_nobody_to_take() -> None:
    index = index_of([("train", 8, 1)])
    with pytest.raises(InputError, match="no query or gallery image shows anyone"):
        rows_of(index, most_seen(index))


def test_of_people_with_many_images_some_are_taken_evenly() -> None:
    index = index_of([("gallery", 1, 1)] * (2 * IMAGES + 1))
    rows = rows_of(index, [1])
    assert len(rows) == IMAGES and rows[0] == 0 and rows[-1] == 2 * IMAGES
    assert set(np.diff(rows).tolist()) <= {2, 3}


def test_a_feature_file_holds_features_and_labels(small_data: PreparedData, model: ReIDModel) -> None:
    data = small_data
    people = most_seen(data.index, 3)
    written = feature_file(model, data.images, data.index, people, device="cpu")
    assert written == feature_file(model, data.images, data.index, people, device="cpu")
    with np.load(io.BytesIO(written), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    rows = rows_of(data.index, people)
    assert {name: array.dtype.str for name, array in arrays.items()} == {
        "f_tri": "<f4",
        "f_fc": "<f4",
        "identities": "<i8",
        "cameras": "<i8",
    }
    assert arrays["identities"].tolist() == data.index.identities[rows].tolist()
    assert arrays["cameras"].tolist() == data.index.cameras[rows].tolist()
    by_two = loss_features(model, data.images, rows, device="cpu", batch=2)
    assert arrays["f_tri"] == pytest.approx(by_two["f_tri"], abs=1e-5)
    assert arrays["f_fc"] == pytest.approx(by_two["f_fc"], abs=1e-4)


@pytest.mark.parametrize("protocol", [Protocol(), RERANKED], ids=["plain", "re-ranked"])
def test_an_evaluation_leaves_three_files_and_the_same_ones_again(
    small_data: PreparedData, model: ReIDModel, protocol: Protocol
) -> None:
    found = of_test_images(model.embed, small_data.images, small_data.index, device="cpu")

    def drawn(protocol: Protocol) -> dict[str, bytes]:
        scored = score_features(found, protocol)
        scores = scored.reranked or scored.scores
        return pictures.draw(
            model, small_data, found, protocol, scores, device="cpu", batch=128, memory=DEFAULT_MEMORY
        )

    files = drawn(protocol)
    assert list(files) == ["pictures-ranked.png", "pictures-activations.png", "features.npz"]
    assert files == drawn(protocol)
    assert all(pixels_of(files[name]).size for name in list(files)[:2])
    plain = drawn(Protocol())
    assert (files["pictures-ranked.png"] == plain["pictures-ranked.png"]) == (protocol.reranking is None)


def test_weights_that_are_not_finite_are_named(small_data: PreparedData) -> None:
    broken = model_of()
    with torch.no_grad():
        next(broken.backbone.parameters()).fill_(torch.nan)
    rows = small_data.index.rows("query")[:2]
    with pytest.raises(DivergedError, match="activation maps: NaN or infinite"):
        draw_activations(broken, small_data.images, small_data.index, rows, device="cpu")
    with pytest.raises(DivergedError, match="features f_tri, f_fc: NaN or infinite"):
        loss_features(broken, small_data.images, rows, device="cpu")
