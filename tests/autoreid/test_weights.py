"""What a training begins with: ImageNet weights and files, by content, strictly; nothing is fetched from
outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from autoreid import weights as module
from autoreid.attempts import Attempt, Outcome
from autoreid.building import remarks
from autoreid.calls import train
from autoreid.cli import main
from autoreid.data.source import DataSource
from autoreid.errors import InputError, StorageError
from autoreid.execution import Execution
from autoreid.feed import PreparedData
from autoreid.folders import LocalFolder, sha256
from autoreid.jobs import Job, train_job
from autoreid.model_files import pack_model
from autoreid.models.assembly import build_network, initialise
from autoreid.pretrain_recipes import CIFAR100_PRETRAIN
from autoreid.published import CDNET_TRAIN, SELECT_RECIPES, TRAIN_RECIPES
from autoreid.recipes import Neck, TrainRecipe, recipe_problems
from autoreid.running import run_job
from autoreid.snapshots import to_bytes
from autoreid.storage import Storage
from autoreid.training import TrainRun
from autoreid.values import override
from autoreid.weights import (
    VARIABLE,
    WeightFile,
    backbone_weights,
    given,
    given_teacher,
    imagenet,
    provide,
    stored,
)
from search_spaces.genotype import Genotype
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED

RESNET, CNET = PUBLISHED["resnet18"], PUBLISHED["cnet-top2"]
SIZE = {"height": 64, "width": 32, "batch.identities": 4, "batch.images": 2, "epochs": 1}
TRAIN = override(CDNET_TRAIN, SIZE | {"neck.name": "bnneck", "optimizer.learning_rate": 0.01})
SMALL = replace(TRAIN, width_multiplier=0.1)
CPU = Execution(device="cpu", threads=1)


def plain_file(path: Path, content: dict[str, Any]) -> Path:
    path.write_bytes(to_bytes(content))
    return path


def backbone_of(genotype: Genotype, seed: int = 3, macro: Macro | None = None) -> dict[str, torch.Tensor]:
    model = build_network(genotype, TRAIN.neck, 5, macro or Macro(width_multiplier=0.1))
    initialise(model, torch.Generator().manual_seed(seed))
    return dict(model.backbone.state_dict())


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 with a classifier of its own, as torchvision writes its files."""
    torch.manual_seed(1)
    state = torchvision.models.resnet18(num_classes=3).state_dict()
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    for name in counters:  # the files that torchvision offers are without them
        del state[name]
    file = plain_file(tmp_path_factory.mktemp("weights") / "any.pth", dict(state))
    digest = sha256(file.read_bytes())
    return file.rename(file.with_name(f"resnet18-{digest[:8]}.pth"))


