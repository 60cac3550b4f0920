"""Features of images: order, batches, memory maps, precision, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from autoreid.data.augment import normalise
from autoreid.data.index import ImageIndex
from autoreid.errors import InputError, RunError
from autoreid.evaluation.features import extract, of_test_images
from autoreid.evaluation.ranking import rank_features


def images_of(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 2), dtype=np.uint8)


def flat(images: Tensor) -> Tensor:
    return images.flatten(1)


def make_index(identities: list[int], cameras: list[int], splits: list[str]) -> ImageIndex:
    return ImageIndex(
        root=Path("images"),
        names=tuple(f"{row:04d}.jpg" for row in range(len(splits))),
        identities=np.array(identities),
        cameras=np.array(cameras),
        splits=np.array(splits),
    )


@pytest.mark.parametrize("batch", [1, 4, 7, 100])
def test_features_follow_the_rows_whatever_the_batch(batch: int) -> None:
    images = images_of(9)
    rows = np.array([8, 0, 3, 3, 5, 1, 2])
    features = extract(flat, images, rows, device="cpu", batch=batch)
    expected = torch.stack([normalise(torch.from_numpy(images[row : row + 1]))[0].flatten() for row in rows])
    assert features.dtype == np.float32
    assert np.array_equal(features, expected.numpy())


def test_images_may_be_a_read_only_memory_map(tmp_path: Path) -> None:
    images = images_of(5)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    rows = np.arange(5)
    assert np.array_equal(
        extract(flat, mapped, rows, device="cpu"), extract(flat, images, rows, device="cpu")
    )


def test_no_gradient_and_no_graph_is_kept() -> None:
    layer = torch.nn.Linear(24, 3)
    seen = []

    def embed(images: Tensor) -> Tensor:
        features: Tensor = layer(images.flatten(1))
        seen.append(features.requires_grad)
        return features

    extract(embed, images_of(4), np.arange(4), device="cpu", batch=2)
    assert seen == [False, False]


def test_bf16_runs_under_autocast_and_answers_in_float32() -> None:
    layer = torch.nn.Linear(24, 3)
    seen = []

    def embed(images: Tensor) -> Tensor:
        features: Tensor = layer(images.flatten(1))
        seen.append(features.dtype)
        return features

    for precision in ("fp32", "bf16"):
        assert (
            extract(embed, images_of(2), np.arange(2), device="cpu", precision=precision).dtype == np.float32
        )
    assert seen == [torch.float32, torch.bfloat16]


def test_features_that_are_not_finite_end_the_run() -> None:
    images = images_of(6)
    images[4] = 0

    def embed(batch: Tensor) -> Tensor:
        features = batch.flatten(1).clone()
        features[(batch < -1.5).all(dim=3).all(dim=2).all(dim=1)] = float("nan")
        return features

    with pytest.raises(RunError, match=r"1 of 3 images .* the first is row 4 of the data set"):
        extract(embed, images, np.arange(6), device="cpu", batch=3)


def test_mistakes_in_the_settings_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        extract(flat, images_of(1), np.arange(0), device="cpu", batch=0, precision="fp16")
    rows, batch, precision = caught.value.problems
    assert rows.startswith("rows: empty")
    assert batch.startswith("batch: 0 is too small")
    assert precision.startswith("precision: no precision 'fp16'. Did you mean 'bf16'?")


def test_queries_are_ranked_against_the_gallery_and_the_network_never_sees_the_training_split() -> None:
    images = images_of(9)
    images[5] = images[3]  # the match of the first query
    index = make_index(
        [1, 2, 3, 7, 8, 7, 8, 0, -1],
        [1, 1, 1, 1, 2, 3, 3, 1, 1],
        ["train"] * 3 + ["query"] * 2 + ["gallery"] * 4,
    )
    seen = []

    def embed(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return batch.flatten(1)

    scores = rank_features(**of_test_images(embed, images, index, device="cpu"))
    assert seen == [2, 4]
    features = extract(flat, images, np.arange(3, 9), device="cpu")
    expected = rank_features(
        features[:2],
        features[2:],
        query_ids=index.identities[3:5],
        query_cameras=index.cameras[3:5],
        gallery_ids=index.identities[5:],
        gallery_cameras=index.cameras[5:],
    )
    assert scores.average_precisions[0] == 1.0
    assert scores.average_precisions.tolist() == expected.average_precisions.tolist()


def test_a_data_set_without_query_and_gallery_is_an_error() -> None:
    index = make_index([1, 2], [1, 2], ["train", "train"])
    with pytest.raises(InputError) as caught:
        of_test_images(flat, images_of(2), index, device="cpu")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["query", "gallery"]


def test_flip_takes_the_mean_over_image_and_mirror_image() -> None:
    images = images_of(5)
    index = make_index([7, 8, 7, 8, 0], [1, 1, 2, 2, 1], ["query"] * 2 + ["gallery"] * 3)
    mirrored = np.ascontiguousarray(images[:, :, :, ::-1])
    assert not np.array_equal(images, mirrored)
    found = of_test_images(flat, images, index, device="cpu", batch=2, flip=True)
    plain, other = (of_test_images(flat, given, index, device="cpu") for given in (images, mirrored))
    np.testing.assert_array_equal(
        found["query_features"], (plain["query_features"] + other["query_features"]) / 2
    )
    np.testing.assert_array_equal(
        found["gallery_features"], (plain["gallery_features"] + other["gallery_features"]) / 2
    )
    # Of an image and its mirror image the features are the same ones.
    again = of_test_images(flat, mirrored, index, device="cpu", flip=True)
    np.testing.assert_array_equal(again["query_features"], found["query_features"])
    without = of_test_images(flat, images, index, device="cpu", flip=False)
    np.testing.assert_array_equal(without["query_features"], plain["query_features"])
