"""Weights in a campaign: a path in the file, content in its jobs, bytes in its storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import FINGERPRINT

from autoreid.errors import InputError
from autoreid.folders import sha256
from autoreid.recipes import TrainRecipe
from autoreid.storage import Storage
from tune_runs.campaign import load_campaign
from tune_runs.planning import Plan, make_plan
from tune_runs.weights import provide_weights

TEXT = """\
# What it shows.
name: weighed
data: {set: rendered, identities: 16, cameras: 3, images: 2, height: 64, width: 32}
repeats: 2
train: {recipe: cdnet, epochs: 3}
arms:
  scratch: {genotype: cnet-top2}
  begun:
    genotype: cnet-top2
    train: {weights: mine.pt}
"""


def campaign_at(folder: Path, text: str = TEXT) -> Path:
    (folder / "mine.pt").write_bytes(b"weights")
    file = folder / "weighed.yaml"
    file.write_text(text)
    return file


def plan_of(file: Path, *settings: str) -> Plan:
    return make_plan(load_campaign(str(file), settings), FINGERPRINT)


def weights_of(plan: Plan) -> set[str]:
    return {job.recipe.weights for job in plan.jobs.values() if isinstance(job.recipe, TrainRecipe)}


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    plan = plan_of(campaign_at(tmp_path))
    assert weights_of(plan) == {"", f"sha256:{sha256(b'weights')}"} and len(plan.jobs) == 4
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert plan_of(campaign_at(elsewhere)).jobs.keys() == plan.jobs.keys()


def test_a_launch_puts_the_files_into_the_storage(tmp_path: Path) -> None:
    plan, storage = plan_of(campaign_at(tmp_path)), Storage(tmp_path / "storage")
    provide_weights(plan, storage.folder)
    name = f"weights/{sha256(b'weights')}.pt"
    assert storage.folder.sizes() == {name: 7}
    (tmp_path / "mine.pt").unlink()
    provide_weights(plan, storage.folder)  # it is there


def test_paths_of_the_command_line_begin_where_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = campaign_at(tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    (here / "other.pt").write_bytes(b"others")
    monkeypatch.chdir(here)
    plan = plan_of(file, "arms.begun.train.weights=other.pt")
    assert f"sha256:{sha256(b'others')}" in weights_of(plan)


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


def test_imagenet_weights_are_not_needed_for_a_plan(tmp_path: Path) -> None:
    text = TEXT.replace("cnet-top2", "resnet50").replace("mine.pt", "imagenet")
    assert weights_of(plan_of(campaign_at(tmp_path, text))) == {"", "imagenet"}
