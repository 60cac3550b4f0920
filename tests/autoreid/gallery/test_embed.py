"""`autoreid embed`: which images, what their features are, and what is left after mistakes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image
from random_galleries import ON_CPU

from autoreid.embed import network_digest
from autoreid.evaluation.features import extract
from autoreid.feed import PreparedData
from autoreid.gallery.feature_files import FeatureFile
from autoreid.gallery.images import Said, find_images
from autoreid.model_files import unpack_model

Run = Callable[..., tuple[int, str, str]]
Told = Callable[..., Any]


@pytest.fixture
def few(small_data: PreparedData, tmp_path: Path) -> Path:
    """A folder with five of the query images, one of them deeper, a hidden file and a text."""
    folder = tmp_path / "images"
    (folder / "later").mkdir(parents=True)
    index = small_data.index
    for number, row in enumerate(index.rows("query")[:5]):
        name = Path(index.names[row]).name
        shutil.copy(index.root / index.names[row], folder / ("later" if number == 4 else "") / name)
    (folder / "._hidden.jpg").write_bytes(b"")
    (folder / "readme.txt").write_text("no image")
    return folder


def spoiled(folder: Path) -> list[str]:
    """Make two of the images unreadable; their names."""
    names = sorted(path.name for path in folder.glob("[0-9]*"))[:2]
    (folder / names[0]).write_bytes(b"not an image")
    whole = (folder / names[1]).read_bytes()
    (folder / names[1]).write_bytes(whole[: len(whole) // 2])
    return names


def test_features_of_a_data_set_are_those_of_its_evaluation(
    told: Told, checkpoint: Path, people: Path, small_data: PreparedData, tmp_path: Path
) -> None:
    out = tmp_path / "features.parquet"
    said = told("embed", checkpoint, people, "--out", out, *ON_CPU)
    index = small_data.index
    table, file = parquet.read_table(out), FeatureFile.open(out)
    assert said["count"] == file.count == table.num_rows and said["unreadable"] == []
    # Junk, which no protocol counts, has a feature and no label.
    known = np.array([split is not None for split in table["split"].to_pylist()])
    assert {name[:19] for name in table.filter(~known)["name"].to_pylist()} == {"bounding_box_test/-"}
    table = table.filter(known)
    assert table["name"].to_pylist() == list(index.names)
    assert table["identity"].to_pylist() == index.identities.tolist()
    assert table["camera"].to_pylist() == index.cameras.tolist()
    assert table["split"].to_pylist() == index.splits.tolist()
    model, recipe, genotype = unpack_model((checkpoint / "model.pt").read_bytes(), "")
    expected = extract(model.embed, small_data.images, np.arange(len(index)), device="cpu")
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.concatenate(list(file.blocks()))[known], expected, atol=1e-6)
    metadata = parquet.read_schema(out).metadata
    assert {key.decode(): text.decode() for key, text in metadata.items() if key[:9] == b"autoreid."} == {
        "autoreid.version": "1",
        "autoreid.normalised": "true",
        "autoreid.model": network_digest(model, recipe, genotype),
        "autoreid.genotype": genotype.to_json(),
        "autoreid.height": "64",
        "autoreid.width": "32",
        "autoreid.flip": "false",
        "autoreid.precision": "fp32",
    }
    both = [
        told("evaluate", checkpoint, "--data", people, *ON_CPU),
        told("evaluate-features", out),
    ]
    for name in ("mAP", "rank_1", "mINP", "queries"):
        assert both[0][name] == pytest.approx(both[1][name], abs=1e-6), name


def test_batches_and_mirror_images(told: Told, checkpoint: Path, few: Path, tmp_path: Path) -> None:
    """Any size of a batch gives the same features but for rounding; with --flip an image and its mirror image
    have one."""
    for image in few.glob("[0-9]*"):
        picture = Image.open(image).convert("RGB").resize((32, 64))
        picture.save(few / f"{image.stem}a.png")
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(few / f"{image.stem}b.png")
        image.unlink()
    found = {}
    for name, flags in {
        "whole": [],
        "two": ["--execution", "evaluation_batch=2"],
        "flip": ["--flip"],
    }.items():
        told("embed", checkpoint, few, "--out", tmp_path / f"{name}.parquet", *ON_CPU, *flags)
        found[name] = np.concatenate(list(FeatureFile.open(tmp_path / f"{name}.parquet").blocks()))
    np.testing.assert_allclose(found["two"], found["whole"], atol=1e-5)
    np.testing.assert_allclose(found["flip"][0:8:2], found["flip"][1:8:2], atol=1e-5)
    assert np.abs(found["whole"][0:8:2] - found["whole"][1:8:2]).max() > 1e-4


def test_what_names_and_labels_images_have(few: Path, people: Path, tmp_path: Path) -> None:
    found = find_images([str(few)])
    assert [image.name for image in found] == sorted(image.name for image in found)
    assert len(found) == 5 and {image.folder for image in found} == {str(few)}
    first = found[0]
    identity, camera = first.name.split("_")[:2]
    assert first.said == Said(int(identity), int(camera[1]), None)
    again = find_images([str(few), str(few / first.name), str(few / "later")])
    assert again == found
    from_above = find_images([str(few)], str(tmp_path))
    assert [image.name for image in from_above] == [f"images/{image.name}" for image in found]
    (few / "photo.jpeg").write_bytes(b"")
    assert {image.said for image in find_images([str(few / "photo.jpeg")])} == {Said()}

    index = tmp_path / "people.csv"
    lines = ["path,identity,camera,split", f"images/{first.name},anna,7,query"]
    index.write_text("\n".join(lines) + "\n")
    (only,) = find_images([str(index)])
    assert (only.path, only.said) == (few / first.name, Said(1, 7, "query"))

    whole = find_images([str(people)])
    assert {image.said.split for image in whole} == {"train", "query", "gallery", None}
    assert {image.said.split for image in find_images([str(people / "query")])} == {None}
    (few / "later" / "round").symlink_to(few)
    assert len(find_images([str(few)])) == 6


def test_mistakes_about_images_come_together(tmp_path: Path, few: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError) as refused:
        find_images([str(tmp_path / "empty"), str(tmp_path / "nothing.jpg"), str(few)])
    assert str(refused.value).splitlines() == [
        f"{tmp_path}/empty: no images below it. Give a folder with .jpg, .jpeg, .png, .bmp, .webp, .tif, "
        ".tiff files.",
        f"{tmp_path}/nothing.jpg: no such file or folder. Give images, folders of images or index files.",
    ]
    with pytest.raises(ValueError, match=r"--root: .*Not below"):
        find_images([str(few)], str(few / "later"))


def test_names_that_are_not_utf_8_are_refused(run: Run, checkpoint: Path, few: Path, tmp_path: Path) -> None:
    image = next(few.glob("[0-9]*"))
    for name in (b"caf\xe9.jpg", b"later/na\xefve.jpg"):
        shutil.copy(image, few / os.fsdecode(name))
    code, _, complaints = run("embed", checkpoint, few, "--out", tmp_path / "f.parquet", *ON_CPU)
    assert code == 2 and complaints.count("not a name in UTF-8") == 2
    assert f"IMAGES: {few}/caf\\xe9.jpg: not a name in UTF-8" in complaints and "Rename these" in complaints
    assert not (tmp_path / "f.parquet").exists()


def test_unreadable_images_are_all_named_and_nothing_is_written(
    run: Run, checkpoint: Path, few: Path, tmp_path: Path
) -> None:
    names, out = spoiled(few), tmp_path / "new" / "features.parquet"
    out.parent.mkdir()
    line = ["embed", checkpoint, few, "--out", out, *ON_CPU, "--execution", "evaluation_batch=1"]
    code, said, complaints = run(*line)
    assert (code, said) == (2, "")
    assert complaints.count("\n") == 2 and all(name in complaints for name in names)
    assert "not an image" in complaints and "--skip-unreadable" in complaints
    assert list(out.parent.iterdir()) == []

    code, said, complaints = run(*line, "--skip-unreadable", "--json")
    assert code == 0 and complaints.count("left out: ") == 2
    assert [text.split(":")[0] for text in json.loads(said)["unreadable"]] == names
    assert FeatureFile.open(out).count == 3


def test_only_unreadable_images(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(b"")
    line = ["embed", checkpoint, tmp_path / "one.jpg", "--out", tmp_path / "f.parquet", *ON_CPU]
    code, _, complaints = run(*line, "--skip-unreadable")
    assert code == 2 and "the one image cannot be read: one.jpg" in complaints
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jpg"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "features.csv"], "--out: features.csv does not end with .parquet"),
        (["--out", "there.parquet"], "--out: there.parquet is there already"),
        (["--out", "a.parquet", "--precision", "fp8"], "--precision: no precision 'fp8'. Did you mean"),
        (["--out", "there.parquet/a.parquet"], "there.parquet is a file, not a folder. Name a file in a"),
        (["--out", "no/a.parquet"], "--out: no/a.parquet: there is no folder"),
    ],
)
def test_mistakes_in_flags(
    run: Run,
    checkpoint: Path,
    few: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.parquet").write_bytes(b"kept")
    code, _, complaints = run("embed", checkpoint, few, *flags, *ON_CPU)
    assert code == 2 and message in complaints
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "there.parquet"]


def test_a_full_disk_leaves_nothing(
    run: Run, checkpoint: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    code, _, complaints = run("embed", checkpoint, few, "--out", tmp_path / "f.parquet", *ON_CPU)
    assert code == 1 and "f.parquet: cannot be written: No space left on device. Free space" in complaints
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]


def test_the_digest_is_of_what_makes_features(checkpoints: list[Path]) -> None:
    model, recipe, genotype = unpack_model((checkpoints[0] / "model.pt").read_bytes(), "")
    digest = network_digest(model, recipe, genotype)
    with torch.no_grad():
        model.neck.balance.classifier.bias += 1  # training alone needs it
    assert network_digest(model, recipe, genotype) == digest
    other, *_ = unpack_model((checkpoints[1] / "model.pt").read_bytes(), "")
    assert network_digest(other, recipe, genotype) != digest
    with torch.no_grad():
        next(model.backbone.parameters()).add_(1e-3)
    assert network_digest(model, recipe, genotype) != digest


def test_damaged_files_of_features_are_named(told: Told, checkpoint: Path, few: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    told("embed", checkpoint, few, "--out", out, *ON_CPU)
    whole = out.read_bytes()

    def refused(data: bytes, message: str) -> None:
        out.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            list(FeatureFile.open(out).blocks())

    refused(whole[:-100], "cannot be read as parquet")
    refused(b"", "cannot be read as parquet")
    refused(whole.replace(b"autoreid.height", b"autoreid.hejght"), r"metadata autoreid\.height: missing")
    out.write_bytes(whole)
    table = parquet.read_table(out)
    parquet.write_table(table.drop(["camera"]), out)
    with pytest.raises(ValueError, match="column camera: missing"):
        FeatureFile.open(out)
    with pytest.raises(ValueError, match="no such file"):
        FeatureFile.open(tmp_path / "none.parquet")


def test_sides_need_a_split(run: Run, told: Told, checkpoint: Path, few: Path, tmp_path: Path) -> None:
    told("embed", checkpoint, few, "--out", tmp_path / "f.parquet", *ON_CPU)
    code, _, complaints = run("evaluate-features", tmp_path / "f.parquet")
    assert code == 2 and "no image of the split query and gallery. Embed the folder of a whole" in complaints
