"""Thresholds of a chosen rate of false matches, against all pairs one by one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_galleries import ON_CPU, ORIGIN, random_features, write_features

from autoreid.errors import InputError
from autoreid.feed import PreparedData
from autoreid.gallery import calibration
from autoreid.gallery.calibration import calibrate
from autoreid.gallery.images import find_images
from autoreid.gallery.store import Gallery, set_threshold

Run = Callable[..., tuple[int, str, str]]
Told = Callable[..., Any]


def drawn_people(images: int, people: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features near those of their people, who they are, and from which camera."""
    random = np.random.default_rng(seed)
    identities, cameras = random.integers(1, people + 1, images) * 3, random.integers(0, 3, images)
    features = random_features(people + 1, 12, seed)[identities // 3] + 0.5 * random_features(
        images, 12, seed + 1
    )
    return features, identities, cameras


def naive(features: np.ndarray, identities: np.ndarray, cameras: np.ndarray | None) -> tuple[list, list]:
    """Distances of all pairs of two people, and of all pairs of one, that count."""
    rows = features.astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    different, same = [], []
    for i, j in itertools.combinations(range(len(rows)), 2):
        if cameras is None or cameras[i] != cameras[j]:
            distance = float(np.linalg.norm(rows[i] - rows[j]))
            (same if identities[i] == identities[j] else different).append(distance)
    return sorted(different), same


@pytest.mark.parametrize("rate", [0.003, 0.1, 0.9])
@pytest.mark.parametrize("one_camera", [False, True])
def test_the_threshold_is_the_largest_one(
    rate: float, one_camera: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "TOGETHER", 32)
    monkeypatch.setattr(calibration, "ROOM", 50)  # so that what is held is cut down again and again
    features, identities, cameras = drawn_people(150, 25, seed=4)
    given = None if one_camera else cameras
    found = calibrate(features, identities, given, rate)
    different, same = naive(features, identities, given)
    allowed = int(rate * len(different))
    assert (found.different, found.same) == (len(different), len(same))
    assert found.distance == pytest.approx(different[allowed], abs=1e-12)
    assert found.false_match_rate == allowed / len(different) <= rate
    # Any larger one would match the pair at the threshold too.
    assert (allowed + 1) / len(different) > rate
    limit = found.distance - 1e-12
    assert found.true_match_rate == sum(distance < limit for distance in same) / len(same)
    assert (found.identities, found.images) == (len(np.unique(identities)), 150)


def test_equal_distances_stay_below_the_rate() -> None:
    """Many pairs at one distance are taken all or none."""
    features = np.repeat(np.eye(4), 10, axis=0)
    identities, cameras = np.arange(40) // 2 + 1, np.arange(40) % 2
    found = calibrate(features, identities, cameras, 0.05)
    assert (found.distance, found.false_match_rate, found.true_match_rate) == (0.0, 0.0, 0.0)
    assert calibrate(features, identities, cameras, 0.5).distance == pytest.approx(2**0.5)


def test_intervals_are_those_of_drawn_people() -> None:
    features, identities, cameras = drawn_people(120, 24, seed=8)
    found = calibrate(features, identities, cameras, 0.05)
    known, of = np.unique(identities, return_inverse=True)
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    near = np.linalg.norm(rows[:, None] - rows[None], axis=2) < found.distance - 1e-9
    across = cameras[:, None] != cameras[None]
    count = len(known)
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=2000)
    false, true = [], []
    for draw in draws[:, of]:
        weight = draw[:, None] * draw[None] * across * (of[:, None] != of[None])
        false.append((weight * near).sum() / weight.sum())
        own = draw[:, None] * across * (of[:, None] == of[None])
        true.append((own * near).sum() / own.sum())
    assert found.false_match_interval == pytest.approx(np.quantile(false, [0.025, 0.975]).tolist())
    assert found.true_match_interval == pytest.approx(np.quantile(true, [0.025, 0.975]).tolist())
    few = calibrate(*drawn_people(60, 12, seed=1), 0.05)
    assert few.false_match_interval is None and few.true_match_interval is None


def test_pairs_that_cannot_tell_a_rate() -> None:
    features, identities, cameras = drawn_people(30, 10, seed=2)
    different = len(naive(features, identities, cameras)[0])
    with pytest.raises(
        ValueError, match=f"0.0001 cannot be told from {different} pairs .* it takes 10,000 or"
    ):
        calibrate(features, identities, cameras, 0.0001)
    with pytest.raises(ValueError, match="nobody was seen by two cameras"):
        calibrate(features, identities, identities, 0.05)
    with pytest.raises(ValueError, match="nobody was seen twice"):
        calibrate(features, np.arange(30), None, 0.05)


