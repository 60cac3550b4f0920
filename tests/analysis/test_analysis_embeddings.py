"""Features of people in two dimensions, and the command that draws them."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from evaluated_jobs import feature_bytes

from analysis.embedding_drawings import draw_embedding, points_csv
from analysis.embeddings import Embedding, embed, read_people
from autoreid.cli import main
from autoreid.errors import InputError

SPACE = "{http://www.w3.org/2000/svg}"


def embedded(**arguments: Any) -> Embedding:
    return embed(read_people(feature_bytes(**arguments), "a.npz"))


def test_people_that_are_far_apart_stay_apart() -> None:
    found = embedded(people=4, images=8)
    assert list(found.points) == ["f_tri", "f_fc"]
    for points in found.points.values():
        assert points.shape == (32, 2)
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        same = found.identities[:, None] == found.identities[None]
        assert distances[same].max() < distances[~same].min()
        assert np.ptp(points, axis=0).max() == pytest.approx(1)
        assert (points.min(axis=0) + points.max(axis=0)) == pytest.approx([0, 0], abs=1e-9)


def test_people_that_are_alike_are_mixed() -> None:
    found = embedded(people=4, images=15, apart=0.0)
    points = found.points["f_tri"]
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(len(points))
    nearest = found.identities[distances.argmin(axis=1)]
    assert (nearest == found.identities).mean() < 0.6


def test_equal_features_give_equal_points_and_text() -> None:
    first, second = embedded(), embedded()
    assert all((first.points[name] == second.points[name]).all() for name in first.points)
    assert draw_embedding(first, "a") == draw_embedding(second, "a")


@pytest.mark.parametrize(("images", "perplexity"), [(5, 4 / 3), (31, 10.0), (91, 30.0), (120, 30.0)])
def test_few_images_have_a_smaller_perplexity(images: int, perplexity: float) -> None:
    found = embedded(people=1, images=images)
    assert found.perplexity == pytest.approx(perplexity)
    assert all(np.isfinite(points).all() for points in found.points.values())


def test_equal_images_lie_on_one_another() -> None:
    found = embedded(f_tri=np.ones((32, 16), dtype=np.float32), f_fc=None)
    assert (found.points["f_tri"] == 0).all()


def test_one_dimension_is_a_line() -> None:
    line = np.arange(32, dtype=np.float32)[:, None]
    points = embedded(f_fc=line, f_tri=None).points["f_fc"]
    assert points[:, 0] == pytest.approx(np.linspace(-0.5, 0.5, 32)) and (points[:, 1] == 0).all()


def test_every_person_has_a_mark_of_its_own_and_a_line_in_the_legend() -> None:
    people = 40
    found = Embedding(
        {"f_tri": np.zeros((people, 2))}, np.arange(people), np.full(people, 3), perplexity=13.0
    )
    root = ElementTree.fromstring(draw_embedding(found, "<many & all>"))
    assert root.get("aria-label") == "<many & all>"
    marks = [path for path in root.iter(f"{SPACE}path") if path.find(f"{SPACE}title") is not None]
    assert len({(path.get("d"), path.get("fill")) for path in marks}) == people
    hints = [mark.findtext(f"{SPACE}title") for mark in marks]
    assert hints == [f"identity {number}, camera 3" for number in range(people)]
    legend = [text.text for text in root.iter(f"{SPACE}text") if (text.text or "").startswith("identity")]
    assert legend == [f"identity {number}" for number in range(people)]


def test_marks_lie_in_their_panel_and_the_csv_holds_the_points() -> None:
    found = embedded(people=3)
    rows = list(csv.DictReader(io.StringIO(points_csv(found))))
    assert [row["feature"] for row in rows] == ["f_tri"] * 24 + ["f_fc"] * 24
    assert [int(row["identity"]) for row in rows[:24]] == found.identities.tolist()
    assert [float(row["x"]) for row in rows[24:]] == pytest.approx(found.points["f_fc"][:, 0], abs=1e-6)
    root = ElementTree.fromstring(draw_embedding(found, "three"))
    marks = [path for path in root.iter(f"{SPACE}path") if path.find(f"{SPACE}title") is not None]
    places = [re.match(r"translate\((\S+) (\S+)\)", mark.get("transform", "")) for mark in marks]
    numbers = np.array([[float(value) for value in place.groups()] for place in places if place])
    assert numbers.shape == (48, 2)
    assert numbers.min() >= 10 and numbers.max() <= 290
    # Up is up: the y of an SVG runs downwards.
    assert np.corrcoef(numbers[:24, 1], found.points["f_tri"][:, 1])[0, 1] < -0.99


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        (
            {"f_tri": None, "f_fc": None},
            ["none of f_tri and f_fc. Write it with 'autoreid pictures features'."],
        ),
        (
            {"identities": None, "cameras": None},
            [
                "identities: missing. Give a whole number for each image.",
                "cameras: missing. Give a whole number for each image.",
            ],
        ),
        (
            {"f_tri": np.zeros((3, 2)), "cameras": np.zeros(32)},
            [
                "f_tri: 3 images, but identities has 32. Give one row for each image.",
                "cameras: float64 (32,). It must be whole numbers, (images,).",
            ],
        ),
        (
            {"f_fc": np.full((32, 2), np.nan)},
            ["f_fc: 32 of 32 images have NaN or infinite features."],
        ),
        (
            {"f_tri": np.zeros(32)},
            ["f_tri: float64 (32,). It must be floating-point numbers, (images, dim)."],
        ),
    ],
)
def test_files_that_cannot_be_drawn_are_explained(changes: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read_people(feature_bytes(**changes), "a.npz")
    assert list(caught.value.problems) == [f"a.npz: {problem}" for problem in problems]


def test_too_few_images_and_too_many_people_are_refused() -> None:
    with pytest.raises(InputError, match=r"a.npz: 4 images. A map needs 5 or more"):
        read_people(feature_bytes(people=2, images=2), "a.npz")
    with pytest.raises(InputError, match=r"a.npz: 41 people. No map tells more than 40 apart"):
        read_people(feature_bytes(people=41, images=1), "a.npz")


@pytest.mark.parametrize("damage", ["text", "cut", "single"])
def test_damaged_files_are_named(damage: str) -> None:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    data = {"text": b"not features", "cut": feature_bytes()[:900], "single": file.getvalue()}[damage]
    with pytest.raises(InputError, match=r"^a.npz: .*Write it with 'autoreid pictures features'") as error:
        read_people(data, "a.npz")
    assert "pickle" not in str(error.value)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["embedding", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_writes_a_drawing_and_its_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "trained.npz", tmp_path / "new"
    file.write_bytes(feature_bytes())
    code, said, _ = run(capsys, file, "--out", out)
    assert (code, said) == (0, f"{out}/embedding.svg\n{out}/embedding.csv\n")
    expected = embed(read_people(feature_bytes(), ""))
    assert (out / "embedding.svg").read_text() == draw_embedding(expected, "trained")
    assert (out / "embedding.csv").read_text() == points_csv(expected)
    code, _, error = run(capsys, file, "--out", out)
    assert code == 2
    assert f"--out: {out}/embedding.svg is there already. Remove it, or name another folder." in error
    assert "embedding.csv is there already" in error
    plain = json.loads(run(capsys, file, "--out", tmp_path / "json", "--title", "T", "--json")[1])
    assert plain == {
        "drawing": f"{tmp_path}/json/embedding.svg",
        "points": f"{tmp_path}/json/embedding.csv",
        "perplexity": pytest.approx(31 / 3),
    }


def test_the_command_names_a_missing_file_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, tmp_path / "absent.npz", "--out", tmp_path / "new")
    assert code == 2 and "absent.npz: no such file. Write one with 'autoreid pictures features'" in error
    assert not (tmp_path / "new").exists()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from autoreid.cli import main\n"
        "for line in (['embedding', '--help'], ['pictures', 'ranked', '--help'], ['report', '--help']):\n"
        "    try: main(line)\n    except SystemExit: pass\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'numpy', 'pandas', 'matplotlib', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
