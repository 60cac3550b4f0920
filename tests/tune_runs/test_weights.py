"""Weights in a campaign: a path in the file, content in its jobs, bytes in its storage."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from campaigns import FINGERPRINT

from autoreid.errors import InputError
from autoreid.folders import sha256
from autoreid.recipes import TrainRecipe
from autoreid.snapshots import to_bytes
from autoreid.storage import Storage
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED
from search_spaces.registry import find_space
from tune_runs.campaign import load_campaign
from tune_runs.planning import Plan, make_plan
from tune_runs.weights import provide_weights

TEXT = """\
# What it shows.
name: weighed
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
repeats: 2
train: {recipe: cdnet, epochs: 3, width_multiplier: 0.1}
arms:
  scratch: {genotype: cnet-top2}
  begun:
    genotype: cnet-top2
    train: {weights: mine.pt}
"""


@functools.cache
def weights_for(name: str, value: float = 1.0) -> bytes:
    """A file with the backbone of a published network, small, all weights alike."""
    genotype = PUBLISHED[name]
    backbone = find_space(genotype.space).network(genotype, Macro(width_multiplier=0.1))
    return to_bytes({key: torch.full_like(weight, value) for key, weight in backbone.state_dict().items()})


MINE, OTHERS = weights_for("cnet-top2"), weights_for("cnet-top2", 2.0)


def campaign_at(folder: Path, text: str = TEXT, weights: bytes = MINE) -> Path:
    (folder / "mine.pt").write_bytes(weights)
    file = folder / "weighed.yaml"
    file.write_text(text)
    return file


def plan_of(file: Path, *settings: str) -> Plan:
    return make_plan(load_campaign(str(file), settings), FINGERPRINT)


def weights_of(plan: Plan) -> set[str]:
    return {job.recipe.weights for job in plan.jobs.values() if isinstance(job.recipe, TrainRecipe)}


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    plan = plan_of(campaign_at(tmp_path))
    assert weights_of(plan) == {"", f"sha256:{sha256(MINE)}"} and len(plan.jobs) == 4
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert plan_of(campaign_at(elsewhere)).jobs.keys() == plan.jobs.keys()


def test_a_launch_puts_the_files_into_the_storage(tmp_path: Path) -> None:
    plan, storage = plan_of(campaign_at(tmp_path)), Storage(tmp_path / "storage")
    provide_weights(plan, storage.folder)
    name = f"weights/{sha256(MINE)}.pt"
    assert storage.folder.sizes() == {name: len(MINE)}
    (tmp_path / "mine.pt").unlink()
    provide_weights(plan, storage.folder)  # it is there


def test_paths_of_the_command_line_begin_where_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = campaign_at(tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    (here / "other.pt").write_bytes(OTHERS)
    monkeypatch.chdir(here)
    plan = plan_of(file, "arms.begun.train.weights=other.pt")
    assert f"sha256:{sha256(OTHERS)}" in weights_of(plan)


def test_every_mistake_is_reported_with_its_line(tmp_path: Path) -> None:
    text = TEXT.replace("mine.pt", "missing.pt") + (
        "  searched:\n"
        "    search: {recipe: cdnet, epochs: 2}\n"
        "    train: {weights: mine.pt}\n"
        "  alien: {genotype: cdnet-top2, train: {weights: imagenet}}\n"
    )
    file = campaign_at(tmp_path, text)
    with pytest.raises(InputError) as error:
        load_campaign(str(file))
    missing, searched, alien = error.value.problems
    assert missing.startswith(f"{file}:10: arms.begun.train.weights: {tmp_path}/missing.pt: cannot be read")
    assert searched.startswith(f"{file}:13: arms.searched.train.weights: they are of one network")
    assert alien.startswith(f"{file}:14: arms.alien.train.weights: 'imagenet' is torchvision's weights of")


def test_weights_of_another_network_are_refused_where_they_are_given(tmp_path: Path) -> None:
    alien = tmp_path / "alien"
    alien.mkdir()
    file = campaign_at(alien, weights=weights_for("cnet-top1"))
    with pytest.raises(InputError) as error:
        load_campaign(str(file))
    place = f"{file}:10: arms.begun.train.weights: {alien}/mine.pt:"
    assert all(problem.startswith(place) for problem in error.value.problems)
    text = str(error.value)
    assert "more missing weights:" in text and "more unexpected weights:" in text


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    file = campaign_at(tmp_path, TEXT.replace("weights: mine.pt", "weights: mine.pt, width_multiplier: 0.2"))
    with pytest.raises(InputError, match=r":10: arms\.begun\.train\.weights: .*has shape"):
        load_campaign(str(file))


def test_a_size_that_cannot_be_built_is_reported_alone(tmp_path: Path) -> None:
    text = TEXT.replace("cnet-top2", "darts-v2-net").replace("mine.pt", "mine.pt, layers: [2, 2]")
    file = campaign_at(tmp_path, text)
    with pytest.raises(InputError) as error:
        load_campaign(str(file))
    (problem,) = error.value.problems
    assert problem.startswith(f"{file}:10: arms.begun.train.layers: [2, 2] is not four numbers")


def test_imagenet_weights_are_not_needed_for_a_plan(tmp_path: Path) -> None:
    text = TEXT.replace("cnet-top2", "resnet50").replace("mine.pt", "imagenet")
    assert weights_of(plan_of(campaign_at(tmp_path, text))) == {"", "imagenet"}