def test_a_gallery_is_calibrated_and_searched(
    run: Run,
    told: Told,
    checkpoint: Path,
    people: Path,
    built: Path,
    small_data: PreparedData,
    tmp_path: Path,
) -> None:
    line = ["gallery", "calibrate", checkpoint, "--data", people, *ON_CPU, "--false-match-rate", 0.02]
    code, said, complaints = run(*line, "--out", built, "--json")
    found = json.loads(said)
    rows = small_data.train_rows
    assert code == 0 and found["images"] == len(rows) and found["seen"] is True
    assert "calibrated on people that the network was trained on" in complaints
    assert "Calibrate on another set (--data)" in complaints
    stored = dict(Gallery.open(built).threshold or {})
    assert stored == {name: value for name, value in found.items() if name not in ("caution", "out")}
    assert stored["data"] == {"split": "train", "fingerprint": small_data.fingerprint}

    search = ["gallery", "search", built, built / "features.parquet", "--top", 5]
    plain = told(*search)
    assert plain["threshold"] == found["distance"] and plain["caution"].startswith("calibrated on people")
    matches = [match for query in plain["queries"] for match in query["matches"]]
    assert all(match["same"] == (match["distance"] < found["distance"]) for match in matches)
    assert told(*search, "--threshold", "calibrated")["queries"] == plain["queries"]
    assert told(*search, "--threshold", "0")["calibration"] is None

    told(*line, "--out", tmp_path / "t.json")
    assert told(*search, "--threshold", tmp_path / "t.json") == plain
    text = (tmp_path / "t.json").read_text().replace('"seen": true', '"seen": false')
    (tmp_path / "t.json").write_text(text)
    code, _, complaints = run(*search, "--threshold", tmp_path / "t.json")
    assert code == 2 and "or changed since. Calibrate again" in complaints


def test_only_held_out_people_or_those_of_the_test_set(
    told: Told, checkpoint: Path, without_half: Path, people: Path, small_data: PreparedData, tmp_path: Path
) -> None:
    line = ["gallery", "calibrate", checkpoint, "--data", people, *ON_CPU, "--false-match-rate", 0.1]
    part = told(*line, "--fraction", 0.5, "--seed", 3, "--out", tmp_path / "a.json")
    assert part["identities"] == 4 and part["data"]["fraction"] == 0.5 and part["data"]["seed"] == 3
    assert part["seen"] is True and part["false_match_interval"] is None
    half = ["gallery", "calibrate", without_half, *line[3:], "--fraction", 0.5]
    unseen = told(*half, "--out", tmp_path / "c.json")
    assert (unseen["identities"], unseen["seen"], unseen["caution"]) == (4, False, "")
    # As many people, but others than the training left out.
    others = told(*half, "--seed", 3, "--out", tmp_path / "d.json")
    assert (others["identities"], others["seen"]) == (4, True)
    assert others["caution"].startswith("calibrated on people that the network was trained on")
    test = told(*line, "--split", "test", "--out", tmp_path / "b.json")
    index = small_data.index
    rows = np.flatnonzero((index.splits != "train") & (index.identities > 0))
    assert (test["images"], test["seen"], test["caution"]) == (len(rows), False, "")


def test_what_a_model_file_does_not_say_of_people(
    run: Run, told: Told, checkpoint: Path, without_half: Path, people: Path, tmp_path: Path
) -> None:
    """Portable files without classifier name nobody, and the same images may come as other data."""
    for name, model in {"whole": checkpoint, "half": without_half}.items():
        code, _, complaints = run("model", "pack", model, "--out", tmp_path / f"{name}.safetensors")
        assert code == 0, complaints
    flags = ["--data", people, *ON_CPU, "--false-match-rate", 0.1, "--fraction", 0.5]
    whole = told("gallery", "calibrate", tmp_path / "whole.safetensors", *flags, "--out", tmp_path / "a.json")
    assert whole["seen"] is True  # of all people of the data
    half = told("gallery", "calibrate", tmp_path / "half.safetensors", *flags, "--out", tmp_path / "b.json")
    assert half["seen"] is None
    assert half["caution"].startswith("nothing tells whether the network was trained on the people that it")
    assert "calibrated on: the model file does not say on which people of these data. If" in half["caution"]

    images = [image for image in find_images([str(people)]) if image.said.split is not None]
    lines = [f"{image.path},{image.said.identity},{image.said.camera},{image.said.split}" for image in images]
    del lines[0]  # so that it is other data by its fingerprint
    (tmp_path / "same.csv").write_text("\n".join(["path,identity,camera,split", *lines]) + "\n")
    for number, split in enumerate(("train", "test")):
        line = ["gallery", "calibrate", checkpoint, "--data", tmp_path / "same.csv", "--split", split]
        out = tmp_path / f"{number}.json"
        code, said, complaints = run(*line, *ON_CPU, "--false-match-rate", 0.1, "--out", out, "--json")
        assert code == 0 and json.loads(said)["seen"] is None
        assert "that it is calibrated on: it was trained on other data, which may show them too" in complaints
        assert "Make sure that it was not" in complaints


