"""Portable model files: what they hold, what they give back, and how damage is told."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save
from torch.nn import functional
from trained_small import leave_training, small_model, small_recipe

import autoreid
from autoreid import model_files, portable, snapshots
from autoreid.errors import InputError
from autoreid.evaluation.features import extract
from autoreid.feed import PreparedData
from autoreid.model_files import unpack_model
from autoreid.portable_card import draw_card
from autoreid.portable_packing import opened, pack
from autoreid.pretrain_recipes import CIFAR100_PRETRAIN
from autoreid.recipes import Neck
from autoreid.teaching import columns_of
from autoreid.values import plain
from autoreid.weights import WeightFile, backbone_weights, read_model
from search_spaces.published import PUBLISHED

PLACE = "net.safetensors"
PAGE = Path(__file__).parents[2] / "docs" / "models.md"
WORDS = "## Notes\n\nOf a café."


@pytest.fixture(scope="module")
def trained(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training."""
    return leave_training(tmp_path_factory.mktemp("trained"), small_data)


@pytest.fixture(scope="module")
def packed(trained: Path) -> bytes:
    return pack(trained / "model.pt", licence="CC-BY-NC-4.0", words=WORDS, data_set="drawn")


@pytest.fixture(scope="module")
def file(packed: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portable") / PLACE
    path.write_bytes(packed)
    return path


def test_a_portable_file_gives_the_same_network_back(trained: Path, packed: bytes) -> None:
    model, recipe, genotype = unpack_model(packed, PLACE)
    known, of, same = unpack_model((trained / "model.pt").read_bytes(), "model.pt")
    assert (recipe, genotype) == (of, same)
    images = torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.embed(images), known.embed(images))
    assert not model.training


def test_what_only_training_needs_stays_behind_and_errors_say_so(trained: Path, packed: bytes) -> None:
    model, _, _ = unpack_model(packed, PLACE)
    whole, _, _ = unpack_model((trained / "model.pt").read_bytes(), "model.pt")
    gone = whole.state_dict().keys() - model.state_dict().keys()
    assert gone
    assert {name.split(".")[1] for name in gone} == {"balance", "local_balance"}
    images = torch.zeros(1, 3, 64, 32)
    with pytest.raises(
        InputError, match=r"net\.safetensors: holds what inference needs, not the neck's balance"
    ):
        model(images)
    with pytest.raises(InputError, match="--with-classifier"):
        model.loss_features(images)


NECKS = {name: Neck(name=name) for name in get_args(get_type_hints(Neck)["name"])}
NECKS["embedding, g"] = Neck(name="embedding", feature="g")


@pytest.mark.parametrize("neck", NECKS)
def test_every_neck_does_without_its_training_parts(neck: str) -> None:
    recipe, genotype = small_recipe(NECKS[neck]), PUBLISHED["osnet"]
    model = small_model(genotype, recipe)
    facts = portable.Facts(genotype, recipe, identities=8)
    left = tuple(f"neck.{part}." for part in model.neck.training_only)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith(left)}
    found, _, _ = unpack_model(portable.write(facts, weights), PLACE)
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(found.embed(images), model.embed(images))
    with pytest.raises(InputError, match="which only training needs"):
        found(images)


def test_with_its_classifier_it_is_all_that_the_training_left(
    trained: Path, packed: bytes, small_data: PreparedData
) -> None:
    content = pack(trained / "model.pt", classifier=True)
    whole, _, _ = unpack_model((trained / "model.pt").read_bytes(), "model.pt")
    same, _, _ = unpack_model(content, PLACE)
    assert all(torch.equal(same.state_dict()[name], value) for name, value in whole.state_dict().items())
    order = small_data.identity_order
    found = columns_of(WeightFile(PLACE, content), small_data.fingerprint, order)
    assert found.tolist() == list(range(len(order)))
    with pytest.raises(InputError, match="does not say whom it knows"):
        columns_of(WeightFile(PLACE, packed), small_data.fingerprint, order)


