"""`autoreid pictures`: what it writes, and how it answers mistakes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.embeddings import read_people
from autoreid.cli import main
from autoreid.evaluation.activations import draw_activations
from autoreid.evaluation.features import of_test_images
from autoreid.evaluation.loss_features import feature_file, most_seen
from autoreid.evaluation.protocol import Protocol, Reranking
from autoreid.evaluation.ranked_lists import choose_queries, ranked_lists
from autoreid.evaluation.ranked_pictures import draw_ranked
from autoreid.evaluation.scoring import score_features
from autoreid.feed import PreparedData
from autoreid.model_files import pack_model, unpack_model
from autoreid.models.assembly import ReIDModel, build_network, initialise
from autoreid.published import CDNET_TRAIN
from search_spaces.published import PUBLISHED


@pytest.fixture(scope="module")
def checkpoint(small_data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training: an untrained narrow CDNet."""
    recipe = dataclasses.replace(CDNET_TRAIN, height=64, width=32, width_multiplier=0.25)
    genotype = PUBLISHED["cdnet-top1"]
    model = build_network(genotype, recipe.neck, small_data.identities, recipe.macro)
    initialise(model, torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("trained")
    packed = pack_model(model, recipe, genotype, small_data.identity_order, small_data.fingerprint)
    (folder / "model.pt").write_bytes(packed)
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> ReIDModel:
    return unpack_model((checkpoint / "model.pt").read_bytes(), "")[0]


class Run:
    """`autoreid pictures VERB CHECKPOINT` on the small data, with further flags."""

    def __init__(
        self, data: PreparedData, cache: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.fixed = [
            "--data",
            str(data.index.root),
            "--cache",
            str(cache),
            "--device",
            "cpu",
            "--threads",
            "1",
        ]
        self.checkpoint, self.capsys = checkpoint, capsys

    def __call__(self, verb: str, *arguments: object) -> tuple[int, str, str]:
        code = main(["pictures", verb, str(self.checkpoint), *self.fixed, *map(str, arguments)])
        captured = self.capsys.readouterr()
        return code, captured.out, captured.err


@pytest.fixture
def run(small_data: PreparedData, cache: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(small_data, cache, checkpoint, capsys)


@pytest.mark.parametrize("again", [None, Reranking(k1=5, k2=2)], ids=["plain", "re-ranked"])
def test_ranked_lists_are_drawn_and_told(
    run: Run, model: ReIDModel, small_data: PreparedData, tmp_path: Path, again: Reranking | None
) -> None:
    flags = [] if again is None else ["--rerank", "--k1", again.k1, "--k2", again.k2]
    code, said, _ = run("ranked", "--out", tmp_path / "new", "--count", 3, "--top", 5, "--json", *flags)
    plain = json.loads(said)
    assert code == 0 and plain["picture"] == f"{tmp_path}/new/pictures-ranked.png"

    index, protocol = small_data.index, Protocol(reranking=again)
    found = of_test_images(model.embed, small_data.images, index, device="cpu")
    scored = score_features(found, protocol)
    scores = scored.reranked or scored.scores
    lists = ranked_lists(found, index, protocol, scores, choose_queries(scores, 3), top=5)
    drawn = Path(plain["picture"]).read_bytes()
    assert drawn == draw_ranked(lists, small_data.images, index, protocol)
    for told, ranked in zip(plain["queries"], lists, strict=True):
        assert told["name"] == index.names[ranked.query]
        assert told["average_precision"] == pytest.approx(ranked.average_precision)
        assert [image["name"] for image in told["gallery"]] == [index.names[row] for row in ranked.gallery]
        assert [image["right"] for image in told["gallery"]] == ranked.right.tolist()
        assert [image["right"] for image in told["gallery"]] == [
            image["identity"] == told["identity"] for image in told["gallery"]
        ]
        own = [image for image in told["gallery"] if image["right"]]
        assert all(image["camera"] != told["camera"] for image in own)


def test_named_queries_are_drawn_in_their_order(run: Run, small_data: PreparedData, tmp_path: Path) -> None:
    index = small_data.index
    names = [index.names[row] for row in index.rows("query")[[5, 2]]]
    flags = ["--query", names[0], "--query", Path(names[1]).name]
    plain = json.loads(run("ranked", "--out", tmp_path, "--json", *flags)[1])
    assert [told["name"] for told in plain["queries"]] == names
    assert all(len(told["gallery"]) == 10 for told in plain["queries"])
    plain = json.loads(run("activations", "--out", tmp_path, "--json", *flags)[1])
    assert plain == {"picture": f"{tmp_path}/pictures-activations.png", "images": names}


def test_activations_are_drawn(run: Run, model: ReIDModel, small_data: PreparedData, tmp_path: Path) -> None:
    code, said, _ = run("activations", "--out", tmp_path, "--count", 4, "--stage", 1, "--stage", 3)
    assert (code, said) == (0, f"{tmp_path}/pictures-activations.png\n")
    again = json.loads(run("activations", "--out", tmp_path / "again", "--count", 4, "--json")[1])
    index = small_data.index
    rows = np.array([index.names.index(name) for name in again["images"]])
    assert len(set(rows.tolist())) == 4 and (index.splits[rows] == "query").all()
    expected = draw_activations(model, small_data.images, index, rows, device="cpu", stages=[1, 3])
    assert (tmp_path / "pictures-activations.png").read_bytes() == expected
    assert (tmp_path / "again" / "pictures-activations.png").read_bytes() != expected


def test_features_are_written_for_t_sne(
    run: Run, model: ReIDModel, small_data: PreparedData, tmp_path: Path
) -> None:
    code, said, _ = run("features", "--out", tmp_path, "--count", 3, "--json")
    people = most_seen(small_data.index, 3)
    assert code == 0
    assert json.loads(said) == {"features": f"{tmp_path}/features.npz", "identities": people}
    written = (tmp_path / "features.npz").read_bytes()
    assert written == feature_file(model, small_data.images, small_data.index, people, device="cpu")
    assert read_people(written, "").identities.tolist()[:2] == [people[0]] * 2
    chosen = run("features", "--out", tmp_path / "one", "--identity", people[1], "--json")[1]
    assert json.loads(chosen)["identities"] == [people[1]]


@pytest.mark.parametrize(
    ("verb", "flags", "problems"),
    [
        (
            "ranked",
            ["--count", 0, "--top", 51],
            ["--count: 0 is out of range. Use 1 to 64.", "--top: 51 is out"],
        ),
        ("ranked", ["--query", "a", "--count", 3], ["--count: without effect beside --query. Leave one"]),
        ("ranked", ["--k1", 3, "--lambda", 0], ["--k1, --lambda: without effect. Add --rerank"]),
        ("ranked", ["--rerank", "--lambda", 2], ["--lambda: 2 is not between 0 and 1."]),
        (
            "ranked",
            ["--query", "query/9999_c1s1_000001_00.jpg"],
            ["no query image 'query/9999", "Did you mean 'query/"],
        ),
        (
            "activations",
            ["--query", "zz"],
            ["--query: no query image 'zz' among", "Give a name such as 'query/"],
        ),
        ("activations", ["--stage", 4], ["--stage 4: the network's stages are 1 to 3."]),
        (
            "features",
            ["--identity", 12345],
            ["--identity 12345: no query or gallery image shows this person."],
        ),
        ("features", ["--count", 41], ["--count: 41 is out of range. Use 1 to 40."]),
    ],
)
def test_mistakes_are_explained_and_leave_nothing(
    run: Run, tmp_path: Path, verb: str, flags: list[object], problems: list[str]
) -> None:
    code, said, error = run(verb, "--out", tmp_path / "new", *flags)
    assert (code, said) == (2, "")
    for problem in problems:
        assert problem in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("ranked", "pictures-ranked.png"),
        ("activations", "pictures-activations.png"),
        ("features", "features.npz"),
    ],
)
def test_what_is_there_is_not_written_over(run: Run, tmp_path: Path, verb: str, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    code, _, error = run(verb, "--out", tmp_path)
    assert code == 2
    assert f"--out: {tmp_path}/{name} is there already. Remove it, or name another folder." in error
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize("verb", ["ranked", "activations", "features"])
def test_a_missing_checkpoint_is_named(run: Run, tmp_path: Path, verb: str) -> None:
    run.checkpoint = tmp_path / "absent"
    code, _, error = run(verb, "--out", tmp_path / "new")
    assert code == 2 and "absent: no such file. Give the model.pt that autoreid train wrote" in error
    assert not (tmp_path / "new").exists()


def test_a_file_is_no_folder_to_write_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, error = run("features", "--out", tmp_path / "file")
    assert code == 2 and "file: a file. Give a folder" in error
