"""`autoreid gallery build`, `add` and `search`: from images to matches, and every refusal."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image
from random_galleries import ON_CPU, ORIGIN, naive, random_features, write_features

from autoreid.gallery.feature_files import FeatureFile
from autoreid.gallery.store import Gallery
from autoreid.values import digest

Run = Callable[..., tuple[int, str, str]]
Told = Callable[..., Any]


def features_in(path: Path) -> np.ndarray:
    return np.concatenate(list(FeatureFile.open(path).blocks()))


def test_a_gallery_of_20_000_features_is_searched(told: Told, tmp_path: Path) -> None:
    """The commands of docs/galleries.md, from a file of features on."""
    gallery, queries = random_features(20_000, 16), random_features(40, 16, seed=1)
    queries[:5] = gallery[[0, 19_999, 7, 7, 12_345]]
    write_features(tmp_path / "f.parquet", gallery)
    write_features(tmp_path / "q.parquet", queries)
    said = told("gallery", "build", "--features", tmp_path / "f.parquet", "--out", tmp_path / "g")
    assert (said["count"], said["dimension"], said["model"]) == (20_000, 16, ORIGIN.model)
    assert said["preprocessing"] == {"height": 64, "width": 32, "flip": False, "precision": "fp32"}
    found = told("gallery", "search", tmp_path / "g", tmp_path / "q.parquet", "--top", 3)
    rows, distances = naive(queries[:4], gallery, 3)
    for query, own, far in zip(found["queries"][:4], rows, distances, strict=True):
        assert [match["name"] for match in query["matches"]] == [f"{row:07}.jpg" for row in own]
        assert [match["distance"] for match in query["matches"]] == pytest.approx(far.tolist(), abs=1e-12)
    assert len(found["queries"]) == 40 and found["queries"][1]["matches"][0]["distance"] == 0
    again = told("gallery", "search", tmp_path / "g", tmp_path / "q.parquet", "--top", 3, "--index", "faiss")
    assert again["queries"] == found["queries"]


def test_a_file_is_never_all_in_memory(tmp_path: Path) -> None:
    path = write_features(tmp_path / "f.parquet", random_features(40_000, 16))
    before, held = pa.total_allocated_bytes(), []
    for block in FeatureFile.open(path).blocks():
        assert len(block) <= 4096
        held.append(pa.total_allocated_bytes() - before)
    assert len(held) == 10 and max(held) < path.stat().st_size / 2


def test_images_find_themselves(
    run: Run, told: Told, built: Path, checkpoint: Path, people: Path, tmp_path: Path
) -> None:
    line = ["gallery", "search", built, people / "bounding_box_test", "--model", checkpoint, *ON_CPU]
    found = told(*line, "--top", 1000)
    count = Gallery.open(built).count
    for query in found["queries"]:
        first = query["matches"][0]
        assert (first["name"], first["distance"] < 1e-6) == (query["name"], True)
        assert (first["identity"], first["camera"], first["same"]) == (
            query["identity"],
            query["camera"],
            None,
        )
        assert len({match["name"] for match in query["matches"]}) == count == len(query["matches"])
        assert [match["rank"] for match in query["matches"]] == list(range(1, count + 1))
    code, said, _ = run(*line, "--top", 2, "--threshold", 0.001)
    lines = said.splitlines()
    assert code == 0 and lines[-1] == (
        f"same: a distance below 0.0010, as are {len(found['queries'])} of {2 * len(found['queries'])} images"
    )
    assert lines[1].split()[:3] == ["1", "0.0000", "same"] and "same" not in lines[2]


def test_matches_under_other_cameras(told: Told, built: Path) -> None:
    """What a re-identification asks for."""
    line = ["gallery", "search", built, built / "features.parquet", "--top", 100]
    every, others = told(*line)["queries"], told(*line, "--other-cameras")["queries"]
    for whole, left in zip(every, others, strict=True):
        kept = [match for match in whole["matches"] if match["camera"] != whole["camera"]]
        assert 0 < len(kept) < len(whole["matches"])
        assert [match | {"rank": 0} for match in left["matches"]] == [match | {"rank": 0} for match in kept]
        assert [match["rank"] for match in left["matches"]] == list(range(1, len(kept) + 1))


def test_other_cameras_where_cameras_are_unknown(run: Run, told: Told, built: Path, tmp_path: Path) -> None:
    """It says so: nobody is to believe that anything was left out."""
    nobody, some = tmp_path / "nobody.parquet", tmp_path / "some.parquet"
    table = parquet.read_table(built / "features.parquet")
    place, field = table.column_names.index("camera"), table.schema.field("camera")
    for path, cameras in (
        (nobody, [None] * len(table)),
        (some, [None, None, *table["camera"].to_pylist()[2:]]),
    ):
        column = pa.array(cameras, pa.int64())
        parquet.write_table(table.set_column(place, field, column), path)
    told("gallery", "build", "--features", nobody, "--out", tmp_path / "h")
    told("gallery", "build", "--features", some, "--out", tmp_path / "s")
    code, said, complaints = run("gallery", "search", tmp_path / "h", nobody, "--other-cameras")
    assert (code, said) == (2, "") and [line.split(". ")[0] for line in complaints.splitlines()] == [
        "autoreid: --other-cameras: no query has a known camera",
        "autoreid: --other-cameras: no image of the gallery has a known camera",
    ]
    assert "Leave it out, or give images whose layout, names or index file tell it." in complaints
    line = ["gallery", "search", tmp_path / "s", some, "--top", 2]
    code, said, complaints = run(*line, "--other-cameras", "--json")
    count = len(table)
    assert complaints == (
        f"--other-cameras: nothing tells the camera of 2 of {count} queries and of 2 of {count} gallery "
        "images: of their pairs none is left out\n"
    )
    found = json.loads(said)
    assert code == 0 and found["cameras_unknown"] == {"queries": 2, "gallery": 2}
    assert found["queries"][0]["matches"][0]["name"] == found["queries"][0]["name"]
    assert told(*line)["cameras_unknown"] is None


def test_a_query_whose_every_match_is_left_out(run: Run, tmp_path: Path) -> None:
    write_features(tmp_path / "a.parquet", random_features(1, 8))
    assert run("gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "g")[0] == 0
    code, said, _ = run("gallery", "search", tmp_path / "g", tmp_path / "a.parquet", "--other-cameras")
    assert code == 0 and said.splitlines()[1:] == ["   no image under another camera"]


def test_tables_of_matches(told: Told, built: Path, tmp_path: Path) -> None:
    line = ["gallery", "search", built, built / "features.parquet", "--top", 3]
    found = told(*line, "--threshold", "0.05")
    flat = [
        {
            "query": query["name"],
            "query_identity": query["identity"],
            "query_camera": query["camera"],
            **match,
        }
        for query in found["queries"]
        for match in query["matches"]
    ]
    for ending in ("parquet", "csv"):
        said = told(*line, "--threshold", "0.05", "--out", tmp_path / f"m.{ending}")
        assert "queries" not in said and said["query_count"] == len(found["queries"])
    assert parquet.read_table(tmp_path / "m.parquet").to_pylist() == flat
    rows = list(csv.DictReader(io.StringIO((tmp_path / "m.csv").read_text())))
    assert [(row["name"], int(row["rank"]), float(row["distance"]), row["same"]) for row in rows] == [
        (row["name"], row["rank"], row["distance"], str(row["same"]).lower()) for row in flat
    ]


def test_pictures_of_matches(
    run: Run, told: Told, built: Path, checkpoint: Path, people: Path, tmp_path: Path
) -> None:
    queries = sorted((people / "query").glob("*"))[:2]
    line = ["gallery", "search", built, *queries, "--model", checkpoint, *ON_CPU, "--top", 4]
    drawn = []
    for number, flags in enumerate(([], [], ["--threshold", "0.001"])):
        said = told(*line, "--picture", tmp_path / f"{number}.png", *flags)
        assert len(said["queries"]) == 2
        drawn.append((tmp_path / f"{number}.png").read_bytes())
    assert drawn[0] == drawn[1] != drawn[2]
    with Image.open(tmp_path / "0.png") as picture:
        assert picture.width >= 5 * 32 and picture.height >= 2 * 64

    said = Gallery.open(built)
    assert said.labels()["folder"].unique().to_pylist() == [str(people / "bounding_box_test")]
    code, _, complaints = run(*line, "--picture", tmp_path / "no.png", "--gallery-images", tmp_path / "moved")
    assert code == 2 and "No such file or directory" in complaints and "--gallery-images" in complaints
    assert not (tmp_path / "no.png").exists()
    (tmp_path / "moved").symlink_to(people / "bounding_box_test")
    told(*line, "--picture", tmp_path / "yes.png", "--gallery-images", tmp_path / "moved")
    assert (tmp_path / "yes.png").read_bytes() == drawn[0]


def test_a_picture_of_too_many_queries_is_refused_before_any_work(
    run: Run, checkpoint: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_features(tmp_path / "a.parquet", random_features(80, 8))
    assert run("gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "h")[0] == 0
    (tmp_path / "many").mkdir()
    for number in range(80):
        (tmp_path / "many" / f"{number}.jpg").write_bytes(b"")
    for name in ("autoreid.gallery.nearest.nearest", "autoreid.embed.Embedder.load"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("work begins"))
    picture = ["--picture", tmp_path / "p.png"]
    for line in ([tmp_path / "h", tmp_path / "a.parquet"], [built, tmp_path / "many", "--model", checkpoint]):
        code, _, complaints = run("gallery", "search", *line, *picture)
        assert code == 2 and complaints == (
            "autoreid: --picture: 80 queries. One picture takes up to 64: give fewer, or write a table of "
            "all (--out) in place of it.\n"
        )


def test_places_of_outputs_are_looked_at_before_any_work(
    run: Run, checkpoint: Path, people: Path, built: Path, tmp_path: Path
) -> None:
    """Together, and nothing is made."""
    (tmp_path / "thr").write_text("")
    before = sorted(tmp_path.rglob("*"))
    search = ["gallery", "search", built, people / "query"]
    code, _, complaints = run(*search, "--out", tmp_path / "no/m.csv", "--picture", tmp_path / "no/p.jpg")
    assert code == 2 and f"--out: {tmp_path}/no/m.csv: there is no folder {tmp_path}/no. Make" in complaints
    assert f"--picture: {tmp_path}/no/p.jpg does not end with .png" in complaints
    code, _, complaints = run(*search, "--threshold", tmp_path / "nosuch.json")
    assert code == 2 and f"--threshold: {tmp_path}/nosuch.json: no such file. Give a file that" in complaints
    for name, message in {
        "thr.txt": "thr.txt is no gallery, and does not end with .json. Name the folder of a gallery, or",
        "thr": "thr is no gallery, and does not end with .json",
        "no/t.json": f"t.json: there is no folder {tmp_path}/no. Make it: mkdir -p",
        "nowhere": "nowhere is no gallery, and does not end with .json",
    }.items():
        code, _, complaints = run(
            "gallery", "calibrate", checkpoint, "--data", tmp_path, "--out", tmp_path / name
        )
        assert code == 2 and message in complaints, complaints
    code, _, complaints = run("gallery", "build", checkpoint, people, "--out", tmp_path / "no/g")
    assert code == 2 and f"no/g: there is no folder {tmp_path}/no. Make it: mkdir -p" in complaints
    assert sorted(tmp_path.rglob("*")) == before


def test_a_gallery_without_the_right_to_write_is_told_before_any_work(
    run: Run, checkpoint: Path, built: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoreid.embed.Embedder.of", lambda *_, **__: pytest.fail("work begins"))
    monkeypatch.setattr(os, "access", lambda path, mode: (Path(path), mode) != (built, os.W_OK))
    code, _, complaints = run("gallery", "calibrate", checkpoint, "--data", people, "--out", built)
    assert code == 2 and f"--out: {built} may not be written to. Get the right to, or" in complaints


@pytest.mark.parametrize("target", ["nowhere", "empty"])
def test_a_link_is_no_place_for_a_gallery(run: Run, tmp_path: Path, target: str) -> None:
    """Told before any work: a folder cannot be put in the place of a link."""
    write_features(tmp_path / "a.parquet", random_features(3, 8))
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(target)
    code, _, complaints = run(
        "gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "link"
    )
    assert code == 2 and f"{tmp_path}/link: is a link. Name the folder that it stands for" in complaints
    assert (tmp_path / "link").is_symlink() and not list((tmp_path / "empty").iterdir())


def test_one_is_no_plural(run: Run, told: Told, tmp_path: Path) -> None:
    for count, name in ((1, "a"), (2, "b")):
        write_features(tmp_path / f"{name}.parquet", random_features(count, 8), prefix=name)
    gallery, build = tmp_path / "g", ["gallery", "build", "--features", tmp_path / "a.parquet", "--out"]
    assert run(*build, gallery)[1] == f"{gallery}   (1 image, 8 numbers each)\n"
    search = ["gallery", "search", gallery, tmp_path / "a.parquet", "--out", tmp_path / "m.csv"]
    assert run(*search)[1] == f"{tmp_path}/m.csv   (1 query)\n"
    told("gallery", "add", gallery, "--features", tmp_path / "b.parquet")
    assert run("gallery", "remove", gallery, "a0000000.jpg")[1] == f"{gallery}   (1 image removed, 2 left)\n"


def test_adding_is_building_of_both(
    run: Run, told: Told, checkpoint: Path, people: Path, built: Path, tmp_path: Path
) -> None:
    line = [*ON_CPU, "--root", people]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    both = [people / "bounding_box_test", people / "query"]
    told("gallery", "build", checkpoint, *both, "--out", whole, *line)
    told("gallery", "build", checkpoint, both[0], "--out", parts, *line)
    said = told("gallery", "add", parts, both[1], "--model", checkpoint, *line)
    assert said["count"] == Gallery.open(whole).count
    assert [part["file"] for part in said["parts"]] == ["features.parquet", "features-1.parquet"]
    for gallery in (whole, parts):
        told("gallery", "search", gallery, whole / "features.parquet", "--out", f"{gallery}.csv")
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "parts.csv").read_bytes()

    before = (parts / "gallery.json").read_bytes()
    code, _, complaints = run("gallery", "add", parts, both[1], "--model", checkpoint, *line)
    assert code == 2 and "names would be those of two images: query/" in complaints and "--root" in complaints
    assert (parts / "gallery.json").read_bytes() == before
    visible = [path.name for path in parts.iterdir() if not path.name.startswith(".gallery")]
    assert sorted(visible) == ["features-1.parquet", "features.parquet", "gallery.json"]


def test_a_gallery_is_whole_or_not_there(
    run: Run, checkpoint: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_features(tmp_path / "a.parquet", random_features(9, 8))
    write_features(tmp_path / "b.parquet", random_features(9, 8), prefix="b")
    line = ["gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "g"]
    real = sys.modules["os"].fsync

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    code, _, complaints = run(*line)
    assert code == 1 and f"{tmp_path}/g/features.parquet: cannot be written: No space left on" in complaints
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]
    monkeypatch.setattr("os.fsync", real)
    assert run(*line)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "g").glob("[a-z]*")}
    monkeypatch.setattr("os.fsync", refuse)
    code, _, complaints = run("gallery", "add", tmp_path / "g", "--features", tmp_path / "b.parquet")
    assert code == 1 and f"{tmp_path}/g: cannot be written: No space left on device" in complaints
    assert {path.name: path.read_bytes() for path in (tmp_path / "g").glob("[a-z]*")} == before
    assert not list((tmp_path / "g").glob(".part*"))


def test_empty_galleries(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, complaints = run("gallery", "build", checkpoint, tmp_path / "empty", "--out", tmp_path / "g")
    assert code == 2 and "empty: no images below it" in complaints
    code, _, complaints = run("gallery", "search", tmp_path / "empty", tmp_path / "q.jpg")
    assert code == 2 and "empty: no gallery: it has no gallery.json. Build one" in complaints
    write_features(tmp_path / "none.parquet", random_features(1, 8)[:0])
    code, _, complaints = run(
        "gallery", "build", "--features", tmp_path / "none.parquet", "--out", tmp_path / "g"
    )
    assert code == 2 and "no features, so there is nothing to search" in complaints
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "none.parquet"]


def test_another_model_is_refused(
    run: Run, checkpoints: list[Path], built: Path, people: Path, tmp_path: Path
) -> None:
    for verb in (["search", built, people / "query"], ["add", built, people / "query"]):
        code, _, complaints = run("gallery", *verb, "--model", checkpoints[1], *ON_CPU)
        assert code == 2 and "another network than the gallery's" in complaints
        assert "Give the model that built the gallery." in complaints
    code, _, complaints = run("gallery", "search", built, people / "query", *ON_CPU)
    assert code == 2 and "--model: missing. Give the model that built the gallery" in complaints


def test_features_of_another_kind_are_refused(run: Run, tmp_path: Path) -> None:
    write_features(tmp_path / "a.parquet", random_features(9, 8))
    assert run("gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "g")[0] == 0
    other = {name: getattr(ORIGIN, name) for name in ORIGIN.__slots__} | {"flip": True}
    files = {
        "wide": (write_features(tmp_path / "wide.parquet", random_features(2, 9), prefix="w"), "8"),
        "flip": (
            write_features(tmp_path / "f.parquet", random_features(2, 8), origin=type(ORIGIN)(**other)),
            "flip True (gallery: False)",
        ),
    }
    for file, message in files.values():
        code, _, complaints = run("gallery", "search", tmp_path / "g", file)
        assert code == 2 and message in complaints, complaints
        code, _, complaints = run("gallery", "add", tmp_path / "g", "--features", file)
        assert code == 2 and message in complaints, complaints


def test_features_that_were_changed_are_named(run: Run, tmp_path: Path) -> None:
    write_features(tmp_path / "a.parquet", 2 * random_features(9, 8))
    code, _, complaints = run(
        "gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "g"
    )
    assert code == 2 and "a.parquet: the feature of row 0 has not length 1" in complaints
    write_features(tmp_path / "b.parquet", np.full((3, 8), np.nan, dtype=np.float32))
    code, _, complaints = run(
        "gallery", "build", "--features", tmp_path / "b.parquet", "--out", tmp_path / "g"
    )
    assert code == 2 and "b.parquet: the feature of row 0 has not length 1" in complaints
    assert not (tmp_path / "g").exists()


def altered(**changes: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """gallery.json with other values, and the digest that fits them."""

    def change(said: dict[str, Any]) -> dict[str, Any]:
        said = {name: value for name, value in said.items() if name != "digest"} | changes
        return said | {"digest": digest(said)}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said | {"count": 8}, "changed after it was written, or damaged"),
        (lambda said: [1], "not what autoreid writes"),
        (altered(version=2), "version 2 of the format of galleries; this release reads 1"),
        (altered(model="cd" * 32), "it does not say what its features are"),
        (altered(parts=[{"file": "features.parquet", "count": 8}]), "9 features, but "),
        (altered(parts=[{"file": "no.parquet", "count": 8}]), "no.parquet: no such file"),
        (altered(parts=[]), "the gallery is empty"),
    ],
)
def test_an_altered_gallery_is_refused(
    run: Run, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    write_features(tmp_path / "a.parquet", random_features(9, 8))
    run("gallery", "build", "--features", tmp_path / "a.parquet", "--out", tmp_path / "g")
    says = tmp_path / "g" / "gallery.json"
    says.write_text(json.dumps(change(json.loads(says.read_bytes()))))
    code, _, complaints = run("gallery", "search", tmp_path / "g", tmp_path / "a.parquet")
    assert code == 2 and message in complaints, complaints


def test_mistakes_in_flags_come_together(run: Run, checkpoint: Path, built: Path, tmp_path: Path) -> None:
    code, _, complaints = run("gallery", "build", "--out", tmp_path / "h")
    assert code == 2 and [line.split(": ")[1] for line in complaints.splitlines()] == ["CHECKPOINT", "IMAGES"]
    code, _, complaints = run(
        "gallery", "add", built, "--features", "f.parquet", "--model", checkpoint, "--skip-unreadable"
    )
    assert code == 2 and complaints.count("without effect beside --features") == 2
    code, _, complaints = run(
        "gallery", "search", built, "q.jpg", "--top", 0, "--out", "m.txt", "--gallery-images", "x"
    )
    assert code == 2 and complaints.count("\n") == 3
    code, _, complaints = run("gallery", "build", checkpoint, tmp_path, "--out", built)
    assert code == 2 and "is there already. Use 'autoreid gallery add'" in complaints
    for given, message in (("far", "'far' is no distance"), ("3", "'3' is no distance")):
        code, _, complaints = run("gallery", "search", built, "q.jpg", "--threshold", given)
        assert code == 2 and f"--threshold: {message}" in complaints
    code, _, complaints = run("gallery", "search", built, "q.jpg", "--threshold", "calibrated")
    assert code == 2 and "has no calibrated threshold. Run 'autoreid gallery calibrate'" in complaints


def test_unreadable_images_build_nothing_and_find_nothing(
    run: Run, told: Told, checkpoint: Path, people: Path, built: Path, tmp_path: Path
) -> None:
    query = shutil.copy(next(iter(sorted((people / "query").glob("*")))), tmp_path)
    (tmp_path / "0001_c1s1_000001_01.jpg").write_bytes(b"no")
    both = [tmp_path / "0001_c1s1_000001_01.jpg", query]
    code, said, complaints = run("gallery", "build", checkpoint, *both, "--out", tmp_path / "h", *ON_CPU)
    assert (code, said) == (2, "") and "0001_c1s1_000001_01.jpg: not an image" in complaints
    line = ["gallery", "search", built, *both, "--model", checkpoint, *ON_CPU, "--top", 1]
    code, said, complaints = run(*line, "--out", tmp_path / "m.csv")
    assert (code, said) == (2, "") and "0001_c1s1_000001_01.jpg: not an image" in complaints
    assert not {"h", "m.csv"} & {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.glob(".part*"))
    found = told(*line, "--skip-unreadable")
    assert [query["name"] for query in found["queries"]] == [Path(query).name for query in both[1:]]
    assert found["unreadable"] == ["0001_c1s1_000001_01.jpg: not an image"]


def test_a_portable_file_of_the_model_searches_its_gallery(
    run: Run, told: Told, checkpoint: Path, built: Path, people: Path, tmp_path: Path
) -> None:
    code, _, complaints = run("model", "pack", checkpoint / "model.pt", "--out", tmp_path / "n.safetensors")
    assert code == 0, complaints
    query = next(iter(sorted((people / "query").glob("*"))))
    line = ["gallery", "search", built, query, *ON_CPU, "--model"]
    assert told(*line, tmp_path / "n.safetensors") == told(*line, checkpoint)