def test_a_training_can_begin_with_a_portable_file(trained: Path, packed: bytes) -> None:
    genotype = PUBLISHED["cdnet-top1"]
    before = backbone_weights(WeightFile("a", (trained / "model.pt").read_bytes()), genotype)
    after = backbone_weights(WeightFile("b", packed), genotype)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    with pytest.raises(InputError, match="weights of another network"):
        backbone_weights(WeightFile("b", packed), PUBLISHED["cdnet-top2"])


def test_equal_networks_give_equal_bytes(trained: Path, packed: bytes, file: Path) -> None:
    assert pack(trained / "model.pt", licence="CC-BY-NC-4.0", words=WORDS, data_set="drawn") == packed
    assert pack(file) == packed


def test_other_readers_of_safetensors_find_tensors_and_facts(file: Path, small_data: PreparedData) -> None:
    model, recipe, genotype = unpack_model(file.read_bytes(), PLACE)
    with safe_open(file, "pt") as content:
        metadata = content.metadata()
        assert set(content.keys()) == model.state_dict().keys()
        for name, value in model.state_dict().items():
            assert torch.equal(content.get_tensor(name), value)
    assert json.loads(metadata["genotype"]) == genotype.plain()
    assert json.loads(metadata["preprocessing"])["height"] == recipe.height
    assert json.loads(metadata["data"]) == {"set": "drawn", "fingerprint": small_data.fingerprint}
    assert json.loads(metadata["licence"]) == "CC-BY-NC-4.0"
    assert "Of a café." in json.loads(metadata["card"])
    assert json.loads(metadata["order"]) is None
    blank = file.read_bytes().replace(metadata["sha256"].encode(), b"0" * 64)
    assert hashlib.sha256(blank).hexdigest() == metadata["sha256"]


