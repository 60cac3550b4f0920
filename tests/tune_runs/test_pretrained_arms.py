"""Arms whose networks are pretrained: what is planned, what is refused, and a real launch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from campaigns import FINGERPRINT
from PIL import Image

from autoreid.data.classes import Classes, Labelled
from autoreid.data.index import ImageIndex
from autoreid.data.source import ClassSource
from autoreid.errors import InputError, Problems
from autoreid.pretrain_recipes import CDNET_PRETRAIN
from tune_runs.campaign import Campaign, read_campaign
from tune_runs.opening import Opened, check_all, open_data
from tune_runs.overview import plan_plain, plan_without_running
from tune_runs.plan_words import plan_text
from tune_runs.planning import Plan, make_plan

CLASSES = "c" * 64
TEXT = """\
name: small
data: {set: rendered, identities: 16, cameras: 3, images: 4, height: 64, width: 32}
repeats: 2
search: {recipe: cdnet, epochs: 2, height: 64, width: 32, width_multiplier: 0.25,
         batch: {identities: 4, images: 2}}
pretrain: {recipe: imagenet, data: {set: imagefolder, root: colours}, epochs: 1, height: 32, width: 32,
           batch: 8}
train: {recipe: cdnet, epochs: 1, height: 64, width: 32, width_multiplier: 0.25,
        batch: {identities: 4, images: 2}, optimizer.learning_rate: 0.01}
arms:
  scratch: {genotype: cnet-top1}
  pretrained: {genotype: cnet-top1, pretrain: {}}
