"""`autoreid complexity`: what it takes, what it counts, and what it says of the networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from autoreid.cli import main, run_command
from autoreid.complexity import measure
from autoreid.errors import InputError
from autoreid.model_files import pack_model
from autoreid.models.assembly import build_network, initialise
from autoreid.recipes import TrainRecipe
from autoreid.values import override
from search_spaces.published import PUBLISHED

NETWORK = PUBLISHED["cnet-top1"]
RECIPE = override(TrainRecipe(), {"height": 64, "width": 64, "width_multiplier": 0.25, "neck.name": "bnneck"})
PEOPLE = 3


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The folder of a training of images of 64 x 64."""
    model = build_network(NETWORK, RECIPE.neck, PEOPLE, RECIPE.macro)
    initialise(model, torch.Generator().manual_seed(0))
    (tmp_path / "model.pt").write_bytes(pack_model(model, RECIPE, NETWORK, list(range(PEOPLE)), "data"))
    return tmp_path


def complexity(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    assert main(["complexity", *map(str, arguments), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return found if isinstance(found, list) else [found]


def problems(*arguments: object) -> list[str]:
    with pytest.raises(InputError) as error:
        run_command(["complexity", *map(str, arguments)])
    return list(error.value.problems)


def test_trained_networks_are_counted_as_they_were_built(
    capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    portable = trained / "net.safetensors"
    assert main(["model", "pack", str(trained), "--out", str(portable)]) == 0
    capsys.readouterr()
    expected = measure(
        NETWORK, RECIPE.neck, identities=PEOPLE, height=64, width=64, macro=RECIPE.macro
    ).plain()
    rows = complexity(capsys, trained, trained / "model.pt", portable, "cnet-top1")
    assert [{name: row[name] for name in expected} for row in rows[:3]] == [expected] * 3
    assert [row["identities"] for row in rows] == [3, 3, 3, 751]
    assert [(row["height"], row["width"], row["width_multiplier"], row["neck"]) for row in rows[2:]] == [
        (64, 64, 0.25, "bnneck"),
        (256, 128, 1.0, "fblneck"),
    ]
    (more,) = complexity(capsys, portable, "--identities", 10)
    assert more["params"]["training"] - expected["params"]["training"] == 7 * 512 * 0.25


def test_the_text_tells_how_networks_are_built(capsys: pytest.CaptureFixture[str], trained: Path) -> None:
    assert main(["complexity", str(trained), "resnet50", "--height=64", "--neck=embedding"]) == 0
    text = capsys.readouterr().out
    assert f"{trained} images of 64 x 64; neck bnneck; width multiplier 0.25; 3 identities" in text
    assert " images of 64 x 128; neck embedding, f; 751 identities" in text
    listed = "the size of images, the neck and the number of identities"
    assert f"These networks differ in {listed}: the figures are not" in text
    same = ("--height=64", "--width=64", "--neck=bnneck", "--width-multiplier=0.25", "--identities=3")
    assert main(["complexity", str(trained), "cnet-top1", *same]) == 0
    assert "differ" not in capsys.readouterr().out
    assert main(["complexity", str(trained), "cnet-top1", *same, "--stem=cifar"]) == 0
    assert "These networks differ in the stem: the figures are not" in capsys.readouterr().out
    assert main(["complexity", "cdnet-top2", "cdnet-top1", "osnet"]) == 0
    assert "differ" not in capsys.readouterr().out


def test_the_stem_of_small_images(capsys: pytest.CaptureFixture[str]) -> None:
    small = ("cdnet-top2", "--height=32", "--width=32", "--identities=100")
    (found,) = complexity(capsys, *small, "--stem=cifar")
    assert (found["params"]["training"], found["multiply_adds"]["backbone"]) == (2_287_808, 437_664_768)
    (usual,) = complexity(capsys, *small, "--stem=imagenet")
    assert (usual["params"]["training"], usual["multiply_adds"]["backbone"]) == (2_295_488, 29_735_424)
    assert main(["complexity", *small, "--stem=cifar"]) == 0
    assert "width multiplier 1; stem cifar; 100 identities" in capsys.readouterr().out


def test_mistakes_are_told_together(trained: Path) -> None:
    found = problems("cdnet-top9", "--stem=cifr", "--identities=0")
    for words in (
        "--identities: 0 is too small. Use 1 or more.",
        "MODEL: no model 'cdnet-top9'. Did you mean 'cdnet-top",
        "--stem: 'cifr' is not one of imagenet, cifar.",
    ):
        assert any(problem.startswith(words) for problem in found), (words, found)
    assert problems(trained, "--stem=cifar") == [
        "--stem: trained models have sizes of their own. Leave it out."
    ]