def test_altered_bytes_are_told_wherever_they_are(packed: bytes) -> None:
    header = int.from_bytes(packed[:8], "little")
    places = {*range(40), *range(40, 8 + header, 397), *range(8 + header - 40, 8 + header + 40)}
    for at in {*places, len(packed) // 2, len(packed) - 1}:
        altered = bytearray(packed)
        altered[at] ^= 1
        with pytest.raises(InputError, match=rf"^{PLACE}"):
            unpack_model(bytes(altered), PLACE)
    with pytest.raises(InputError, match="altered since it was written"):
        unpack_model(packed.replace(b"CC-BY-NC-4.0", b"CC-BY-SA-4.0"), PLACE)
    with pytest.raises(InputError, match="altered since it was written"):
        unpack_model(packed + b"\0", PLACE)


@pytest.mark.parametrize("left", [0, 5, 9, 500, -4096, -1])
def test_a_truncated_file_is_told(packed: bytes, left: int) -> None:
    with pytest.raises(InputError, match=r"truncated|damaged|altered"):
        unpack_model(packed[:left], PLACE)


def test_weights_of_another_genotype_are_told(packed: bytes) -> None:
    facts, weights = portable.read(packed, PLACE)
    other = portable.write(dataclasses.replace(facts, genotype=PUBLISHED["cdnet-top2"]), weights)
    with pytest.raises(InputError, match=r"net\.safetensors: (no|unexpected) weight backbone\."):
        unpack_model(other, PLACE)
    unknown = dataclasses.replace(facts.genotype, space="cds-v9")
    with pytest.raises(InputError, match="no space 'cds-v9'"):
        unpack_model(portable.write(dataclasses.replace(facts, genotype=unknown), weights), PLACE)


def test_other_versions_and_what_is_no_model_are_told(packed: bytes) -> None:
    with pytest.raises(InputError, match="version '2' of the portable format; this release reads 1"):
        unpack_model(packed.replace(b'"autoreid":"1"', b'"autoreid":"2"'), PLACE)
    with pytest.raises(InputError, match="no model file of autoreid"):
        unpack_model(save({"weight": torch.zeros(2)}), PLACE)
    for alien in (
        b"",
        b"12345",
        b"a text, and a longer one at that",
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b'{"a": 1}',
    ):
        words = rf"{PLACE}: not a file of autoreid, or damaged: its {len(alien)} bytes begin like neither a"
        with pytest.raises(InputError, match=words):
            unpack_model(alien, PLACE)
        with pytest.raises(InputError, match=words):
            backbone_weights(WeightFile(PLACE, alien), PUBLISHED["osnet"])
    sealed = packed.replace(b"bilinear, antialiased", b"bicubic, antialiased!")
    with pytest.raises(InputError, match="altered"):
        unpack_model(sealed, PLACE)


def test_weights_of_a_pretraining_are_no_model(trained: Path) -> None:
    content = read_model((trained / "model.pt").read_bytes(), "")
    written = snapshots.to_bytes(content | {"recipe": json.dumps(plain(CIFAR100_PRETRAIN))})
    with pytest.raises(InputError) as error:
        unpack_model(written, "weights.pt")
    assert error.value.problems == (
        "weights.pt: weights of a pretraining, whose network tells classes and not people. Give the model of "
        "a training that begins with them: autoreid train --weights.",
    )


def test_other_preprocessing_than_this_release_does_is_refused(
    packed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, weights = portable.read(packed, PLACE)
    with monkeypatch.context() as patch:
        other = dataclasses.replace(facts.preprocessing, interpolation="bicubic")
        patch.setattr(portable.Facts, "preprocessing", property(lambda self: other))
        written = portable.write(facts, weights)
    with pytest.raises(InputError, match=r"preprocessing: .*bicubic.* is not what this release does"):
        unpack_model(written, PLACE)


def test_a_loaded_network_embeds_tensors_paths_and_pictures_alike(
    file: Path, trained: Path, small_data: PreparedData
) -> None:
    model = autoreid.load(file, device="cpu")
    rows = small_data.index.rows("query")[:5]
    paths = [small_data.index.root / small_data.index.names[row] for row in rows]
    pixels = torch.from_numpy(np.array(small_data.images[rows]))
    assert torch.equal(model.preprocess(paths), pixels)
    whole, _, _ = unpack_model((trained / "model.pt").read_bytes(), "model.pt")
    expected = extract(whole.embed, small_data.images, rows, device="cpu")
    found = model.embed(pixels, batch=2)
    assert found.dtype == torch.float32
    assert found.shape == (5, model.feature_dim)
    torch.testing.assert_close(found, functional.normalize(torch.from_numpy(expected)), rtol=0, atol=1e-6)
    assert torch.equal(model.embed(paths), model.embed(pixels))
    with Image.open(paths[0]) as picture:
        assert torch.equal(model.embed([picture]), model.embed(pixels[:1]))


def test_a_loaded_network_tells_what_its_file_knows(
    file: Path, trained: Path, small_data: PreparedData
) -> None:
    model, same = autoreid.load(file, device="cpu"), autoreid.load(trained / "model.pt", device="cpu")
    outcome = json.loads((trained / "outcome.json").read_text())
    assert model.metrics == same.metrics == outcome["result"]["evaluation"]
    assert model.genotype == PUBLISHED["cdnet-top1"]
    assert (model.preprocessing.height, model.preprocessing.width) == (64, 32)
    assert model.card.startswith("# cdnet-top1, trained on drawn\n")
    assert f"| mAP | {100 * outcome['result']['evaluation']['mAP']:.1f}%" in model.card
    assert same.card.startswith("# cdnet-top1\n")
    assert "| width multiplier | 0.25 |\n| neck | fblneck, 2 stripes |" in model.card
    assert (model.licence, same.licence, model.identities) == ("CC-BY-NC-4.0", None, same.identities)
    assert repr(model) == (
        "<LoadedModel cdnet-top1 with width multiplier 0.25; images of 64 x 32; features of 384 numbers "
        f"(fblneck, 2 stripes); {small_data.identities} identities; on cpu>"
    )
    assert not any(weight.requires_grad for weight in model.network.parameters())


def test_a_card_tells_the_sizes_that_a_network_has() -> None:
    cells, fixed = (
        draw_card(portable.Facts(PUBLISHED[name], small_recipe(Neck(name="embedding", feature="g")), 8))
        for name in ("darts-v2-net", "resnet18")
    )
    assert "| channels | 8 |\n| layers | 1 1 1 1 |\n| neck | embedding, g |" in cells
    assert "width multiplier" not in cells
    assert not any(f"| {name} |" in fixed for name in ("width multiplier", "channels", "layers"))


def test_the_folder_of_a_training_is_loaded_as_its_file(trained: Path, tmp_path: Path) -> None:
    images = torch.zeros(1, 3, 64, 32, dtype=torch.uint8)
    model, same = (autoreid.load(place, device="cpu") for place in (str(trained), trained / "model.pt"))
    assert torch.equal(model.embed(images), same.embed(images))
    assert model.facts == same.facts
    copy = shutil.copytree(trained, tmp_path / "copy")
    altered = bytearray((copy / "model.pt").read_bytes())
    altered[-1] ^= 1
    (copy / "model.pt").write_bytes(altered)
    with pytest.raises(InputError, match=r"model\.pt: not the file that .*outcome\.json vouches for"):
        autoreid.load(copy)


def test_a_file_is_parsed_and_its_network_built_once(
    file: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for module, name in ((model_files, "build_network"), (snapshots.torch, "load"), (portable, "read")):
        monkeypatch.setattr(module, name, counting(calls, name, getattr(module, name)))
    for path, parsed in ((file, "read"), (trained / "model.pt", "load")):
        for use in (autoreid.load, pack):
            calls.clear()
            use(path)
            assert calls == [parsed, "build_network"]


def counting(calls: list[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which notes its calls."""

    def noted(*given: Any, **named: Any) -> Any:
        calls.append(name)
        return function(*given, **named)

    return noted


def test_the_page_of_models_does_what_it_says(
    file: Path, small_data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(file, tmp_path / PLACE)
    for name, row in zip("ab", small_data.index.rows("query")[:2], strict=True):
        shutil.copy(small_data.index.root / small_data.index.names[row], tmp_path / f"{name}.jpg")
    block = PAGE.read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/models.md", "exec"), names)
    assert names["features"].shape == (2, names["model"].feature_dim)
    assert names["pixels"].shape == (2, 3, 64, 32)


def test_mistakes_of_embed_are_explained_all_at_once(file: Path, tmp_path: Path) -> None:
    model = autoreid.load(file, device="cpu")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    with pytest.raises(InputError) as error:
        model.embed([tmp_path / "torn.jpg", tmp_path / "absent.jpg"])
    assert [problem.split(": ")[0] for problem in error.value.problems] == [
        str(tmp_path / "torn.jpg"),
        str(tmp_path / "absent.jpg"),
    ]
    with pytest.raises(
        InputError, match=r"torch.float32 \(1, 3, 64, 32\)\. Give uint8 \(images, 3, 64, 32\)"
    ):
        model.embed(torch.zeros(1, 3, 64, 32))
    with pytest.raises(InputError, match=r"Give uint8 \(images, 3, 64, 32\)"):
        model.embed(torch.zeros(1, 3, 256, 128, dtype=torch.uint8))
    with pytest.raises(InputError, match="images: none"):
        model.embed([])
    with pytest.raises(InputError, match=r"images: a str\. Give a list"):
        model.embed("a.jpg")
    with pytest.raises(InputError, match=r"absent\.safetensors: no such file\. Give the model\.pt"):
        autoreid.load(tmp_path / "absent.safetensors")
    with pytest.raises(InputError, match=r"model\.pt: no such file\. Give the model\.pt .*, its folder"):
        autoreid.load(tmp_path)


def test_facts_come_back_as_they_were(packed: bytes, file: Path) -> None:
    facts, weights = portable.read(packed, PLACE)
    again, same = portable.read(portable.write(facts, weights), PLACE)
    assert again == facts
    assert same.keys() == weights.keys()
    assert opened(packed, file)[1] == facts
