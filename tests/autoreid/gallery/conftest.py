"""Small networks, their data, and the command line. Makes the helpers of these tests importable."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autoreid.cli import main
from autoreid.data.source import DataSource, open_index
from autoreid.feed import PreparedData
from autoreid.model_files import pack_model
from autoreid.models.assembly import build_network, initialise
from autoreid.published import CDNET_TRAIN
from autoreid.validation import divided
from search_spaces.published import PUBLISHED

sys.path.insert(0, str(Path(__file__).parent))

from random_galleries import ON_CPU

Run = Callable[..., tuple[int, str, str]]


def leave_network(folder: Path, data: PreparedData, seed: int, order: list[int]) -> Path:
    """An untrained narrow network in a folder, as a training on these identities of the data leaves it."""
    recipe = dataclasses.replace(CDNET_TRAIN, height=64, width=32, width_multiplier=0.25)
    genotype = PUBLISHED["cdnet-top1"]
    model = build_network(genotype, recipe.neck, len(order), recipe.macro)
    initialise(model, torch.Generator().manual_seed(seed))
    (folder / "model.pt").write_bytes(pack_model(model, recipe, genotype, order, data.fingerprint))
    return folder


@pytest.fixture(scope="session")
def checkpoints(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks of one architecture, with other weights."""
    order = small_data.identity_order
    return [leave_network(tmp_path_factory.mktemp("trained"), small_data, seed, order) for seed in range(2)]


@pytest.fixture(scope="session")
def without_half(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of half of the identities: of those that a division of seed 0 keeps."""
    order = divided(small_data, 0.5, seed=0).identity_order
    return leave_network(tmp_path_factory.mktemp("half"), small_data, 0, order)


@pytest.fixture(scope="session")
def checkpoint(checkpoints: list[Path]) -> Path:
    return checkpoints[0]


@pytest.fixture(scope="session")
def people(small_source: DataSource, cache: Path) -> Path:
    """The folder of the small data set."""
    return open_index(small_source, cache).root


@pytest.fixture(scope="session")
def gallery_once(checkpoint: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "g"
    line = ["gallery", "build", checkpoint, people / "bounding_box_test", "--out", folder, *ON_CPU]
    assert main([str(part) for part in line]) == 0
    return folder


@pytest.fixture
def built(gallery_once: Path, tmp_path: Path) -> Path:
    """A gallery of the small data set's gallery images, to be changed at will."""
    return shutil.copytree(gallery_once, tmp_path / "g")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """One command line: its exit code, what it says and what it says on stderr."""

    def called(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return called


@pytest.fixture
def told(run: Run) -> Callable[..., Any]:
    """One command line with --json that succeeds: what it says."""

    def called(*arguments: object) -> Any:
        code, said, complaints = run(*arguments, "--json")
        assert code == 0, complaints
        return json.loads(said)

    return called
