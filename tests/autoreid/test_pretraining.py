"""Pretraining by classification: from a folder and from CIFAR-100, exactly repeatable, its weights used."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from autoreid.attempts import Attempt, Outcome
from autoreid.calls import pretrain, train
from autoreid.data.classes import (
    READERS,
    Classes,
    Samples,
    crop_of,
    for_training,
    for_validation,
    loaded,
    open_classes,
)
from autoreid.data.source import CLASS_SETS, ClassSource, DataSource
from autoreid.data.streams import generator
from autoreid.epoch_columns import EPOCH_COLUMNS
from autoreid.errors import InputError, InterruptionError, StorageError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.jobs import Job, pretrain_job, train_job
from autoreid.pretrain_commands import PRETRAIN
from autoreid.pretrain_recipes import CDNET_PRETRAIN, PRETRAIN_RECIPES, PretrainRecipe
from autoreid.pretraining import PretrainRun, epoch_batches
from autoreid.published import CDNET_TRAIN
from autoreid.records import measured
from autoreid.rehearsal import rehearse_job
from autoreid.running import run_job
from autoreid.snapshots import from_bytes
from autoreid.storage import Storage
from autoreid.values import override
from search_spaces.published import PUBLISHED

CNET = PUBLISHED["cnet-top2"]
CPU = Execution(device="cpu", threads=1)
SIZE = {"height": 32, "width": 32, "width_multiplier": 0.1, "epochs": 2}
RECIPE = override(CDNET_PRETRAIN, SIZE | {"batch": 8, "optimizer.learning_rate": 0.05})
COLOURS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy colours: ten images of each to train on, four to validate."""
    root, random = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for split, count in (("train", 10), ("val", 4)):
        for name, colour in COLOURS.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                noise = random.integers(-30, 30, (40 + number, 50, 3))
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture
def colours(folder: Path, cache: Path) -> Classes:
    return open_classes("imagefolder", folder, cache=cache)


def test_a_folder_is_read_image_by_image(colours: Classes, folder: Path) -> None:
    assert colours.names == ("blue", "green", "red")
    assert np.bincount(colours.train.labels).tolist() == [10, 10, 10]
    assert np.bincount(colours.validation.labels).tolist() == [4, 4, 4]
    for number in (0, 13, 29):
        pixel = np.array(colours.train.read(number)).mean((0, 1))
        assert pixel.argmax() == {0: 2, 1: 1, 2: 0}[int(colours.train.labels[number])]


