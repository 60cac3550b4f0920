"""What cannot work is told before data is read: sizes that a network does not have, weights of another."""

from __future__ import annotations

import argparse
import typing
from pathlib import Path

import pytest
import torch

from autoreid.cli import main
from autoreid.commands import TRAIN
from autoreid.data.source import ClassSource
from autoreid.errors import InputError
from autoreid.models.commands import COMPLEXITY
from autoreid.pretrain_commands import PRETRAIN
from autoreid.recipes import Neck, TrainRecipe
from autoreid.sizes import check_network
from autoreid.snapshots import to_bytes
from autoreid.values import fields_of
from autoreid.weights import given
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED
from search_spaces.registry import SPACES, find_space

# Folders of a data set without an image: a command that came to its data would say that there is none.
NO_DATA = ["--data", "no-data", "--out", "out"]
COMMANDS = {command.name: command for command in (TRAIN, PRETRAIN, COMPLEXITY)}
SMALL = Macro(width_multiplier=0.1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "no-data" / name).mkdir(parents=True)
    return tmp_path


def problems_of(name: str, *arguments: str) -> tuple[str, ...]:
    """What a command that is refused says; it has begun nothing."""
    parser = argparse.ArgumentParser()
    COMMANDS[name].configure(parser)
    with pytest.raises(InputError) as error:
        COMMANDS[name].run(parser.parse_args(arguments))
    assert "no-data" not in str(error.value) and not Path("out").exists()
    return error.value.problems


def weights_at(path: Path, content: dict[str, torch.Tensor]) -> str:
    path.write_bytes(to_bytes(content))
    return str(path)


def backbone_of(name: str) -> dict[str, torch.Tensor]:
    genotype = PUBLISHED[name]
    return dict(find_space(genotype.space).network(genotype, SMALL).state_dict())


def part_aware_network() -> Genotype:
    space = SPACES["reid-v1"]
    drawn = (space.sample(torch.Generator().manual_seed(seed)) for seed in range(100))
    return next(genotype for genotype in drawn if "part_aware" in dict(genotype.choices).values())


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        (
            ["train", "--genotype", "resnet18", *NO_DATA, "--set", "channels=16", "--set", "layers=1,1"],
            [
                "--set channels: 16, but networks of resnet-v1",
                "--set layers: [1, 1], but networks of resnet-v1",
            ],
        ),
        (
            ["pretrain", "--genotype", "darts-v2-net", *NO_DATA, "--set", "width_multiplier=0.5"],
            ["--set width_multiplier: 0.5, but networks of darts8-v1 have none."],
        ),
        (
            ["complexity", "cdnet-top2", "--channels", "8"],
            [
                "--channels: 8, but networks of cds-v1 have none. Leave it out. They have: width_multiplier, "
                "stem."
            ],
        ),
        (
            ["complexity", "resnet18", "darts-v2-net", "--width-multiplier", "0.5"],
            [
                "--width-multiplier: 0.5, but networks of resnet-v1",
                "--width-multiplier: 0.5, but networks of da",
            ],
        ),
        (
            ["train", "--genotype", "no.json", *NO_DATA, "--set", "epoch=3"],
            ["no model 'no.json'", "--set epoch: no field 'epoch'"],
        ),
    ],
)
def test_sizes_that_a_network_does_not_have_are_refused(
    arguments: list[str], problems: list[str], here: Path
) -> None:
    for found, begins in zip(problems_of(*arguments), problems, strict=True):
        assert found.startswith(begins)


@pytest.mark.parametrize("command", ["train", "pretrain", "complexity"])
def test_images_that_are_too_low_are_refused_by_name(command: str, here: Path) -> None:
    (here / "g.json").write_text(part_aware_network().to_json())
    flags = ["--genotype", "g.json", *NO_DATA, "--set", "height=32"]
    (problem,) = problems_of(command, *(["g.json", "--height=32"] if command == "complexity" else flags))
    assert "height: 32 gives a last map of 1 rows, and part_aware has 4 parts." in problem


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_usual_sizes_fit_every_published_network(name: str) -> None:
    check_network(TrainRecipe(), PUBLISHED[name])


def test_weights_of_another_network_are_refused(here: Path) -> None:
    file = weights_at(here / "other.pt", backbone_of("cnet-top1"))
    flags = ["--genotype", "cnet-top2", *NO_DATA, "--set", "width_multiplier=0.1", "--weights", file]
    text = "\n".join(problems_of("train", *flags))
    assert f"{file}: no weight " in text and f"{file}: unexpected weight " in text


def test_a_file_is_compared_with_the_network_of_its_size(tmp_path: Path) -> None:
    network = PUBLISHED["cnet-top2"]
    file = weights_at(tmp_path / "a.pt", backbone_of("cnet-top2"))
    assert given(file, network, macro=SMALL) == given(file, network)
    with pytest.raises(InputError, match=r"a\.pt: trunk\.stem.* has shape .*, the network's is"):
        given(file, network, macro=Macro(width_multiplier=0.2))


def test_of_many_weights_that_do_not_fit_the_first_are_named(tmp_path: Path) -> None:
    file = weights_at(tmp_path / "a.pt", {str(number): torch.ones(1) for number in range(9)})
    with pytest.raises(InputError) as error:
        given(file, PUBLISHED["cnet-top2"], macro=SMALL)
    names = list(backbone_of("cnet-top2"))
    assert list(error.value.problems) == [
        *(f"{file}: no weight {name}." for name in names[:5]),
        f"{file}: more missing weights: {len(names) - 5}.",
        *(f"{file}: unexpected weight {name}." for name in range(5)),
        f"{file}: more unexpected weights: 4.",
    ]


def test_the_necks_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["complexity", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in typing.get_args(fields_of(Neck)["name"][0]))


def test_the_printed_convention_is_in_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complexity", "cdnet-top2", "resnet18"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = lines[lines.index("backbone and one linear classifier, as Auto-ReID counts them:") + 1 :]
    assert [row.split()[0] for row in rows] == ["cdnet-top2", "resnet18"]
    assert f"{1_747_448 + 512 * 751 + 751:,} parameters" in rows[0]
    assert f"{948_771_840 + 512 * 751:,} multiply-adds" in rows[0]


def test_a_class_source_that_is_no_group_is_shown() -> None:
    with pytest.raises(InputError, match=r"pretrain\.data: 'imagenet' is not a group of fields\. Write for"):
        ClassSource.from_plain("imagenet")
