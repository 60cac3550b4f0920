"""Networks as ONNX: the same features, with torch or without it, of any number of images."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as state
from onnxruntime.quantization import shape_inference
from trained_small import leave_training, small_model, small_recipe

from autoreid import export, export_int8
from autoreid.cli import main
from autoreid.errors import InputError, RunError
from autoreid.evaluation.features import extract
from autoreid.export_int8 import quantise
from autoreid.feed import PreparedData
from autoreid.model_files import unpack_model
from autoreid.models.assembly import ReIDModel
from autoreid.portable import Facts
from autoreid.portable_packing import opened
from autoreid.recipes import Neck, TrainRecipe
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES

# Every kind of network, and every neck; the cells of DARTS come first, in the file that most tests look at.
SMALLEST = "darts-v2-net"
FAMILIES = {
    "osnet": Neck(name="fc"),
    "cdnet-top1": Neck(name="fblneck", stripes=4),
    "gdas-v1-net": Neck(name="embedding", feature="g"),
    "bag-of-tricks": Neck(name="bnneck"),
}
PAGE = Path(__file__).parents[2] / "docs" / "export.md"
AFTERWARDS = """
import sys
assert not {"torch", "autoreid"} & set(sys.modules)
np.save("features.npy", features)
"""


def check_agreement(found: dict[int, export.Agreement]) -> None:
    assert list(found) == [1, 7, 64]
    for agreement in found.values():
        assert agreement.largest_difference < 1e-4
        assert agreement.smallest_cosine > 0.999999


@pytest.fixture(scope="module")
def trained(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training."""
    return leave_training(tmp_path_factory.mktemp("trained"), small_data, SMALLEST)


@pytest.fixture(scope="module")
def model(trained: Path) -> ReIDModel:
    return unpack_model((trained / "model.pt").read_bytes(), "model.pt")[0]


