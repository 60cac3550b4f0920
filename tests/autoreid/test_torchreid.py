"""OSNet's checkpoints in Torchreid's form, as portable files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional
from trained_small import SMALL, small_model

import autoreid
from autoreid import portable
from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.models.assembly import ReIDModel
from autoreid.portable_torchreid import convert
from autoreid.recipes import Neck
from autoreid.snapshots import to_bytes
from search_spaces.published import PUBLISHED

Weights = dict[str, Tensor]
# As Torchreid transforms images, written again: the other end of the comparison.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def model() -> ReIDModel:
    recipe = dataclasses.replace(SMALL, neck=Neck(name="fc"))
    return small_model(PUBLISHED["osnet"], recipe, identities=5)


@pytest.fixture(scope="module")
def weights(model: ReIDModel) -> Weights:
    """As Torchreid names them: one flat module."""
    return {name.split(".", 1)[1]: weight for name, weight in model.state_dict().items()}


FORMS: dict[str, Callable[[Weights], bytes]] = {
    "state dict": to_bytes,
    "checkpoint": lambda weights: to_bytes({"state_dict": weights, "epoch": 60, "rank1": 0.5}),
    "with NumPy's numbers": lambda weights: to_bytes({"state_dict": weights, "rank1": np.float64(0.5)}),
    "several devices": lambda weights: to_bytes({f"module.{name}": each for name, each in weights.items()}),
    "safetensors": save,
    "without counters": lambda weights: to_bytes(
        {name: each for name, each in weights.items() if not name.endswith("num_batches_tracked")}
    ),
    "without classifier": lambda weights: to_bytes(
        {name: each for name, each in weights.items() if "classifier" not in name}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(model: ReIDModel, weights: Weights, tmp_path: Path, form: str) -> None:
    path = tmp_path / "model.pth.tar"
    path.write_bytes(FORMS[form](weights))
    facts, found = portable.read(convert(path, height=64, width=32), "")
    known = {name: each for name, each in model.state_dict().items() if "classifier" not in name}
    assert found.keys() == known.keys()
    assert all(torch.equal(found[name], each) for name, each in known.items())
    assert facts.identities == (0 if form == "without classifier" else 5)
    assert facts.recipe.width_multiplier == 0.25
    assert "read from `model.pth.tar` (SHA-256" in facts.card


def test_the_features_are_those_of_the_weights(model: ReIDModel, weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    path.write_bytes(to_bytes(weights))
    (tmp_path / "net").write_bytes(convert(path, height=64, width=32))
    loaded = autoreid.load(tmp_path / "net", device="cpu")
    pixels = torch.randint(256, (3, 3, 64, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, DEVIATION))
    with torch.inference_mode():
        expected = functional.normalize(model.embed((pixels / 255 - mean) / deviation))
    torch.testing.assert_close(loaded.embed(pixels), expected, rtol=0, atol=1e-5)
    assert loaded.feature_dim == 512


def test_what_is_no_such_osnet_is_told(weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    path.write_bytes(to_bytes({"a": torch.zeros(2)}))
    with pytest.raises(InputError, match=r"no weights of OSNet: a state dict with conv1\.conv\.weight"):
        convert(path)
    normed = weights | {"conv2.0.IN.weight": torch.zeros(64)}
    path.write_bytes(to_bytes(normed))
    with pytest.raises(InputError, match=r"unexpected weight backbone\.conv2\.0\.IN\.weight"):
        convert(path)
    path.write_bytes(save(weights)[:5000])
    with pytest.raises(InputError, match="damaged"):
        convert(path)
    path.write_bytes(b"no weights at all")
    with pytest.raises(InputError, match="not a file of autoreid, or damaged"):
        convert(path)
    path.write_bytes(to_bytes(weights))
    with pytest.raises(InputError, match="--height: 4 is too small"):
        convert(path, height=4)


def test_the_command_writes_what_other_commands_read(
    weights: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.pth.tar").write_bytes(to_bytes(weights))
    out = str(tmp_path / "net.safetensors")
    line = ["model", "from-torchreid", str(tmp_path / "model.pth.tar"), "--out", out]
    assert main([*line, "--height", "64", "--width", "32", "--licence", "MIT"]) == 0
    assert main(["model", "show", out]) == 0
    shown = capsys.readouterr().out
    for words in ("osnet-v1: conv5 yes", "neck        fc", "64 x 32", "training    not known", "ce     MIT"):
        assert words in shown
    assert main(["model", "show", out, "--json"]) == 0
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    assert recipe.keys() == {"height", "width", "width_multiplier", "channels", "layers", "neck"}
    assert recipe["width_multiplier"] == 0.25
    assert main(line) == 2
    assert "is there already" in capsys.readouterr().err
