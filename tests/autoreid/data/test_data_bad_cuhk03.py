"""Damaged and incomplete copies of CUHK03: lists, .mat files and what was extracted from them."""

from __future__ import annotations

import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import replica_files
import replicas
from PIL import Image
from test_data_bad_sets import refusal

from autoreid.data import cuhk03, cuhk03_mat
from autoreid.data.doctor import check


def test_the_other_variant_of_cuhk03_is_never_taken_instead(tmp_path: Path) -> None:
    root = replicas.write_cuhk03_folders(tmp_path)
    shutil.rmtree(root / "labeled")
    text = refusal(lambda: cuhk03.read(root))
    assert "only the detected images are here, and the variant is labeled" in text
    assert "or choose variant=detected" in text
    assert len(cuhk03.read(root, variant="detected")) == 10


def test_a_variant_of_cuhk03_is_read_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(replicas.write_cuhk03_folders(tmp_path) / "labeled")
    assert len(cuhk03.read(Path())) == 10


def test_which_of_several_copies_of_cuhk03_is_read_is_said(tmp_path: Path, cache: Path) -> None:
    replica_files.write_cuhk03_mat(tmp_path)
    replica_files.write_cuhk03_images(tmp_path)
    report = check(tmp_path, cache=cache)
    assert report.usable
    assert report.layout == "CUHK03, images extracted as torchreid does"
    assert "there is also cuhk-03.mat with the protocol's .mat file" in report.warnings[0]
    assert not (cache / "cuhk03").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda split: {}, "no list 'train'"),
        (lambda split: 3, "no list of divisions"),
        (lambda split: [split | {"query": [["1_001_1_01.png"], 3]}], "query: an entry is not"),
        (lambda split: [split | {"query": [["x.png", 0, 0]]}], "query: x.png is not a name like 1_001_2_06"),
        (lambda split: [split | {"query": [["9_001_1_01.png", 0, 0]]}], "9_001_1_01.png is not a name like"),
        (
            lambda split: [split | {"query": [["4_001_1_01.png", 0, 0]]}],
            "4_001_1_01.png is not in images_lab",
        ),
        (lambda split: [split | {"query": split["train"]}], "1_001_1_01.png is in train already"),
        (lambda split: [split | {"query": []}], "no query image"),
    ],
)
def test_a_division_of_cuhk03_that_is_wrong_is_named(
    change: Callable[[Any], Any], message: str, tmp_path: Path
) -> None:
    root = replica_files.write_cuhk03_images(tmp_path)
    path = root / "splits_new_labeled.json"
    path.write_text(json.dumps(change(json.loads(path.read_text())[0])))
    text = refusal(lambda: cuhk03.read(root))
    assert str(path) in text and message in text


def test_a_division_that_is_no_json_is_named(tmp_path: Path) -> None:
    root = replica_files.write_cuhk03_images(tmp_path)
    (root / "splits_new_labeled.json").write_bytes(b"[{")
    assert "splits_new_labeled.json: not a division of CUHK03" in refusal(lambda: cuhk03.read(root))


def damage_nothing_but_bytes(path: Path) -> None:
    path.write_bytes(b"MATLAB" * 100)


def damage_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [damage_nothing_but_bytes, damage_end])
@pytest.mark.parametrize("name", ["cuhk03_release/cuhk-03.mat", "cuhk03_new_protocol_config_labeled.mat"])
def test_a_damaged_mat_file_is_named_and_leaves_nothing(
    name: str, damage: Callable[[Path], None], tmp_path: Path, cache: Path
) -> None:
    root = replica_files.write_cuhk03_mat(tmp_path / "data")
    damage(root / name)
    text = refusal(lambda: cuhk03.read(root, cache=cache))
    assert f"{root / name}: " in text and "Download the file again." in text
    assert not [path for path in (cache / "cuhk03").iterdir() if path.is_dir()]
    report = check(root, cache=cache)
    assert [defect.kind for defect in report.defects] == ["mat file"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_idx": np.array([[0, 99]])}, "train_idx counts beyond the 12 names"),
        (
            {"filelist": np.array([["3_001_1_01.png"]] * 12, dtype=object)},
            "3_001_1_01.png is not in cuhk-03.mat",
        ),
        ({"query_idx": np.array([[1]])}, "1_001_1_01.png is in train already"),
    ],
)
def test_a_protocol_that_does_not_fit_is_named(
    changes: dict[str, Any], message: str, tmp_path: Path, cache: Path
) -> None:
    root = replica_files.write_cuhk03_mat(tmp_path / "data")
    replica_files.write_protocol(root, "labeled", **changes)
    assert message in refusal(lambda: cuhk03.read(root, cache=cache))


def test_the_images_of_the_mat_file_are_extracted_once_and_whole(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = replica_files.write_cuhk03_mat(tmp_path / "data")
    index = cuhk03.read(root, cache=cache)
    assert index.root.parent == cache / "cuhk03"
    pixels = np.asarray(Image.open(index.root / "images_labeled" / "1_001_2_06.bmp"))
    assert np.array_equal(pixels, replica_files.crop("labeled_1_001_2_06"))
    monkeypatch.setattr(cuhk03_mat, "_extract", lambda *given: pytest.fail("extracted again"))
    assert cuhk03.read(root, cache=cache).names == index.names


def test_extracted_images_that_were_damaged_are_made_again_on_request(tmp_path: Path, cache: Path) -> None:
    root = replica_files.write_cuhk03_mat(tmp_path / "data")
    index = cuhk03.read(root, cache=cache)
    (index.root / "images_labeled" / "1_001_2_06.bmp").unlink()
    text = refusal(lambda: cuhk03.read(root, cache=cache))
    assert f"{index.root}: what was extracted is not whole any more. Remove this folder" in text
    shutil.rmtree(index.root)
    assert cuhk03.read(root, cache=cache).names == index.names


def test_without_the_extra_it_is_named(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = replica_files.write_cuhk03_mat(tmp_path / "data")
    real = builtins.__import__

    def without_hdf5(name: str, *given: Any) -> Any:
        if name == "h5py":
            raise ModuleNotFoundError("No module named 'h5py'", name="h5py")
        return real(name, *given)

    monkeypatch.setattr(builtins, "__import__", without_hdf5)
    text = refusal(lambda: cuhk03.read(root, cache=cache))
    assert "h5py is not installed" in text and "autoreid[cuhk03]" in text
    assert len(cuhk03.read(replica_files.write_cuhk03_images(tmp_path / "images"), cache=cache)) == 12