@pytest.fixture(scope="module")
def content(trained: Path, model: ReIDModel) -> bytes:
    """The network of the training as ONNX."""
    path = trained / "model.pt"
    return export.to_onnx(model, opened(path.read_bytes(), path)[1])


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(trained: Path, small_data: PreparedData, cache: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`autoreid export` of the training; with `data`, on its images."""

    def call(*arguments: object, data: bool = False) -> tuple[int, str, str]:
        on = ["--data", str(small_data.index.root), "--cache", str(cache)] if data else []
        code = main(["export", str(trained), *map(str, arguments), *on, "--threads", "1"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_file_takes_any_number_of_images_and_says_what_it_is(content: bytes, model: ReIDModel) -> None:
    proto = onnx.load_from_string(content)
    (given,), (taken,) = proto.graph.input, proto.graph.output
    shapes = [
        [dim.dim_value or dim.dim_param for dim in each.type.tensor_type.shape.dim] for each in (given, taken)
    ]
    assert shapes == [["batch", 3, 64, 32], ["batch", model.neck.feature_dim]]
    assert (given.name, taken.name) == ("images", "features")
    assert b".py" not in content  # neither code nor paths of the machine that it came from
    said = {item.key: json.loads(item.value) for item in proto.metadata_props}
    assert said["genotype"] == PUBLISHED[SMALLEST].plain()
    assert said["preprocessing"]["height"] == 64
    assert said["metrics"]["mAP"] > 0
    assert set(said["versions"]["exported"]) == {"autoreid", "torch"}


def test_a_file_runs_without_torch_and_gives_the_features_that_are_ranked(
    content: bytes, model: ReIDModel, small_data: PreparedData, tmp_path: Path
) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    rows = small_data.index.rows("query")[:1]
    shutil.copy(small_data.index.root / small_data.index.names[rows[0]], tmp_path / "a.jpg")
    block = PAGE.read_text().split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", block + AFTERWARDS], check=True, timeout=60, cwd=tmp_path)
    ranked = extract(model.embed, small_data.images, rows, device="cpu")
    expected = ranked / np.linalg.norm(ranked, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load(tmp_path / "features.npy"), expected, rtol=0, atol=1e-4)


def test_the_command_writes_the_file_and_tells_how_near_it_is(
    run: Run, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "to_onnx", lambda model, facts: content)
    code, text, _ = run("--onnx", tmp_path / "net.onnx", "--json", data=True)
    result = json.loads(text)
    assert code == 0
    assert (tmp_path / "net.onnx").read_bytes() == content
    assert list(result["batches"]) == ["1", "7", "64"]
    assert all(found["largest_difference"] < 1e-4 for found in result["batches"].values())
    figures = result["data"]
    assert figures["onnx"]["mAP"] == pytest.approx(figures["torch"]["mAP"], abs=1e-3)
    assert figures["onnx"]["smallest_cosine"] > 0.99999
    code, _, err = run("--onnx", tmp_path / "net.onnx")
    assert (code, "is there already" in err) == (2, True)


def test_a_file_that_disagrees_is_never_written(
    run: Run, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load_from_string(content)
    weight = max(proto.graph.initializer, key=lambda each: len(each.raw_data))
    values = onnx.numpy_helper.to_array(weight) * np.float32(1.01)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    monkeypatch.setattr(export, "to_onnx", lambda model, facts: proto.SerializeToString())
    code, _, err = run("--onnx", tmp_path / "net.onnx")
    assert (code, "features differ from the original's by" in err) == (1, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("share", "code"), [(0.01, 0), (0.5, 1)])
def test_eight_bits_that_are_too_far_away_are_never_written(
    run: Run, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, code: int
) -> None:
    proto = onnx.load_from_string(content)
    random = np.random.default_rng(0)
    for weight in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.ndim == 4:
            noise = share * values.std() * random.standard_normal(values.shape)
            weight.CopyFrom(onnx.numpy_helper.from_array((values + noise).astype(values.dtype), weight.name))
    coarse = proto.SerializeToString()
    monkeypatch.setattr(export, "to_onnx", lambda model, facts: content)
    monkeypatch.setattr(export_int8, "quantise", lambda *given: coarse)
    found, text, err = run(
        "--onnx", tmp_path / "net.onnx", "--int8", tmp_path / "int8.onnx", "--json", data=True
    )
    assert found == code, err
    if code:
        assert "int8.onnx: features in 8 bits have a cosine of 0." in err
        assert "and 0.99 is the least that is let through: nothing was written" in err
        assert not list(tmp_path.iterdir())
    else:
        assert json.loads(text)["data"]["int8"]["mean_cosine"] > 0.99
        assert (tmp_path / "int8.onnx").read_bytes() == coarse


def test_a_full_disk_leaves_nothing_half_written(
    run: Run, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(export, "to_onnx", lambda model, facts: content)
    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("--onnx", tmp_path / "net.onnx")
    assert (code, "No space left on device. Free space, or choose another place." in err) == (1, True)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told_together(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--onnx: missing" in run()[2]
    _, _, err = run("--int8", tmp_path / "a.onnx", "--onnx", tmp_path / "a.onnx", "--device", "cuda")
    for words in ("--int8: needs images", "--device: cuda", "is the file of --onnx"):
        assert words in err
    monkeypatch.chdir(tmp_path)
    _, _, err = run("--onnx", "./a.onnx", "--int8", "a.onnx", data=True)
    assert "--int8: a.onnx is the file of --onnx. Name another." in err
    (tmp_path / "file").write_text("")
    code, _, err = run("--onnx", "file/a.onnx", "--int8", "new/a.onnx", "--device", "cuda", data=True)
    assert code == 2
    for words in (
        f"--onnx: file/a.onnx: {tmp_path}/file is a file, not a folder. Name a file in a folder.",
        f"--int8: new/a.onnx: there is no folder {tmp_path}/new. Make it: mkdir -p {tmp_path}/new",
        "--device: cuda",
    ):
        assert words in err
    assert "--onnx: a.pt does not end with .onnx. Name it so." in run("--onnx", "a.pt")[2]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, _, err = run("--onnx", tmp_path / "a.onnx")
    assert (code, "Install it with pip install 'autoreid[onnx]'" in err) == (2, True)


def test_without_training_images_nothing_is_calibrated(content: bytes, small_data: PreparedData) -> None:
    with pytest.raises(InputError, match="--data: no training images, and --int8 is calibrated on them"):
        quantise(content, small_data.images, small_data.train_rows[:0], "net-int8.onnx")


@pytest.mark.parametrize("error", [state.Fail, state.InvalidGraph, ValueError, RuntimeError])
def test_what_onnxruntime_cannot_quantise_is_told(
    content: bytes, small_data: PreparedData, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def failing(*given: object, **named: object) -> None:
        raise error("no such operator")

    monkeypatch.setattr(shape_inference, "quant_pre_process", failing)
    with pytest.raises(RunError, match=r"^net-int8\.onnx: onnxruntime .*\(no such operator\).*--int8"):
        quantise(content, small_data.images, small_data.train_rows, "net-int8.onnx")


@pytest.mark.slow
def test_eight_bits_keep_the_ranking(run: Run, tmp_path: Path) -> None:
    code, text, _ = run(
        "--onnx", tmp_path / "net.onnx", "--int8", tmp_path / "int8.onnx", "--json", data=True
    )
    result = json.loads(text)
    assert code == 0
    figures = result["data"]
    assert figures["int8"]["mean_cosine"] > 0.98
    assert figures["int8"]["mAP"] == pytest.approx(figures["torch"]["mAP"], abs=0.05)
    proto = onnx.load(tmp_path / "int8.onnx")
    assert {"genotype", "preprocessing"} <= {item.key for item in proto.metadata_props}
    kinds = {each.name: each.data_type for each in proto.graph.initializer}
    origins = {node.output[0]: node for node in proto.graph.node}
    weights = [origins[node.input[1]] for node in proto.graph.node if node.op_type == "Conv"]
    assert weights
    assert {node.op_type for node in weights} == {"DequantizeLinear"}
    assert {kinds[node.input[0]] for node in weights} == {onnx.TensorProto.INT8}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_and_neck_is_exported(name: str) -> None:
    check_exported(PUBLISHED[name], small_recipe(FAMILIES[name]))


@pytest.mark.slow
def test_cells_with_the_part_aware_module_are_exported() -> None:
    genotype = SPACES["reid-v1"].sample(torch.Generator().manual_seed(0))
    assert "part_aware" in dict(genotype.choices).values()
    check_exported(genotype, dataclasses.replace(small_recipe(Neck(name="blneck")), height=128))


def check_exported(genotype: Genotype, recipe: TrainRecipe) -> None:
    """Export a small network of a genotype, and compare."""
    model, facts = small_model(genotype, recipe), Facts(genotype, recipe, identities=8)
    check_agreement(export.check(export.session_of(export.to_onnx(model, facts), 1), model, facts))