@pytest.fixture
def offered(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a folder the place that ImageNet weights are fetched from; at first it has none."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(VARIABLE, raising=False)

    def offer(folder: Path) -> None:
        monkeypatch.setattr(module, "_imagenet_url", lambda genotype: f"file://{folder / pretrained.name}")

    offer(tmp_path / "nowhere")
    return offer


RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def test_imagenet_weights_are_the_first_ones_of_torchvision() -> None:
    names = {name: module._imagenet_url(PUBLISHED[name]) for name in RESNETS}
    assert {name: url.rsplit("/")[-1] for name, url in names.items()} == {
        "resnet18": "resnet18-f37072fd.pth",
        "resnet34": "resnet34-b627a593.pth",
        "resnet50": "resnet50-0676ba61.pth",
        "resnet101": "resnet101-63fe2227.pth",
        "resnet152": "resnet152-394f9c45.pth",
    }


@pytest.mark.parametrize("way", ["cache", "file", "folder", "fetched"])
def test_imagenet_weights_are_found_in_every_way(
    way: str,
    pretrained: Path,
    offered: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached = tmp_path / "torch/hub/checkpoints" / pretrained.name
    if way == "cache":
        cached.parent.mkdir(parents=True)
        cached.write_bytes(pretrained.read_bytes())
    elif way == "fetched":
        offered(pretrained.parent)
    else:
        monkeypatch.setenv(VARIABLE, str(pretrained if way == "file" else pretrained.parent))
    assert imagenet(RESNET).content == pretrained.read_bytes()
    assert cached.is_file() is (way in ("cache", "fetched"))


def test_weights_that_are_nowhere_name_both_ways_before_anything_is_written(
    offered: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["train", "--genotype", "resnet18", "--weights", "imagenet", "--data", "rendered"]
    assert main([*command, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "could not be fetched" in said and VARIABLE in said and "--weights FILE" in said
    assert not out.exists()


@pytest.mark.parametrize("given_as", ["a file", "a folder"])
def test_a_place_without_them_names_both_ways(
    given_as: str, pretrained: Path, offered: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path if given_as == "a folder" else tmp_path / pretrained.name
    monkeypatch.setenv(VARIABLE, str(place))
    with pytest.raises(InputError) as error:
        imagenet(RESNET)
    (problem,) = error.value.problems
    assert problem.startswith(f"weights: {pretrained.name} could not be fetched or read (")
    for words in (
        str(tmp_path / pretrained.name),
        "where the machine can fetch it",
        VARIABLE,
        "--weights FILE",
    ):
        assert words in problem
    assert "state dict" not in problem


def test_other_bytes_are_not_imagenet_weights(
    pretrained: Path, offered: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(plain_file(tmp_path / pretrained.name, {"other": torch.ones(1)})))
    with pytest.raises(InputError, match="its SHA-256 does not begin with"):
        imagenet(RESNET)


@pytest.mark.parametrize("name", ["cnet-top2", "darts-v2-net"])
def test_only_resnets_have_imagenet_weights(name: str) -> None:
    with pytest.raises(InputError, match="101 or 152, or bag-of-tricks; this network is of"):
        given("imagenet", PUBLISHED[name])


def test_a_training_begins_with_them(pretrained: Path, small_data: PreparedData) -> None:
    name, file = given(str(pretrained), RESNET)
    begins = [
        TrainRun(recipe, RESNET, small_data, train_seed=2, execution=CPU, weights=weights).model.state_dict()
        for recipe, weights in ((replace(TRAIN, weights=name), file), (TRAIN, None))
    ]
    state = torch.load(pretrained, weights_only=True)
    for key, weight in state.items():
        assert key.startswith("fc.") or torch.equal(begins[0][f"backbone.{key}"], weight)
    assert not torch.equal(begins[0]["backbone.conv1.weight"], begins[1]["backbone.conv1.weight"])
    neck = [key for key in begins[0] if key.startswith("neck.")]
    assert neck and all(torch.equal(begins[0][key], begins[1][key]) for key in neck)


def test_weights_that_are_asked_for_are_not_forgotten(small_data: PreparedData) -> None:
    recipe = replace(TRAIN, weights="sha256:" + "0" * 64)
    with pytest.raises(InputError, match="is asked for, but no file is given"):
        TrainRun(recipe, RESNET, small_data, train_seed=2, execution=CPU)


def test_the_content_enters_the_id_and_the_path_does_not(
    pretrained: Path, offered: object, tmp_path: Path
) -> None:
    state = backbone_of(CNET)
    first, second = plain_file(tmp_path / "a.pt", state), plain_file(tmp_path / "b.pt", state)
    other = plain_file(tmp_path / "c.pt", backbone_of(CNET, seed=4))
    names = [given(str(path), CNET)[0] for path in (first, second, other)]
    assert names[0] == names[1] == f"sha256:{sha256(first.read_bytes())}" != names[2]
    jobs = [train_job(replace(SMALL, weights=name), "d" * 64, CNET, train_seed=0) for name in ("", *names)]
    assert len({job.id for job in jobs}) == 3 and jobs[1].id == jobs[2].id
    assert str(tmp_path) not in str(jobs[1].plain())
    # The same content is the same job, whatever it is called.
    assert given(str(pretrained), RESNET)[0] == "imagenet"


def test_every_weight_that_does_not_fit_is_named(tmp_path: Path, small_data: PreparedData) -> None:
    state = backbone_of(CNET)
    names = list(state)
    state["fc.weight"] = state.pop(names[0])  # of other networks than ResNets nothing is left out
    shape = state[names[1]].shape
    state[names[1]] = torch.ones(7)
    path = plain_file(tmp_path / "wrong.pt", state)
    name, file = given(str(path), CNET)
    with pytest.raises(InputError) as error:
        recipe = replace(SMALL, weights=name)
        TrainRun(recipe, CNET, small_data, train_seed=0, execution=CPU, weights=file)
    assert list(error.value.problems) == [
        f"{path}: no weight {names[0]}.",
        f"{path}: unexpected weight fc.weight.",
        f"{path}: {names[1]} has shape (7,), the network's is {tuple(shape)}.",
    ]


def test_a_model_file_gives_its_backbone(small_data: PreparedData) -> None:
    model = build_network(CNET, SMALL.neck, 3, SMALL.macro)
    file = WeightFile("model.pt", pack_model(model, SMALL, CNET, [1, 2, 3], "d" * 64))
    begun = TrainRun(
        replace(SMALL, weights="sha256:" + sha256(file.content)),
        CNET,
        small_data,
        train_seed=0,
        execution=CPU,
        weights=file,
    ).model.backbone.state_dict()
    before = model.backbone.state_dict()
    assert begun.keys() == before.keys() and all(torch.equal(begun[key], before[key]) for key in begun)
    with pytest.raises(InputError, match=r"model\.pt: weights of another network"):
        backbone_weights(file, PUBLISHED["cnet-top1"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "not a file of autoreid, or damaged"),
        (to_bytes({"epoch": 3}), "no weights: epoch"),
        (to_bytes([torch.ones(1)]), "no weights, but a list"),  # type: ignore[arg-type]
    ],
)
def test_other_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=f"x.pt: {message}"):
        backbone_weights(WeightFile("x.pt", content), CNET)


def job_with(file: Path, data: PreparedData) -> Job:
    recipe = replace(SMALL, weights=given(str(file), CNET)[0])
    return train_job(recipe, data.fingerprint, CNET, train_seed=0)


def run(job: Job, storage: Storage, source: DataSource, cache: Path) -> None:
    assert len(list(run_job(job, storage, source, CPU, cache))) == 1


def test_jobs_find_their_weights_in_the_storage(
    tmp_path: Path, small_data: PreparedData, small_source: DataSource, cache: Path
) -> None:
    file, storage = plain_file(tmp_path / "a.pt", backbone_of(CNET)), Storage(tmp_path / "storage")
    job = job_with(file, small_data)
    assert isinstance(job.recipe, TrainRecipe)
    with pytest.raises(StorageError, match=r"not there\. Run the campaign again"):
        run(job, storage, small_source, cache)
    provide(storage.folder, job.recipe.weights, CNET, file)
    file.unlink()
    run(job, storage, small_source, cache)
    assert storage.job(job.id).finished() is not None


def test_damaged_and_changed_files_are_refused(tmp_path: Path) -> None:
    file, folder = plain_file(tmp_path / "a.pt", backbone_of(CNET)), LocalFolder(tmp_path / "storage")
    name, _ = given(str(file), CNET)
    plain_file(file, backbone_of(CNET, seed=9))
    with pytest.raises(InputError, match="was changed since the campaign was read"):
        provide(folder, name, CNET, file)
    with pytest.raises(InputError, match="Give the file itself"):
        provide(folder, name, CNET)
    folder.write(f"weights/{name.removeprefix('sha256:')}.pt", b"other")
    with pytest.raises(StorageError, match="its digest does not fit"):
        stored(folder, name, CNET)


def test_a_file_that_its_training_does_not_vouch_for_is_refused(tmp_path: Path) -> None:
    attempt = Attempt(LocalFolder(tmp_path), "0" * 32)
    attempt.write("weights.pt", to_bytes(backbone_of(CNET)))
    attempt.finish(Outcome("done"))
    file = tmp_path / "weights.pt"
    known = f"sha256:{sha256(file.read_bytes())}"
    assert given(str(file), CNET)[0] == given_teacher(file)[0] == known
    assert given(str(tmp_path), CNET) == given(str(file), CNET)
    plain_file(file, backbone_of(CNET, seed=9))
    for read in (lambda: given(str(file), CNET), lambda: given_teacher(file)):
        with pytest.raises(InputError, match=r"weights\.pt: not the file that .*outcome\.json vouches for"):
            read()
    (tmp_path / "outcome.json").unlink()
    assert given(str(file), CNET)[0] != known


def test_a_folder_stands_for_the_network_that_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^weights: .*: a folder without model\.pt or weights\.pt\. Give "):
        given(str(tmp_path), CNET)
    (tmp_path / "weights.pt").write_bytes(b"of a pretraining")
    assert given(str(tmp_path), CNET)[1] == WeightFile(str(tmp_path / "weights.pt"), b"of a pretraining")
    with pytest.raises(InputError, match=r"^teacher: .*: a folder without model\.pt\. Give "):
        given_teacher(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"of a training")
    assert given(str(tmp_path), CNET)[1] == WeightFile(str(tmp_path / "model.pt"), b"of a training")
    assert given_teacher(tmp_path) == given_teacher(tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"^teacher: '' is no path\. Give "):
        given_teacher("")


def test_a_single_run_takes_a_path_and_continues_with_the_same_content(
    tmp_path: Path, small_source: DataSource, cache: Path
) -> None:
    file = plain_file(tmp_path / "a.pt", backbone_of(CNET))
    out = tmp_path / "out"

    def go(path: Path) -> dict[str, Any]:
        recipe = replace(SMALL, weights=str(path))
        return train(recipe, CNET, small_source, out, execution=CPU, cache=cache).result

    first = go(file)
    assert go(file.rename(tmp_path / "b.pt")) == first
    with pytest.raises(InputError, match="which is not this one"):
        go(plain_file(tmp_path / "c.pt", backbone_of(CNET, seed=4)))
    with pytest.raises(InputError, match=r"missing\.pt: cannot be read"):
        go(tmp_path / "missing.pt")


def test_the_recipe_from_imagenet_begins_with_imagenet() -> None:
    assert [name for name, recipe in TRAIN_RECIPES.items() if recipe.weights] == [
        *("auto-reid-imagenet", "kdas-imagenet", "kdas-teacher")
    ]


def test_short_trainings_begin_from_scratch() -> None:
    recipe = override(SELECT_RECIPES["retrain"], {"train.weights": "imagenet"})
    assert [name for name, _ in recipe_problems(recipe)] == ["train.weights"]


OSNET, NARROW = PUBLISHED["osnet"], Macro(width_multiplier=0.25)


def torchreid_weights(width: float = 0.25, classes: int = 1000) -> dict[str, torch.Tensor]:
    """A state dict as of Torchreid's OSNet: the backbone, its fully connected layer, a classifier."""
    torch.manual_seed(6)
    macro = Macro(width_multiplier=width)
    state = {name: weight for name, weight in backbone_of(OSNET, macro=macro).items() if weight.ndim}
    inputs = len(state["conv5.conv.weight"])
    layer = torch.nn.Sequential(torch.nn.Linear(inputs, 512), torch.nn.BatchNorm1d(512))
    state |= {f"fc.{name}": weight for name, weight in layer.state_dict().items()}
    classifier = torch.nn.Linear(512, classes).state_dict()
    return state | {f"classifier.{name}": weight for name, weight in classifier.items()}


def as_checkpoint(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As Torchreid saves it while it trains on several GPUs; its rank-1 is a number of NumPy."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()
    parallel = {f"module.{name}": weight for name, weight in state.items()}
    return {"state_dict": parallel, "epoch": 7, "rank1": np.float32(0.8), "optimizer": optimizer}


@pytest.mark.parametrize(("network", "form"), [("osnet", "state dict"), ("osnet-body", "checkpoint")])
def test_a_training_begins_with_torchreids_weights(
    network: str, form: str, tmp_path: Path, small_data: PreparedData
) -> None:
    state = torchreid_weights(classes=1000 if form == "state dict" else 751)
    path = plain_file(tmp_path / "osnet.pth", state if form == "state dict" else as_checkpoint(state))
    genotype = PUBLISHED[network]
    recipe = override(TRAIN, {"width_multiplier": 0.25, "neck.name": "fc"})
    name, file = given(str(path), genotype, macro=recipe.macro)
    run = TrainRun(
        replace(recipe, weights=name), genotype, small_data, train_seed=2, execution=CPU, weights=file
    )
    begun = run.model.backbone.state_dict()
    for key, weight in begun.items():
        assert torch.equal(weight, state[key]) if weight.ndim else weight == 0
    parts = "fc (7 tensors), classifier (2 tensors)"
    parts = parts if network == "osnet" else f"conv5 (5 tensors), {parts}"
    assert remarks(run) == [f"left out of the weights: {parts}"]


def test_weights_of_another_width_are_said_to_be_so(tmp_path: Path) -> None:
    path = plain_file(tmp_path / "osnet.pth", torchreid_weights(width=0.5))
    with pytest.raises(InputError) as error:
        given(str(path), OSNET, macro=NARROW)
    *named, last = error.value.problems
    assert named[0] == f"{path}: conv1.conv.weight has shape (32, 3, 7, 7), the network's is (16, 3, 7, 7)."
    assert last.startswith(f"{path}: they are of a network 2 times as wide: 32 channels to 16 behind")


def test_weights_that_are_missing_or_of_another_osnet_are_named(tmp_path: Path) -> None:
    state = torchreid_weights()
    del state["conv1.bn.running_mean"], state["conv1.bn.running_var"]  # as with instance norms
    state["conv2.0.IN.weight"] = torch.ones(3)
    with pytest.raises(InputError) as error:
        given(str(plain_file(tmp_path / "ibn.pth", state)), OSNET, macro=NARROW)
    said = "\n".join(error.value.problems)
    assert "no weight conv1.bn.running_mean." in said and "unexpected weight conv2.0.IN.weight." in said


@pytest.mark.parametrize("name", ["cnet-top2", "gdas-v1-net"])
def test_weights_behind_another_stem_are_refused(name: str) -> None:
    genotype = PUBLISHED[name]
    recipe = override(CIFAR100_PRETRAIN, {"channels": 4} if "gdas" in name else {"width_multiplier": 0.1})
    model = build_network(genotype, Neck(name="blneck"), 3, recipe.macro)
    for stem in ("cifar", "imagenet"):
        packed = pack_model(model, replace(recipe, stem=stem), genotype, [1, 2, 3], "d" * 64)  # type: ignore[arg-type]
        if stem == "imagenet":
            assert backbone_weights(WeightFile("w.pt", packed), genotype)
            continue
        with pytest.raises(InputError, match=r"w\.pt: weights of a network with the stem of CIFAR"):
            backbone_weights(WeightFile("w.pt", packed), genotype)