"""
FOUND = TEXT + "  found: {search: {}, pretrain: {epochs: 3}}\n"


def read(text: str = TEXT, *settings: str) -> Campaign:
    return read_campaign(text, "small.yaml", Path("/files"), settings)


def planned(text: str = TEXT, *settings: str) -> Plan:
    return make_plan(read(text, *settings), FINGERPRINT, CLASSES)


def problems_of(text: str = TEXT, *settings: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read(text, *settings)
    return caught.value.problems


def test_a_network_is_pretrained_once_and_serves_all_its_repeats() -> None:
    plan = planned()
    assert [(entry.arm, entry.repeat, entry.kind) for entry in plan.entries] == [
        ("scratch", 0, "train"),
        ("pretrained", 0, "pretrain"),
        ("pretrained", 0, "train"),
        ("scratch", 1, "train"),
        ("pretrained", 1, "train"),
    ]
    pretrain = next(job for job in plan.jobs.values() if job.kind == "pretrain")
    assert (pretrain.data, pretrain.seeds) == (CLASSES, (("train", 0),))
    trained = [plan.jobs[entry.job] for entry in plan.entries if entry.kind == "train"]
    assert [job.needs for job in trained] == [(), (pretrain.id,), (), (pretrain.id,)]
    assert {job.data for job in trained} == {FINGERPRINT}
    assert plan.sources[CLASSES] == ClassSource("imagefolder", "/files/colours")


def test_seeds_of_pretrainings_vary_where_that_is_asked_for() -> None:
    plan = planned(TEXT + "vary: [search, pretrain, train]\n")
    assert sorted(dict(job.seeds)["train"] for job in plan.jobs.values() if job.kind == "pretrain") == [0, 1]


def test_networks_that_are_found_are_pretrained_each() -> None:
    plan = planned(FOUND)
    search, pretrain, train = [plan.jobs[e.job] for e in plan.entries if e.arm == "found" and e.repeat == 1]
    assert (pretrain.needs, train.needs) == ((search.id,), (search.id, pretrain.id))
    assert plan.count("pretrain") == 3


def test_the_best_alone_is_pretrained_once() -> None:
    plan = planned(FOUND + "select: supernet\ntrained: best\ntrainings: 3\n")
    mine = [plan.jobs[entry.job] for entry in plan.entries if entry.arm == "found"]
    assert [job.kind for job in mine] == ["search"] * 2 + ["select", "pretrain"] + ["train"] * 3
    assert all(job.needs == (mine[2].id, mine[3].id) for job in mine[4:])


def test_a_pretraining_can_stand_alone() -> None:
    plan = planned(TEXT + "  alone: {genotype: cdnet-top2, pretrain: {}, train: false}\n")
    assert [entry.kind for entry in plan.entries if entry.arm == "alone"] == ["pretrain"]


def test_its_network_has_the_size_of_the_one_that_is_trained() -> None:
    arm = read().arms[1]
    assert arm.pretrain is not None and arm.train is not None
    assert arm.pretrain.width_multiplier == arm.train.width_multiplier == 0.25
    assert arm.pretrain.optimizer == CDNET_PRETRAIN.optimizer
    grid = read(TEXT + "grid: {pretrain.epochs: [1, 2]}\n")
    assert [arm.name for arm in grid.arms] == ["scratch", "pretrained, epochs=1", "pretrained, epochs=2"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("root: colours", "rot: colours"), "6: pretrain.data.rot: no field 'rot'. Did you mean 'root'?"),
        (("set: imagefolder", "set: imagenet"), "6: pretrain.data.set: no data set 'imagenet'."),
        (("data: {set: imagefolder, root: colours}, ", ""), "6: pretrain.data: missing. Write 'data: {set:"),
        (
            ("pretrain: {}", "pretrain: {data: {root: x}}"),
            "12: arms.pretrained.pretrain.data.root: one data set",
        ),
        (
            ("arms:", "grid: {pretrain.data.root: [a, b]}\narms:"),
            "10: grid.pretrain.data.root: one data set serves all arms.",
        ),
        ((", pretrain: {}", "}\nvary: [search, pretrain]#"), "13: vary: no arm is pretrained: leave"),
        ((", pretrain: {}", "}\nseeds: {pretrain: 3}#"), "13: seeds: no arm is pretrained: leave"),
        (("pretrain: {}", "pretrain: {epoch: 3}"), "12: arms.pretrained.pretrain.epoch: no field 'epoch'."),
        (
            ("pretrain: {}", "pretrain: {channels: 32}"),
            "12: arms.pretrained.pretrain.channels: 32, but the network is trained with 64.",
        ),
        (
            ("pretrain: {}", "pretrain: {}, train: {weights: imagenet}"),
            "12: arms.pretrained.train.weights: the network is pretrained too. Leave one of the two out.",
        ),
        ((", pretrain: {}", ""), "6: pretrain: no arm is pretrained."),
        (("recipe: imagenet, data", "recipe: imagenett, data"), "6: pretrain.recipe: no recipe 'imagenett'."),
    ],
)
def test_mistakes_name_their_place_and_remedy(change: tuple[str, str], problem: str) -> None:
    found = problems_of(TEXT.replace(*change))
    assert any(text.startswith(f"small.yaml:{problem}") for text in found), found


def test_a_pretraining_takes_the_place_of_a_recipes_own_weights() -> None:
    arm = read(TEXT.replace("pretrain: {}", "pretrain: {}, train: {recipe: auto-reid-imagenet}")).arms[1]
    assert arm.train is not None and arm.train.weights == "" and arm.pretrain is not None


def test_a_batch_fits_the_images() -> None:
    few = Labelled(np.zeros(7, np.int64), lambda number: Image.new("RGB", (8, 8)))
    rendered = ImageIndex(Path(), ("a.jpg",), np.array([1]), np.array([1]), np.array(["train"]))
    opened = Opened({"rendered": rendered}, Classes(few, few, ("a",), CLASSES))
    with pytest.raises(InputError, match=r"small\.yaml:7: pretrain\.batch: 8, but there are 7 images"):
        check_all(read(), opened)
    problems = Problems()
    assert open_data(read(), problems).indexes
    assert "/files/colours/train" in problems.found[0] and problems.found[0].startswith("pretrain.data: ")


def test_what_is_there_is_checked_where_the_classes_are_not() -> None:
    plan, missing = plan_without_running(read())
    assert plan.fingerprint == "" and missing is not None and "/files/colours/train" in missing
    with pytest.raises(InputError, match="400, but the training set has"):
        plan_without_running(read(TEXT, "train.batch.identities=400"))


def test_a_plan_says_what_varies() -> None:
    varied = [
        plan_text(plan_plain(planned(TEXT, f"vary={vary}"), None, None))
        for vary in ("[search, pretrain, train]", "[split, search, train]")
    ]
    assert "repeats vary the seeds of: search, pretrain, train" in varied[0]
    assert "repeats vary" not in varied[1]


def test_a_plan_names_the_pretrainings() -> None:
    plain = plan_plain(planned(FOUND), None, None)
    assert plain["jobs"] | {"select": 0} == plain["jobs"] and plain["jobs"]["pretrain"] == 3
    text = plan_text(plain)
    assert "pretraining on: set=imagefolder root=/files/colours" in text
    assert "pretrained (32 x 32, width 0.25, batch 8, 1 epoch): pretrained\n" in text
    assert "2 searches, 3 pretrainings, 6 trainings" in text


@pytest.mark.slow
@pytest.mark.ray
def test_a_launch_with_a_rehearsal(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name, colour in (("blue", (40, 60, 220)), ("red", (220, 50, 40))):
            folder = tmp_path / "colours" / split / name
            folder.mkdir(parents=True)
            for number in range(16):
                pixels = np.clip(np.array(colour) + random.integers(-30, 30, (36, 40, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "small.yaml").write_text(TEXT.replace("batch: 8}", "batch: 4}"))
    autoreid = str(Path(sys.executable).parent / "autoreid")
    run = [autoreid, "campaign", "run", "small.yaml", "--storage", "storage", "--quiet", "--json"]
    done = subprocess.run([*run, "--rehearse"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ran"] == 5
    again = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(again.stdout)["reused"] == 5
    subprocess.run(
        [autoreid, "report", "storage"], cwd=tmp_path, capture_output=True, timeout=300, check=True
    )
    page = (tmp_path / "storage/report/report.md").read_text()
    assert "pretrained" in page and "top-1" in page