def test_the_fingerprint_is_of_the_content(colours: Classes, folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(copy / ".autoreid", ignore_errors=True)
    assert open_classes("imagefolder", copy, cache=tmp_path).fingerprint == colours.fingerprint
    (copy / "val/red/0.png").write_bytes((copy / "val/red/1.png").read_bytes())
    assert open_classes("imagefolder", copy, cache=tmp_path).fingerprint != colours.fingerprint


def test_bad_folders_are_refused(folder: Path, tmp_path: Path, colours: Classes) -> None:
    with pytest.raises(InputError, match="Give a folder with train/CLASS"):
        open_classes("imagefolder", tmp_path)
    (tmp_path / "train/a").mkdir(parents=True)
    (tmp_path / "val/b").mkdir(parents=True)
    for name in ("train/a/0.png", "val/b/0.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    with pytest.raises(InputError, match="classes in one of train and val only: a, b"):
        open_classes("imagefolder", tmp_path)
    with pytest.raises(InputError, match="no data set 'cifar10'"):
        open_classes("cifar10", tmp_path)
    with pytest.raises(InputError, match="batch: 31 images, but the training set has 30"):
        PretrainRun(replace(RECIPE, batch=31), CNET, colours, train_seed=0, execution=CPU)


def test_cifar_100_is_read_where_it_is_and_never_fetched_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*given: Any, **named: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", refused)
    with pytest.raises(InputError) as error:
        open_classes("cifar100", tmp_path)
    assert error.value.problems == (
        f"data: {tmp_path}: CIFAR-100 is not there, or damaged. Put cifar-100-python into that folder, or "
        "fetch it with autoreid pretrain --download.",
    )
    with pytest.raises(AssertionError, match="fetched"):
        open_classes("cifar100", tmp_path, download=True)
    random, home = np.random.default_rng(0), tmp_path / "cifar-100-python"
    home.mkdir()
    kind: Any = torchvision.datasets.CIFAR100
    sums = {}
    for name, count in (("train", 6), ("test", 4), ("meta", 0)):
        pixels = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        content = {"data": pixels, "fine_labels": list(range(count)), "fine_label_names": list("abcdef")}
        (home / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((home / name).read_bytes()).hexdigest()
    monkeypatch.setattr(kind, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(kind, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": sums["meta"]})
    found = open_classes("cifar100", tmp_path)
    assert (found.train.labels.tolist(), found.validation.labels.tolist()) == ([*range(6)], [*range(4)])
    assert found.names == tuple("abcdef") and found.train.read(5).size == (32, 32)


def test_an_epoch_takes_every_image_once_and_continues_anywhere() -> None:
    whole = list(epoch_batches(5, 2, 30, 8))
    numbers = [row for batch in whole for row, _ in batch]
    assert len(whole) == 3 and len(set(numbers)) == 24 and set(numbers) <= set(range(30))
    assert len({seed for batch in whole for _, seed in batch}) == 24
    assert list(epoch_batches(5, 2, 30, 8, first=1)) == whole[1:]
    assert list(epoch_batches(5, 3, 30, 8)) != whole != list(epoch_batches(6, 2, 30, 8))


def test_crops_are_as_large_as_they_are_said_to_be() -> None:
    shares = []
    for seed in range(200):
        left, top, right, bottom = crop_of(500, 400, 0.08, generator(seed, "augmentation"))
        assert 0 <= left < right <= 500 and 0 <= top < bottom <= 400
        shares.append((right - left) * (bottom - top) / (500 * 400))
        assert 0.7 < (right - left) / (bottom - top) < 1.4
    assert 0.07 < min(shares) < 0.15 and 0.8 < max(shares) <= 1
    assert crop_of(1000, 4, 0.9, generator(0, "augmentation")) == (498, 0, 502, 4)  # none fits


def test_images_of_training_and_validation(colours: Classes) -> None:
    image = Image.fromarray(np.arange(32 * 32 * 3, dtype=np.uint32).astype(np.uint8).reshape(32, 32, 3))
    padded = replace(RECIPE, smallest_crop=1.0, pad=4, flip=0.0)
    whole = np.pad(np.array(image), ((4, 4), (4, 4), (0, 0)))
    for seed in range(5):
        found = np.array(for_training(image, padded, seed))
        places = ((y, x) for y in range(9) for x in range(9))
        assert any(np.array_equal(found, whole[y : y + 32, x : x + 32]) for y, x in places)
    still = replace(padded, pad=0)
    assert np.array_equal(for_training(image, still, 0), image)
    assert np.array_equal(for_training(image, replace(still, flip=1.0), 0), np.array(image)[:, ::-1])
    assert np.array_equal(for_validation(image, padded), image)
    # With crops, the centre: 224 of 256 pixels of the short side.
    edge = np.zeros((32, 64, 3), dtype=np.uint8)
    edge[:, 18:46] = 255
    assert np.array(for_validation(Image.fromarray(edge), RECIPE)).min() > 200


@pytest.mark.slow
def test_other_processes_read_the_same(colours: Classes) -> None:
    def read(workers: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(loaded(Samples(colours.train, RECIPE), epoch_batches(0, 0, 30, 8), workers))

    for ours, theirs in zip(read(0), read(2), strict=True):
        assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_image_that_cannot_be_read_is_named(workers: int, colours: Classes, folder: Path) -> None:
    broken = folder / "train/green/3.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    try:
        with pytest.raises(InputError) as error:
            list(loaded(Samples(colours.train, RECIPE), epoch_batches(0, 0, 30, 8), workers))
    finally:
        broken.write_bytes(whole)
    (problem,) = error.value.problems
    assert problem.startswith(f"data: {broken}: cannot be read (") and problem.endswith("Restore the image.")


def repeatable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key not in measured("epochs")} for row in rows]


def test_an_interrupted_pretraining_equals_an_undisturbed_one(colours: Classes, tmp_path: Path) -> None:
    asked: Iterator[bool] = iter([False] * 5 + [True])  # within the second epoch of three steps
    with pytest.raises(InterruptionError):
        pretrain(RECIPE, CNET, colours, tmp_path / "b", execution=CPU, stop=lambda: next(asked))
    found = [pretrain(RECIPE, CNET, colours, tmp_path / name, execution=CPU) for name in ("a", "b")]
    assert "continues" in (tmp_path / "b/log.txt").read_text()
    assert repeatable(found[0].rows) == repeatable(found[1].rows) and len(found[0].rows) == 2
    assert found[0].rows[0].keys() <= {column.name for column in EPOCH_COLUMNS}
    assert found[0].result["evaluation"] == found[1].result["evaluation"]
    first, second = (from_bytes(r.folder.read("weights.pt"), "")["weights"] for r in found)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_its_weights_begin_a_training(
    colours: Classes, tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    # At the rate of the others a rounding more or less decides.
    gentle = {"optimizer.schedule.name": "cosine", "optimizer.learning_rate": 0.02}
    longer = override(RECIPE, {"epochs": 12} | gentle)
    found = pretrain(longer, CNET, colours, tmp_path / "pre", execution=CPU)
    assert found.result["evaluation"] == {"top_1": 1.0, "top_5": 1.0, "images": 12}
    assert found.rows[-1]["loss"] < found.rows[0]["loss"]
    small = {"height": 64, "width": 32, "width_multiplier": 0.1, "epochs": 1}
    batch = {"batch.identities": 4, "batch.images": 2, "optimizer.learning_rate": 1e-9}
    recipe = override(CDNET_TRAIN, small | batch | {"weights": str(tmp_path / "pre/weights.pt")})
    trained = train(recipe, CNET, small_source, tmp_path / "out", execution=CPU, cache=cache)
    before, after = (
        from_bytes(result.folder.read(name), name)["weights"]["backbone.trunk.stem.0.weight"]
        for result, name in ((found, "weights.pt"), (trained, "model.pt"))
    )
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)


def test_recipes_and_jobs() -> None:
    ids = {pretrain_job(recipe, "d" * 64, CNET, train_seed=0).id for recipe in PRETRAIN_RECIPES.values()}
    assert len(ids) == len(PRETRAIN_RECIPES) == len(READERS) == 2
    assert CDNET_PRETRAIN.optimizer.schedule.milestones == tuple(range(1, 240))
    job = pretrain_job(PretrainRecipe(), "d" * 64, CNET, train_seed=0)
    assert type(job).from_plain(job.plain()) == job
    assert job.size is None  # images are read as they are asked for
    assert set(CLASS_SETS) == set(READERS)


def test_a_training_needs_the_pretraining_that_it_begins_with() -> None:
    plain = train_job(CDNET_TRAIN, "d" * 64, CNET, train_seed=0)
    after = train_job(CDNET_TRAIN, "d" * 64, CNET, train_seed=0, pretraining="p" * 32)
    found = train_job(CDNET_TRAIN, "d" * 64, "s" * 32, train_seed=0, pretraining="p" * 32)
    assert (plain.needs, after.needs, found.needs) == ((), ("p" * 32,), ("s" * 32, "p" * 32))
    assert len({plain.id, after.id, found.id}) == 3
    assert all(type(job).from_plain(job.plain()) == job for job in (plain, after, found))
    with pytest.raises(InputError, match="weights: imagenet, and a pretraining is given too"):
        named = override(CDNET_TRAIN, {"weights": "imagenet"})
        train_job(named, "d" * 64, CNET, train_seed=0, pretraining="p" * 32)


def test_jobs_of_a_storage(
    colours: Classes,
    folder: Path,
    small_source: DataSource,
    small_data: PreparedData,
    tmp_path: Path,
    cache: Path,
) -> None:
    storage, source = Storage(tmp_path / "storage"), ClassSource("imagefolder", str(folder))
    job = pretrain_job(RECIPE, colours.fingerprint, CNET, train_seed=0)
    batch = {"batch.identities": 4, "batch.images": 2, "optimizer.learning_rate": 1e-9}
    recipe = override(CDNET_TRAIN, SIZE | batch | {"height": 64})
    training = train_job(recipe, small_data.fingerprint, CNET, train_seed=0, pretraining=job.id)
    with pytest.raises(InputError, match="the pretraining is not done"):
        list(run_job(training, storage, small_source, CPU, cache))

    assert [row["epoch"] for row in run_job(job, storage, source, CPU, cache)] == [1, 2]
    list(run_job(training, storage, small_source, CPU, cache))
    before, after = (
        from_bytes(attempt.vouched(name, outcome), name)["weights"]["backbone.trunk.stem.0.weight"]
        for name, (attempt, outcome) in (
            ("weights.pt", _finished(storage, job)),
            ("model.pt", _finished(storage, training)),
        )
    )
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)

    other = pretrain_job(RECIPE, "d" * 64, CNET, train_seed=0)
    with pytest.raises(StorageError, match="the fingerprint here is"):
        list(run_job(other, storage, source, CPU, cache))
    gone = ClassSource("imagefolder", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match="gone"):
        list(run_job(other, storage, gone, CPU, cache))


def test_a_rehearsal(colours: Classes, folder: Path, tmp_path: Path, cache: Path) -> None:
    storage, source = Storage(tmp_path), ClassSource("imagefolder", str(folder))
    recipe = override(RECIPE, {"batch": 4, "epochs": 5})
    job = pretrain_job(recipe, colours.fingerprint, CNET, train_seed=0)
    list(rehearse_job(job, storage, source, CPU, cache))
    found = _finished(storage, job)[1].result["rehearsal"]
    assert (found["epochs"], found["steps"], found["evaluations"]) == (5, 7, 1)
    assert len(storage.job(job.id).attempts()) == 2 and found["predicted_seconds"] > 0


def _finished(storage: Storage, job: Job) -> tuple[Attempt, Outcome]:
    found = storage.job(job.id).finished()
    assert found is not None
    return found


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    PRETRAIN.configure(parser)
    flags = f"--genotype cnet-top2 --data {folder} --out {tmp_path / 'out'} --device cpu --threads 1 --json"
    settings = [f"--set={name}={value}" for name, value in (SIZE | {"batch": 8, "epochs": 1}).items()]
    assert PRETRAIN.run(parser.parse_args([*flags.split(), *settings])) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["evaluation"]["images"] == 12 and "epoch 1/1" in said.err
    assert (tmp_path / "out/weights.pt").is_file()
