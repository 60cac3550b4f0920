"""Rendered pedestrians: the files they come as, their determinism, and what makes them hard."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoreid.data.cameras import camera_of
from autoreid.data.composition import compose, look
from autoreid.data.pedestrians import render
from autoreid.errors import InputError

OFFICIAL = re.compile(r"(-1|\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})\.jpg")
FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
SMALL = {"identities": 8, "cameras": 3, "images": 3, "height": 64, "width": 32}


def parse(folder: Path) -> list[tuple[int, int]]:
    """(identity, camera) of every file of a folder; any other name fails."""
    matches = [(path.name, OFFICIAL.fullmatch(path.name)) for path in sorted(folder.iterdir())]
    assert [name for name, match in matches if match is None] == []
    return [(int(match[1]), int(match[2])) for _, match in matches if match]


def digests(directory: Path) -> dict[str, str]:
    files = sorted(directory.rglob("*.jpg"))
    return {str(f.relative_to(directory)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def histogram(image: np.ndarray, careful: bool) -> np.ndarray:
    """8x8x8 colours in six stripes; `careful` leaves out the sides and evens out every channel first."""
    if careful:
        image = image[:, image.shape[1] * 3 // 10 : image.shape[1] * 7 // 10].astype(float)
        image = (image - image.mean((0, 1))) / image.std((0, 1)) * 50 + 128
    bins = np.clip(image, 0, 255).astype(int) // 32 @ np.array([64, 8, 1])
    counts = [np.bincount(stripe.ravel(), minlength=512) for stripe in np.array_split(bins, 6)]
    roots = np.sqrt(np.concatenate(counts))
    return roots / np.linalg.norm(roots)


def mean_average_precision(directory: Path, careful: bool) -> float:
    """Of ranking by histogram, the query's own identity and camera ignored, junk left out."""
    sides = []
    for folder in FOLDERS[1:]:
        files = sorted((directory / folder).iterdir())
        features = np.stack([histogram(pixels(path), careful) for path in files])
        sides.append((features, parse(directory / folder)))
    (query, queries), (gallery, boxes) = sides
    precisions = []
    for feature, (identity, camera) in zip(query, queries, strict=True):
        hits, seen, found = 0, 0, []
        for index in np.argsort(-gallery @ feature, kind="stable").tolist():
            if boxes[index] == (identity, camera) or boxes[index][0] == -1:
                continue
            seen += 1
            if boxes[index][0] == identity:
                hits += 1
                found.append(hits / seen)
        precisions.append(np.mean(found))
    return float(np.mean(precisions))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("world") / "pedestrians"
    render(directory, **SMALL)
    return directory


def test_three_folders_with_official_names_and_nothing_else(rendered: Path) -> None:
    assert sorted(path.name for path in rendered.iterdir()) == sorted(FOLDERS)
    for folder in FOLDERS:
        assert parse(rendered / folder)


def test_counts_per_split(rendered: Path) -> None:
    train, query, gallery = (Counter(parse(rendered / folder)) for folder in FOLDERS)
    views = [(identity, camera) for identity in range(1, 5) for camera in (1, 2, 3)]
    assert train == dict.fromkeys(views, 3)
    assert query == {(identity + 4, camera): 1 for identity, camera in views}
    known = {view: count for view, count in gallery.items() if view[0] > 0}
    assert known == {(identity + 4, camera): 2 for identity, camera in views}
    strangers = Counter(identity for identity, _ in gallery.elements() if identity <= 0)
    assert strangers == {0: 3, -1: 2}


def test_every_query_has_a_match_in_another_camera(rendered: Path) -> None:
    gallery = parse(rendered / "bounding_box_test")
    for identity, camera in parse(rendered / "query"):
        assert any(other == identity and place != camera for other, place in gallery)


@pytest.mark.parametrize(("fraction", "training"), [(0.25, 2), (0.7, 6)])
def test_the_first_identities_train(tmp_path: Path, fraction: float, training: int) -> None:
    render(tmp_path, **SMALL, train_fraction=fraction)
    assert {identity for identity, _ in parse(tmp_path / "bounding_box_train")} == set(range(1, training + 1))
    assert {identity for identity, _ in parse(tmp_path / "query")} == set(range(training + 1, 9))


def test_pictures_have_the_size_asked_for(rendered: Path, tmp_path: Path) -> None:
    sizes = {pixels(path).shape for path in rendered.rglob("*.jpg")}
    assert sizes == {(64, 32, 3)}
    render(tmp_path, identities=4, cameras=2, images=2, height=96, width=60)
    assert {pixels(path).shape for path in tmp_path.rglob("*.jpg")} == {(96, 60, 3)}


