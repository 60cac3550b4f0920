"""Campaigns of classifications alone: no data of people, nothing trained after the pretraining."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from PIL import Image

from autoreid.data.classes import Classes, Labelled
from autoreid.data.source import ClassSource
from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.campaign import Campaign, load_campaign, read_campaign
from tune_runs.json_schema import campaign_schema
from tune_runs.manifest import manifest_of
from tune_runs.opening import Opened, check_all, plan_on
from tune_runs.overview import plan_plain, plan_without_running
from tune_runs.plan_words import plan_text
from tune_runs.planning import Plan, make_plan

CLASSES = "c" * 64
TEXT = """\
name: classes
repeats: 2
pretrain: {recipe: cifar100, data: {set: imagefolder, root: colours}, width_multiplier: 0.25, epochs: 1,
           batch: 4}
arms:
  CDNet: {genotype: cdnet-top2, pretrain: {}}
  Random: {random: cds-v1, pretrain: {neck.name: blneck}}
"""


def read(text: str = TEXT, *settings: str) -> Campaign:
    return read_campaign(text, "classes.yaml", Path("/files"), settings)


def planned(text: str = TEXT, *settings: str) -> Plan:
    return make_plan(read(text, *settings), "", CLASSES)


def labelled(count: int) -> Labelled:
    return Labelled(np.arange(count) % 2, lambda number: Image.new("RGB", (8, 8)))


def test_repeats_are_seeds_of_the_classification() -> None:
    plan = planned()
    assert [(entry.arm, entry.repeat, entry.kind) for entry in plan.entries] == [
        ("CDNet", 0, "pretrain"),
        ("Random", 0, "pretrain"),
        ("CDNet", 1, "pretrain"),
        ("Random", 1, "pretrain"),
    ]
    jobs = list(plan.jobs.values())
    assert [dict(job.seeds)["train"] for job in jobs] == [0, 0, 1, 1]
    assert jobs[0].genotype == jobs[2].genotype and jobs[1].genotype != jobs[3].genotype
    assert [entry.sampled for entry in plan.entries] == [None, 0, None, 1]
    assert {job.data for job in jobs} == {CLASSES}
    assert plan.sources == {CLASSES: ClassSource("imagefolder", "/files/colours")}
    assert plan.campaign.source is None and plan.fingerprints == plan.campaign.sets == {}


def test_the_stem_is_that_of_the_recipe_unless_the_network_is_trained_too() -> None:
    assert [arm.pretrain.stem for arm in read().arms if arm.pretrain] == ["cifar", "cifar"]
    trained = read(TEXT + "data: rendered\ntrain: {recipe: cdnet, width_multiplier: 0.25}\n")
    assert [arm.pretrain.stem for arm in trained.arms if arm.pretrain] == ["imagenet", "imagenet"]
    assert trained.protocol.vary == ("split", "search", "train")
    with pytest.raises(InputError, match="stem: cifar, but the network is trained with imagenet"):
        read(TEXT + "data: rendered\ntrain: {recipe: cdnet, width_multiplier: 0.25}\n", "pretrain.stem=cifar")


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ("train: {recipe: cdnet}\n", "classes.yaml: data: missing. Write 'data: rendered', or"),
        ("  trained: {genotype: cnet-top1, pretrain: {}, train: {recipe: cdnet}}\n", "data: missing."),
        ("  searched: {search: {recipe: cdnet}, pretrain: {}}\n", "data: missing."),
        ("  plain: {genotype: cnet-top1}\n", "data: missing."),
        ("  plain: {genotype: cnet-top1, train: false}\n", "arms.plain: has nothing to do"),
        ("  ends: {genotype: osnet, pretrain: {channels: 8}}\n", "channels: 8, but networks of osnet-v1"),
        ("  ends: {genotype: osnet, pretrain: {stem: small}}\n", "stem: 'small'"),
        ("evaluation: {rerank: true}\n", "evaluation: no arm is trained. Remove it."),
        ("trained_on: rendered\n", "trained_on: nothing is trained. Leave it out."),
    ],
)
def test_what_a_classification_cannot_have_is_named(added: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read(TEXT + added)
    assert any(problem in text for text in caught.value.problems), caught.value.problems


def test_editors_know_it_by_its_schema() -> None:
    validator = jsonschema.Draft7Validator(campaign_schema())
    assert not list(validator.iter_errors(yaml.safe_load(TEXT)))
    (found,) = validator.iter_errors({"name": "one", "arms": {"a": {"genotype": "osnet"}}})
    assert not found.absolute_path


def test_a_plan_says_what_is_classified() -> None:
    plan = plan_on(read(), Opened({}, Classes(labelled(8), labelled(4), ("a", "b"), CLASSES)))
    plain = plan_plain(plan, None, None)
    assert (plain["data"], plain["data_sets"], plain["classes_fingerprint"]) == (None, [], CLASSES)
    text = plan_text(plain)
    assert "4 pretrainings" in text and "\ndata:" not in text
    assert "repeats vary the seeds of: search, pretrain" in text
    manifest = manifest_of(plan, "", "")
    assert (manifest["data"], manifest["data_fingerprint"]) == (None, None)
    assert manifest["classes"] == {"set": "imagefolder", "root": "/files/colours"}


def test_a_batch_fits_the_images() -> None:
    few = Opened({}, Classes(labelled(3), labelled(3), ("a", "b"), CLASSES))
    with pytest.raises(InputError, match=r"pretrain\.batch: 4, but there are 3 images"):
        check_all(read(), few)


def test_classes_that_are_not_here_are_named() -> None:
    plan, missing = plan_without_running(read())
    assert missing is not None and "/files/colours/train" in missing
    text = plan_text(plan_plain(plan, None, missing))
    assert "elsewhere: --set pretrain.data.root=DIR)" in text


@pytest.mark.parametrize("name", ["cdnet_table4", "cdnet_table11"])
def test_the_shipped_ones_classify_four_times(name: str) -> None:
    plan = make_plan(load_campaign(name), "", CLASSES)
    assert plan.count("pretrain") == len(plan.jobs) == 4 * len(plan.campaign.arms)


def test_widths_and_resolutions_of_table_10_share_their_pretrainings() -> None:
    plan = make_plan(load_campaign("cdnet_table10"), "f" * 64, CLASSES)
    assert (plan.count("pretrain"), plan.count("train"), len(plan.campaign.arms)) == (8, 128, 32)
    arm = next(arm for arm in plan.campaign.arms if arm.name == "OSNet, gamma=0.5, width_multiplier=0.75")
    assert arm.pretrain is not None and arm.train is not None
    assert (arm.pretrain.width_multiplier, arm.pretrain.height, arm.pretrain.neck.name) == (0.75, 224, "fc")
    assert (arm.train.height, arm.train.width, arm.train.neck.name) == (128, 64, "fc")


def test_tables_5_to_7_share_their_trainings() -> None:
    plans = [make_plan(load_campaign(f"cdnet_table{n}"), "f" * 64) for n in (5, 6, 7)]
    jobs = [{arm.name: set() for arm in plan.campaign.arms} for plan in plans]
    for plan, of in zip(plans, jobs, strict=True):
        for entry in plan.entries:
            of[entry.arm].add(entry.job)
    fifth, sixth, seventh = jobs
    assert fifth["partition 0"] == sixth["+BLNeck"]
    assert fifth["partition 2"] == sixth["+FBLNeck"] == seventh["CDNet"]


def colours(folder: Path) -> None:
    """Two classes of images, blue and red, of 32x32."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for name, colour in (("blue", (40, 60, 220)), ("red", (220, 50, 40))):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(8):
                pixels = np.clip(np.array(colour) + random.integers(-30, 30, (32, 32, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")


@pytest.mark.slow
@pytest.mark.ray
def test_a_miniature_of_table_4(tmp_path: Path) -> None:
    colours(tmp_path / "colours")
    (tmp_path / "classes.yaml").write_text(TEXT)
    autoreid = str(Path(sys.executable).parent / "autoreid")

    def run(*arguments: str) -> str:
        command = [autoreid, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    launched = json.loads(run("campaign", "run", "classes.yaml", "--storage", "storage", "--quiet", "--json"))
    assert (launched["ran"], launched["reused"]) == (4, 0)
    assert json.loads(run("campaign", "status", "storage", "--json"))["campaigns"]
    run("report", "storage", "--paper", "cdnet/table4")
    page = (tmp_path / "storage/report/report.md").read_text()
    assert "## Classification" in page and "top-1 error, mean ± sd" in page
    assert "Beside CDNet, Table 4" in page and "Different: data: printed CIFAR-100" in page
    storage = Storage(tmp_path / "storage")
    manifest = storage.read_manifest("classes")
    assert manifest["data"] is None and len(manifest["jobs"]) == 4
