"""Ranked lists, activation maps, features: the right images in the right order, and maps of every network."""

from __future__ import annotations

import dataclasses
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from autoreid.data.augment import normalise
from autoreid.data.index import ImageIndex
from autoreid.errors import DivergedError, InputError
from autoreid.evaluation import canvas, pictures
from autoreid.evaluation.activations import draw_activations, heat, overlaid, stage_maps
from autoreid.evaluation.features import Features, of_test_images
from autoreid.evaluation.loss_features import IMAGES, feature_file, loss_features, most_seen, rows_of
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranked_lists import RankedList, choose_queries, find_queries, ranked_lists
from autoreid.evaluation.ranked_pictures import draw_ranked
from autoreid.evaluation.ranking import RankingScores, rank_features
from autoreid.evaluation.sides import DEFAULT_MEMORY
from autoreid.feed import PreparedData
from autoreid.models.assembly import ReIDModel, build_network, initialise
from autoreid.models.necks import build_neck
from autoreid.recipes import Neck
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES
from search_spaces.space import Backbone, FeatureMaps

TINY = Macro(channels=4, layers=(1, 1, 1, 1), width_multiplier=0.25)
RERANKED = Protocol(reranking=Reranking(k1=4, k2=2))


def model_of(neck: Neck | None = None, identities: int = 8) -> ReIDModel:
    model = build_network(PUBLISHED["cdnet-top1"], neck or Neck(), identities, TINY)
    initialise(model, torch.Generator().manual_seed(0))
    return model.eval()


@pytest.fixture(scope="module")
def model() -> ReIDModel:
    return model_of()


def index_of(rows: list[tuple[str, int, int]]) -> ImageIndex:
    """An index of (split, identity, camera), in the order of the names that it gives them."""
    names = tuple(
        f"{split}/{number:03}_{who}_c{camera}.jpg" for number, (split, who, camera) in enumerate(rows)
    )
    order = np.argsort(names, kind="stable")
    arrays = (np.array([row[i] for row in rows])[order] for i in (1, 2, 0))
    identities, cameras, splits = arrays
    return ImageIndex(Path("nowhere"), tuple(sorted(names)), identities, cameras, splits)


def of_index(index: ImageIndex, seed: int = 0, dim: int = 6) -> Features:
    random = np.random.default_rng(seed)
    parts: dict[str, Any] = {}
    for side in ("query", "gallery"):
        rows = index.rows(side)
        parts[f"{side}_features"] = random.normal(size=(len(rows), dim)).astype(np.float32)
        parts |= {f"{side}_ids": index.identities[rows], f"{side}_cameras": index.cameras[rows]}
    return Features(**parts)


def crowd() -> ImageIndex:
    """Five people under three cameras, with junk, distractors, and a query that has no match."""
    rows = [("query", who, camera) for who in range(1, 6) for camera in (1, 2)]
    rows += [("gallery", who, camera) for who in range(1, 6) for camera in (1, 2, 3, 3)]
    return index_of([*rows, *[("gallery", who, 2) for who in (-1, -1, 0, 0, 0)], ("query", 9, 1)])


def listed(
    index: ImageIndex, found: Features, protocol: Protocol, top: int = 99
) -> tuple[list[RankedList], RankingScores]:
    from autoreid.evaluation.scoring import score_features

    scored = score_features(found, protocol)
    scores = scored.reranked or scored.scores
    every = np.arange(len(index.rows("query")))
    return ranked_lists(found, index, protocol, scores, every, top=top), scores


