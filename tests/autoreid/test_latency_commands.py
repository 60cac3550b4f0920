"""`autoreid latency`: what it takes, answers and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.model_files import pack_model
from autoreid.models.assembly import build_network, initialise
from autoreid.recipes import TrainRecipe
from autoreid.values import override
from search_spaces.published import PUBLISHED

SMALL = ("--height=64", "--width=32", "--width-multiplier=0.25", "--threads=1", "--device=cpu")
ONCE = ("--batch=2", "--images=4", "--rounds=2")


@pytest.fixture(autouse=True)
def same_threads() -> None:
    torch.set_num_threads(1)


def latency(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["latency", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def problems(*arguments: str) -> list[str]:
    from autoreid.cli import run_command

    with pytest.raises(InputError) as error:
        run_command(["latency", *arguments])
    return list(error.value.problems)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The folder of a training of 64 x 64 images."""
    changes = {"height": 64, "width": 64, "width_multiplier": 0.25, "neck.name": "bnneck"}
    recipe = override(TrainRecipe(), changes)
    model = build_network(PUBLISHED["cnet-top1"], recipe.neck, 3, recipe.macro)
    initialise(model, torch.Generator().manual_seed(0))
    (tmp_path / "model.pt").write_bytes(pack_model(model, recipe, PUBLISHED["cnet-top1"], [0, 1, 2], "data"))
    return tmp_path