def test_another_process_writes_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from autoreid.data.pedestrians import render; "
        f"render(Path(sys.argv[1]), **{SMALL!r})"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "again")], check=True)
    assert digests(tmp_path / "again") == digests(rendered)


def test_pictures_do_not_depend_on_the_order_of_drawing(rendered: Path, tmp_path: Path) -> None:
    """Drawn alone and backwards: the same bytes as in the data set."""
    for person, camera, shot in [(3, 3, 2), (3, 1, 0), (1, 2, 1)]:
        picture, quality = compose(camera_of(camera, 0, 64, 32), 0, (person, camera, shot), 64, 32)
        picture.save(tmp_path / "alone.jpg", quality=quality)
        name = f"{person:04d}_c{camera}s1_{50 * (shot + 1) + 1:06d}_{shot + 1:02d}.jpg"
        expected = (rendered / "bounding_box_train" / name).read_bytes()
        assert (tmp_path / "alone.jpg").read_bytes() == expected


def test_more_of_everything_leaves_the_earlier_pictures_unchanged(rendered: Path, tmp_path: Path) -> None:
    render(tmp_path, identities=10, cameras=4, images=4, height=64, width=32, train_fraction=0.4)
    before, after = digests(rendered), digests(tmp_path)
    assert before.items() <= after.items()
    assert len(after) > len(before)


def test_seeds_differ(rendered: Path, tmp_path: Path) -> None:
    render(tmp_path, **SMALL, seed=1)
    other = digests(tmp_path)
    assert other.keys() == digests(rendered).keys()
    assert not set(other.values()) & set(digests(rendered).values())


def test_no_two_pictures_are_equal(rendered: Path) -> None:
    values = digests(rendered).values()
    assert len(set(values)) == len(values)


def test_cameras_record_different_colours() -> None:
    """The mean colour of a camera's pictures says which camera it was: the casts are far apart."""
    means = []
    for number in range(1, 5):
        camera = camera_of(number, 0, 64, 32)
        pictures = [np.asarray(compose(camera, 0, (person, number, 0), 64, 32)[0]) for person in range(8)]
        means.append(np.mean(pictures, axis=(0, 1, 2)))
    gaps = [np.abs(a - b).max() for index, a in enumerate(means) for b in means[:index]]
    assert min(gaps) > 8


def test_colours_help_only_when_the_camera_is_taken_out(tmp_path: Path) -> None:
    """Twenty test identities, chance about 6% mAP: raw colours say which camera, evened ones who it is."""
    render(tmp_path, identities=24, cameras=4, height=64, width=32, train_fraction=0.17)
    raw = mean_average_precision(tmp_path, careful=False)
    assert raw < 0.08
    assert mean_average_precision(tmp_path, careful=True) > 3 * raw


def test_family_members_share_colours_and_differ_otherwise() -> None:
    looks = [look(0, person) for person in range(200)]
    assert len(set(looks)) == 200
    alike = [
        (a, b)
        for a, b in zip(looks[::4], looks[1::4], strict=True)
        if (a.upper, a.accent, a.lower) == (b.upper, b.accent, b.lower)
    ]
    assert len(alike) >= 5
    assert all(
        (a.pattern, a.bag, a.hair, a.stature) != (b.pattern, b.bag, b.hair, b.stature) for a, b in alike
    )


def test_every_mistake_is_reported_and_nothing_written(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with pytest.raises(InputError) as caught:
        render(target, identities=3, cameras=1, images=1, seed=-1, height=8, width=True, train_fraction=1.5)
    places = [problem.split(":")[0] for problem in caught.value.problems]
    assert places == ["identities", "cameras", "images", "seed", "height", "width", "train_fraction"]
    assert "3 is out of range. Use a whole number from 4 to 9999." in caught.value.problems[0]
    assert not target.exists()


def test_a_fraction_that_empties_a_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves fewer than 2"):
        render(tmp_path, identities=10, cameras=2, train_fraction=0.05)
    with pytest.raises(InputError, match="leaves fewer than 2"):
        render(tmp_path, identities=10, cameras=2, train_fraction=0.95)
    with pytest.raises(InputError, match="nan is out of range"):
        render(tmp_path, identities=10, cameras=2, train_fraction=float("nan"))
    with pytest.raises(InputError, match="'half' is out of range"):
        render(tmp_path, identities=10, cameras=2, train_fraction="half")  # type: ignore[arg-type]


def test_a_folder_in_use_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        render(tmp_path, identities=4, cameras=2)
    with pytest.raises(InputError, match="is a file"):
        render(tmp_path / "notes.txt", identities=4, cameras=2)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