@pytest.mark.parametrize("same_camera_ignored", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
def test_lists_are_those_of_a_naive_ranking(same_camera_ignored: bool, normalised: bool) -> None:
    index = crowd()
    found = of_index(index)
    protocol = Protocol(normalised=normalised, same_camera_ignored=same_camera_ignored)
    lists, _ = listed(index, found, protocol, top=7)
    for number, ranked in enumerate(lists):
        who, camera = found["query_ids"][number], found["query_cameras"][number]
        near = []
        for place, row in enumerate(index.rows("gallery").tolist()):
            own = index.identities[row] == who and index.cameras[row] == camera
            if index.identities[row] == -1 or (own and same_camera_ignored):
                continue
            pair = [found["query_features"][number], found["gallery_features"][place]]
            a, b = (v.astype(float) / (np.linalg.norm(v.astype(float)) if normalised else 1) for v in pair)
            near.append((float(np.linalg.norm(a - b)), row))
        near.sort()
        assert ranked.query == index.rows("query")[number]
        assert ranked.gallery.tolist() == [row for _, row in near[:7]]
        assert ranked.distances == pytest.approx([distance for distance, _ in near[:7]], abs=1e-9)
        assert ranked.right.tolist() == [bool(index.identities[row] == who) for _, row in near[:7]]


@pytest.mark.parametrize("protocol", [Protocol(), RERANKED], ids=["plain", "re-ranked"])
def test_whole_lists_have_the_scores_that_are_reported(protocol: Protocol) -> None:
    index = crowd()
    lists, scores = listed(index, of_index(index), protocol)
    place = 0
    for number, ranked in enumerate(lists):
        if not scores.valid[number]:
            assert (ranked.average_precision, ranked.first_rank) == (None, None)
            assert not ranked.right.any()
            continue
        ranks = np.flatnonzero(ranked.right) + 1
        mean = float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        assert ranked.average_precision == pytest.approx(mean) == scores.average_precisions[place]
        assert ranked.first_rank == ranks[0]
        place += 1
    assert place == 10


def test_a_match_stands_after_others_at_its_distance() -> None:
    index = index_of([("query", 1, 1), ("gallery", 1, 2), ("gallery", 2, 2), ("gallery", 3, 2)])
    found = of_index(index)
    found["gallery_features"][:] = found["gallery_features"][0]
    (ranked,), _ = listed(index, found, Protocol())
    assert ranked.right.tolist() == [False, False, True]
    assert ranked.gallery.tolist() == [1, 2, 0]
    assert len(set(ranked.distances.tolist())) == 1


def test_hardest_queries_come_first_and_others_at_random() -> None:
    index = crowd()
    scores = rank_features(**of_index(index, seed=3))
    queries = choose_queries(scores, 6)
    assert len(set(queries.tolist())) == 6 and scores.valid[queries].all()
    places = np.cumsum(scores.valid) - 1
    precisions = scores.average_precisions[places[queries]]
    assert precisions[:3].tolist() == sorted(scores.average_precisions.tolist())[:3]
    assert queries[3:].tolist() == sorted(queries[3:].tolist())
    assert choose_queries(scores, 6).tolist() == queries.tolist()
    others = {tuple(choose_queries(scores, 6, seed)[3:].tolist()) for seed in range(20)}
    assert len(others) > 5
    assert sorted(choose_queries(scores, 99).tolist()) == np.flatnonzero(scores.valid).tolist()


def test_queries_are_found_by_their_names() -> None:
    index = index_of([("query", 1, 1), ("query", 2, 1), ("gallery", 1, 2)])
    first, second = (index.names[row] for row in index.rows("query"))
    assert find_queries(index, [second, first, second]).tolist() == [1, 0]
    assert find_queries(index, [Path(first).name]).tolist() == [0]
    near = second.replace("_c1", "_c7")
    with pytest.raises(InputError) as caught:
        find_queries(index, [near, first, "zzz"])
    assert caught.value.problems == (
        f"--query: no query image {near!r} among 2. Did you mean {second!r}?",
        f"--query: no query image 'zzz' among 2. Give a name such as {first!r}.",
    )


def test_a_file_name_of_two_queries_needs_its_folder() -> None:
    parts = ("a/1.jpg", "b/1.jpg")
    index = ImageIndex(Path("nowhere"), parts, np.array([1, 2]), np.array([1, 1]), np.array(["query"] * 2))
    assert find_queries(index, ["b/1.jpg"]).tolist() == [1]
    with pytest.raises(InputError, match=r"several queries: a/1.jpg, b/1.jpg. Give the folder too"):
        find_queries(index, ["1.jpg"])


def pixels_of(png: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "RGB")
    return np.asarray(image)


def places_of(picture: np.ndarray, image: np.ndarray) -> list[tuple[int, int]]:
    """Where an image, (3, height, width), stands in a picture: (x, y) of its upper left corner."""
    wanted = image.transpose(1, 2, 0)
    high, wide = wanted.shape[:2]
    starts = np.argwhere((picture[: -high + 1, : -wide + 1] == wanted[0, 0]).all(2))
    return [(x, y) for y, x in starts.tolist() if (picture[y : y + high, x : x + wide] == wanted).all()]


def test_a_picture_holds_the_images_in_the_order_of_the_list_with_their_frames(
    small_data: PreparedData,
) -> None:
    data, index = small_data, small_data.index
    found = of_index(index)
    people = np.eye(6, dtype=np.float32)
    found["query_features"] += people[found["query_ids"] % 6]  # what a feature says is partly who it is
    found["gallery_features"] += people[found["gallery_ids"] % 6]
    protocol = Protocol()
    lists = ranked_lists(found, index, protocol, rank_features(**found), np.array([7, 3, 0, 12]), top=6)
    assert {True, False} <= {bool(right) for ranked in lists for right in ranked.right}
    picture = pixels_of(draw_ranked(lists, data.images, index, protocol))
    assert picture.shape[0] < 4 * 130 and picture.shape[1] < 700
    height = 0
    for ranked in lists:
        (start,) = [place for place in places_of(picture, data.images[ranked.query]) if place[1] > height]
        before, height = start
        assert (picture[height - 1, before - 1] == canvas.FRAMES["query"]).all()
        for row, right in zip(ranked.gallery.tolist(), ranked.right.tolist(), strict=True):
            ((x, _),) = [place for place in places_of(picture, data.images[row]) if place[1] == height]
            assert x > before
            colour = canvas.FRAMES["right" if right else "wrong"]
            border = picture[height - canvas.FRAME : height + 64 + canvas.FRAME, x - canvas.FRAME : x]
            assert (border == colour).all()
            below = picture[height + 64 + canvas.FRAME + 1 :][:14, x - canvas.FRAME :][:, : canvas.MARK]
            assert (below == colour).all(2).any()  # the mark says the same
            before = x


def test_ticks_and_crosses_differ_in_shape_too() -> None:
    marks = {}
    for verdict in ("right", "wrong", "query"):
        image, pen = canvas.sheet(canvas.MARK, canvas.MARK)
        canvas.mark(pen, 0, 0, verdict)  # type: ignore[arg-type]
        marks[verdict] = (np.asarray(image) != canvas.PAPER).any(2)
    assert not marks["query"].any()
    assert (marks["right"] != marks["wrong"]).sum() > 10
    assert (marks["wrong"] == marks["wrong"][::-1]).mean() > 0.8  # a cross is the same upside down


def test_large_images_are_made_smaller_and_small_ones_stay() -> None:
    big = np.random.default_rng(0).integers(0, 256, (3, 384, 128), dtype=np.uint8)
    assert canvas.shown(big).size == (43, 128)
    small = big[:, :64, :32]
    assert (np.asarray(canvas.shown(small)) == small.transpose(1, 2, 0)).all()


def test_pictures_hold_no_times_and_no_names() -> None:
    data = canvas.png(Image.new("RGB", (4, 4)))
    place, kinds = 8, []
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        kinds.append(data[place + 4 : place + 8])
        assert zlib.crc32(data[place + 4 : place + 8 + size]) == int.from_bytes(
            data[place + 8 + size : place + 12 + size], "big"
        )
        place += 12 + size
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


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
    halved = {"cs-v1": (2, 3, 4), "cds-v1": (2, 3, 4), "resnet-stride1-v1": (2, 3, 4, 4)}
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
        rows_of(index, [8, 7, 44])
    assert caught.value.problems == (
        "--identity 8: no query or gallery image shows this person.",
        "--identity 44: no query or gallery image shows this person.",
        "--identity: most images show 7, 2, 5, 3.",
    )


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

    def drawn() -> dict[str, bytes]:
        return pictures.draw(model, small_data, found, protocol, device="cpu", memory=DEFAULT_MEMORY)

    files = drawn()
    assert list(files) == ["pictures-ranked.png", "pictures-activations.png", "features.npz"]
    assert files == drawn()
    assert all(pixels_of(files[name]).size for name in list(files)[:2])
    plain = pictures.draw(model, small_data, found, Protocol(), device="cpu", memory=DEFAULT_MEMORY)
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


def test_one_camera_counts_where_the_data_set_says_so(small_data: PreparedData) -> None:
    index = dataclasses.replace(crowd(), cameras=np.ones(len(crowd()), dtype=np.int64))
    lists, scores = listed(index, of_index(index), Protocol(same_camera_ignored=False))
    assert scores.queries == 10
    assert all(ranked.right.sum() == 4 for ranked in lists if ranked.average_precision is not None)