def test_names_files_and_trained_models_are_timed_together(
    capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    genotype = trained / "genotype.json"
    genotype.write_text(PUBLISHED["cdnet-top1"].to_json())
    given = ("cdnet-top2", str(genotype), str(trained))
    found = latency(capsys, *given, *SMALL, *ONCE)
    rows = found["models"]
    assert [row["model"] for row in rows] == list(given)
    assert [row["genotype_digest"] for row in rows] == [
        PUBLISHED[name].digest for name in ("cdnet-top2", "cdnet-top1", "cnet-top1")
    ]
    # A trained model brings its own sizes and neck.
    assert [(row["height"], row["width"], row["neck"]) for row in rows] == [
        *[(64, 32, "fblneck")] * 2,
        (64, 64, "bnneck"),
    ]
    assert rows[0]["times_as_fast"] == 1
    assert (found["images"], found["passes"], found["protocol"], found["pixels"]) == (4, 2, None, "random")
    assert found["device_kind"] == "cpu" and found["threads"] == 1 and found["forms"] == "default"
    assert all(len(row["passes_seconds"]) == 2 for row in rows)


def test_both_batch_sizes_by_default_and_sixteen_images_at_least(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = latency(capsys, "cdnet-top2", *SMALL, "--batch=1", "--batch=3", "--rounds=1")
    assert [row["batch"] for row in found["models"]] == [1, 3]
    assert found["images"] == 16


def test_a_changed_protocol_is_said_to_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("cdnet-top2", *SMALL, "--protocol=table12", "--images=129", "--passes=1")
    found = latency(capsys, *given)
    assert (found["protocol"], found["changed"], found["images"], found["passes"]) == (
        "table12",
        True,
        129,
        1,
    )
    assert [row["batch"] for row in found["models"]] == [128]
    assert main(["latency", *given]) == 0
    text = capsys.readouterr().out
    assert "Table 12's protocol, changed to 1 pass of 129 images, random pixels" in text
    assert "Memory: the sizes of the tensors of a batch" in text


def test_real_images_forms_and_precision(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    data = (
        "--data=rendered",
        "--data-option=identities=8",
        "--data-option=images=2",
        "--data-option=height=64",
    )
    found = latency(
        capsys,
        "cdnet-top2",
        *SMALL,
        *ONCE,
        *data,
        "--data-option=width=32",
        f"--cache={cache}",
        "--precision=bf16",
        "--execution=memory_format=contiguous",
    )
    assert (found["pixels"], found["precision"]) == ("rendered", "bf16")
    assert found["forms"] == "memory_format=contiguous"


def test_every_mistake_is_told_at_once() -> None:
    found = problems("cdnet-top9", "resnet18", "resnet18", "--batch=0", "--rounds=0", "--precision=fp8")
    for words in (
        "--batch: 0 is too small. Use 1 or more.",
        "--rounds: 0 is too small. Use 1 or more.",
        "--precision: 'fp8' is not one of fp32, tf32, bf16.",
        "resnet18: given twice. Give every model once.",
        "MODEL: no model 'cdnet-top9'. Did you mean 'cdnet-top",
    ):
        assert any(problem.startswith(words) for problem in found), (words, found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cdnet-top2", "--images=4", "--batch=8"), "--images: 4 images are no batch of 8."),
        (("cdnet-top2", "--batch=4", "--batch=4"), "--batch: 4 is given twice."),
        (("cdnet-top2", "--protocol=table1"), "--protocol: no protocol 'table1'. Did you mean 'table12'?"),
        (
            ("cdnet-top2", "--protocol=table12", "--batch=8"),
            "--batch: the protocol table12 has batches of 128.",
        ),
        (("cdnet-top2", "--protocol=table12", "--images=100"), "--images: 100 images are no batch of 128."),
        (("cdnet-top2", "--height=16"), "--stripes: 2 stripes of a map of at most 1 rows."),
        (("cdnet-top2", "--height=8"), "--height: 8 is too small. Use 16 or more."),
        (("cdnet-top2", "--neck=fbl"), "--neck: 'fbl' is not one of bnneck"),
        (
            ("resnet18", "--width-multiplier=0.5"),
            "--width-multiplier: 0.5, but networks of resnet-v1 have none.",
        ),
        (("cdnet-top2", "--cache=x"), "--data-set, --data-option, --cache: without effect."),
    ],
)
def test_mistakes(arguments: tuple[str, ...], words: str) -> None:
    assert [problem for problem in problems(*arguments) if problem.startswith(words)], problems(*arguments)


def test_an_image_too_small_for_a_part_aware_network(tmp_path: Path) -> None:
    from search_spaces.registry import find_space

    space = find_space("reid-v1")
    alphas = {place: torch.zeros(len(options)) for place, options in space.places.items()}
    for place, options in space.places.items():
        alphas[place][options.index("part_aware")] = 1.0
    (tmp_path / "parts.json").write_text(space.derive(alphas).to_json())
    (problem,) = problems(str(tmp_path / "parts.json"), "--height=32", "--neck=bnneck")
    assert problem.startswith("--height: 32")


def test_files_that_are_no_models(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "half.json").write_text('{"version": 1')
    found = problems(*(str(tmp_path / name) for name in ("empty", "text.pt", "half.json")))
    assert len(found) == 3
    for name, problem in zip(("empty/model.pt", "text.pt", "half.json"), found, strict=True):
        assert problem.startswith(f"{tmp_path}/{name}")


def test_sizes_have_no_effect_on_trained_models_alone(trained: Path) -> None:
    found = problems(str(trained), "--height=64", "--neck=bnneck")
    assert found == [
        f"--{flag}: trained models have sizes of their own. Leave it out." for flag in ("height", "neck")
    ]


def test_the_text_tells_how_the_networks_are_built_and_in_what_they_differ(
    capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    assert main(["latency", "cdnet-top2", str(trained), *SMALL, *ONCE, "--batch=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    size = len(str(trained))
    assert lines[-4:-1] == [
        f"{'cdnet-top2':<{size}} images of 64 x 32; neck fblneck, 2 stripes; width multiplier 0.25",
        f"{trained} images of 64 x 64; neck bnneck; width multiplier 0.25",
        "These networks differ in the size of images and the neck: the figures are not those of the "
        "architectures alone.",
    ]
    alike = ("cdnet-top2", "cdnet-top1", *SMALL, *ONCE)
    assert main(["latency", *alike]) == 0
    assert "differ" not in capsys.readouterr().out
    (row, _) = latency(capsys, *alike)["models"]
    assert (row["width_multiplier"], row["channels"], row["stripes"]) == (0.25, None, 2)


def test_a_portable_file_is_a_trained_model(capsys: pytest.CaptureFixture[str], trained: Path) -> None:
    portable = trained / "net.safetensors"
    assert main(["model", "pack", str(trained / "model.pt"), "--out", str(portable)]) == 0
    capsys.readouterr()
    found = latency(capsys, str(trained), str(portable), "--threads=1", "--device=cpu", *ONCE)
    first, second = found["models"]
    same = ("genotype_digest", "height", "width", "neck", "parameters", "multiply_adds", "peak_memory_bytes")
    assert {name: first[name] for name in same} == {name: second[name] for name in same}