def test_a_threshold_of_two_cameras_is_none_of_one(
    run: Run, told: Told, checkpoint: Path, people: Path, built: Path
) -> None:
    line = ["gallery", "calibrate", checkpoint, "--data", people, *ON_CPU, "--false-match-rate", 0.1]
    assert told(*line, "--split", "test", "--out", built)["pairs"] == "across cameras"
    search = ["gallery", "search", built, built / "features.parquet", "--top", 2]
    code, _, complaints = run(*search)
    assert code == 0 and "threshold: calibrated on pairs under two cameras: " in complaints
    assert "Use --other-cameras" in complaints
    assert run(*search, "--other-cameras")[2] == run(*search, "--threshold", 0.4)[2] == ""
    stored = dict(Gallery.open(built).threshold or {}) | {"pairs": "all"}  # as where one camera saw everybody
    set_threshold(Gallery.open(built), stored)
    assert told(*search)["caution"] == ""


def test_a_gallery_that_was_built_again_gets_no_threshold_of_the_one_before(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / "one.parquet", tmp_path / "other.parquet"]
    for path, origin in zip(paths, (ORIGIN, dataclasses.replace(ORIGIN, model="cd" * 32)), strict=True):
        write_features(path, random_features(9, 8), origin=origin)
        code, _, complaints = run("gallery", "build", "--features", path, "--out", f"{path}.gallery")
        assert code == 0, complaints
    before = Gallery.open(Path(f"{paths[0]}.gallery"))
    shutil.rmtree(before.folder)
    shutil.move(f"{paths[1]}.gallery", before.folder)
    with pytest.raises(InputError, match=r"another network than the gallery's.* was built again: calibrate"):
        set_threshold(before, {"distance": 0.4})
    assert Gallery.open(before.folder).threshold is None


def test_what_calibrate_refuses(
    run: Run, checkpoints: list[Path], checkpoint: Path, people: Path, built: Path, tmp_path: Path
) -> None:
    line = ["gallery", "calibrate", checkpoint, "--data", people, *ON_CPU]
    code, _, complaints = run(*line, "--out", built)
    assert code == 2 and "--false-match-rate: 0.001 cannot be told from" in complaints
    assert "it takes 1,000 or more" in complaints
    assert Gallery.open(built).threshold is None
    code, _, complaints = run(
        *line, "--out", tmp_path / "t.json", "--false-match-rate", 1, "--fraction", 2, "--split", "test"
    )
    assert code == 2 and complaints.count("\n") == 3
    code, _, complaints = run(*line, "--out", built, "--flip")
    assert code == 2 and "--flip: a gallery has its own. Leave it out." in complaints
    code, _, complaints = run("gallery", "calibrate", checkpoints[1], *line[3:], "--out", built)
    assert code == 2 and "another network than the gallery's" in complaints
    assert not (tmp_path / "t.json").exists()


def test_thresholds_of_another_network_are_refused(
    run: Run, told: Told, checkpoints: list[Path], people: Path, built: Path, tmp_path: Path
) -> None:
    flags = ["--data", people, *ON_CPU, "--false-match-rate", 0.1, "--out", tmp_path / "t.json"]
    told("gallery", "calibrate", checkpoints[1], *flags)
    code, _, complaints = run("gallery", "search", built, "q.jpg", "--threshold", tmp_path / "t.json")
    assert code == 2 and "t.json: calibrated for another model than that of" in complaints
    code, _, complaints = run("gallery", "search", built, "q.jpg", "--threshold", built / "gallery.json")
    assert code == 2 and "gallery.json: not a file of 'autoreid gallery calibrate'" in complaints


def test_no_field_is_left_out() -> None:
    found = calibrate(*drawn_people(60, 22, seed=5), 0.05)
    assert all(getattr(found, field.name) is not None for field in dataclasses.fields(found))
