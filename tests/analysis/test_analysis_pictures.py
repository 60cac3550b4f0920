"""What lies behind the figures of evaluations in a report: cameras, hardest queries, t-SNE, and pictures."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest
from evaluated_jobs import EvaluatedCampaign, camera_pairs, feature_bytes, left, picture
from fake_storage import ARMS
from local_s3 import address
from report_pages import Checker

import analysis.picture_sections as picture_sections
from analysis.behind import Behind, behind
from analysis.collect import collect
from analysis.evaluated import read_evaluated
from analysis.pages import Photo, Records, Section
from analysis.report import report
from analysis.report_folder import replace_files
from autoreid.cli import main
from autoreid.folders import open_folder
from autoreid.storage import Storage

FIRST, SECOND = ARMS


def made(root: Path | str, with_images: bool = False) -> dict[str, Section]:
    """The sections that a report of the storage has besides, by title."""
    storage = Storage(root)
    collect(storage)
    records = Records.read(storage.folder, "two-arms")
    sections = behind(Behind.read(storage, records, with_images, 1), "p")
    assert len({part.title for part in sections}) == len(sections)
    return {part.title: part for part in sections}


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["report", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def evaluated(tmp_path: Path) -> EvaluatedCampaign:
    """Both repeats of the first arm are evaluated, and one of the second; all left files."""
    campaign = EvaluatedCampaign(tmp_path / "storage")
    campaign.evaluate(FIRST, 0, left(0))
    campaign.evaluate(FIRST, 1, left(1))
    campaign.evaluate(SECOND, 1, left(2))
    return campaign


def test_pairs_of_cameras_are_means_over_the_repeats(evaluated: EvaluatedCampaign, tmp_path: Path) -> None:
    part = made(tmp_path / "storage")["Camera pairs"]
    (grid,) = part.grids
    assert grid.headings == ("arm", "query camera", "gallery camera", "queries", "rank-1", "mAP", "repeats")
    assert len(grid.rows) == 2 * 6
    # Scores of 0.4 and 0.5, less a hundredth for each query camera, or more for each gallery camera.
    assert grid.rows[0] == (FIRST, "1", "2", "11", "47.0", "44.0", "2")
    assert grid.rows[-1] == (SECOND, "3", "2", "13", "52.0", "47.0", "1")
    assert [shown.name for shown in part.pictures] == [
        f"p--cameras-{number}-{measure}" for number in (1, 2) for measure in ("rank-1", "map")
    ]
    first = part.pictures[0]
    assert "mean of 2 repeats" in first.caption and FIRST in first.caption
    texts = re.findall(r">(\d+\.\d)</text>", first.svg)
    assert texts == ["47.0", "48.0", "46.0", "48.0", "46.0", "47.0"]


def test_the_hardest_queries_of_all_repeats_come_first(evaluated: EvaluatedCampaign, tmp_path: Path) -> None:
    (grid,) = made(tmp_path / "storage")["Hardest queries"].grids
    assert grid.rows == (
        (FIRST, "query/0007_c2.jpg", "7", "2", "2 of 2", "1.1", "99.5"),
        (FIRST, "query/only-0.jpg", "7", "2", "1 of 2", "2.0", "100"),
        (FIRST, "query/only-1.jpg", "7", "2", "1 of 2", "2.2", "99.0"),
        (SECOND, "query/0007_c2.jpg", "7", "2", "1 of 1", "1.2", "99.0"),
        (SECOND, "query/only-1.jpg", "7", "2", "1 of 1", "2.2", "99.0"),
    )


def test_features_are_drawn_without_asking_and_pictures_of_people_are_not(
    evaluated: EvaluatedCampaign, tmp_path: Path
) -> None:
    found = made(tmp_path / "storage")
    maps = found["Features in two dimensions"].pictures
    assert [shown.name for shown in maps] == ["p--features-1", "p--features-2"]
    assert [shown.caption for shown in maps] == [
        f"{FIRST}, repeat 1: t-SNE of f_tri and f_fc.",
        f"{SECOND}, repeat 2: t-SNE of f_tri and f_fc.",
    ]
    data = maps[0].data
    assert data is not None and len(data.rows) == 16 and data.rows[0][:3] == ("f_tri", "1", "2")
    people = found["Pictures of people"]
    assert "3 evaluations left ranked lists and activation maps." in people.intro
    assert "'autoreid report DIR --with-images' puts them in" in people.intro
    assert not any(part.photos for part in found.values())


def test_with_images_the_pictures_of_one_repeat_of_each_arm_are_there(
    evaluated: EvaluatedCampaign, tmp_path: Path
) -> None:
    found = made(tmp_path / "storage", with_images=True)
    assert "Pictures of people" not in found
    ranked, maps = (found[title] for title in ("Ranked lists", "Activation maps"))
    expected = [f"{FIRST}, repeat 1.", f"{SECOND}, repeat 2."]
    assert [photo.caption for photo in ranked.photos] == [photo.caption for photo in maps.photos] == expected
    assert [photo.png for photo in ranked.photos] == [picture(1), picture(5)]
    assert [photo.png for photo in maps.photos] == [picture(2), picture(6)]
    assert [photo.name for photo in ranked.photos] == ["p--ranked-lists-1", "p--ranked-lists-2"]
    assert ranked.points == maps.points == ()


def test_a_page_without_such_evaluations_is_as_before(tmp_path: Path) -> None:
    campaign = EvaluatedCampaign(tmp_path / "storage")
    assert made(tmp_path / "storage") == {}
    # An evaluation of another release, or a damaged one, may say anything.
    odd = [{"name": 3}, "text", {"name": "a", "identity": 1}]
    campaign.evaluate(FIRST, 0, camera_pairs=[*odd, camera_pairs(0.5)[0]], hardest=odd)
    found = made(tmp_path / "storage")
    assert list(found) == ["Camera pairs"]
    assert len(found["Camera pairs"].grids[0].rows) == 1


def test_a_report_holds_no_bytes_of_pictures_unless_asked(
    evaluated: EvaluatedCampaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, shown, plain = tmp_path / "storage", tmp_path / "shown", tmp_path / "plain"
    code, said, _ = run(capsys, storage, "--out", plain, "--json")
    assert code == 0 and json.loads(said)["pictures"] == []
    coded = {base64.b64encode(data)[:200].decode() for data in left(0).values()}
    text = "".join(path.read_text() for path in plain.rglob("*") if path.is_file())
    assert list(plain.rglob("*.png")) == [] and not any(part in text for part in coded)
    assert "<img" not in text and "--with-images" in (plain / "report.md").read_text()

    code, said, error = run(capsys, storage, "--out", shown, "--with-images", "--json")
    assert code == 0 and "no pictures" not in error
    files = [str(path) for path in sorted(shown.rglob("*.png"))]
    assert sorted(json.loads(said)["pictures"]) == files and len(files) == 4
    page_text = (shown / "report.html").read_text()
    checked = Checker(page_text)
    assert len(checked.ids) == len(set(checked.ids))
    assert all(ref.startswith(("#", "data:")) for ref in checked.references)
    sources = re.findall(
        r'<img src="data:image/png;base64,([^"]+)" alt="[^"]+" width="24" height="24">', page_text
    )
    assert [base64.b64decode(source) for source in sources] == [picture(n) for n in (1, 5, 2, 6)]
    markdown = (shown / "report.md").read_text()
    named = re.findall(r"!\[[^]]*\]\((figures/[^)]+\.png)\)", markdown)
    assert [(shown / name).read_bytes() for name in named] == [picture(n) for n in (1, 5, 2, 6)]
    assert "Pictures of people" not in markdown


def test_the_next_report_takes_pictures_away(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    replace_files(folder, {"report.md": "a", "figures/two-arms--ranked-lists-1.png": picture(1)})
    assert (tmp_path / "figures" / "two-arms--ranked-lists-1.png").read_bytes() == picture(1)
    replace_files(folder, {"report.md": "a"})
    assert list(tmp_path.rglob("*.png")) == []


def test_equal_records_give_equal_reports(evaluated: EvaluatedCampaign, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "storage")
    collect(storage)

    def written(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        report(storage.folder, folder, storage=storage, with_images=True)
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

    assert written("a") == written("b")


def test_tables_alone_have_no_pictures_to_show(
    evaluated: EvaluatedCampaign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(tmp_path / "storage")
    shutil.copytree(tmp_path / "storage" / "tables", tmp_path / "moved" / "tables")
    code, _, error = run(capsys, tmp_path / "moved", "--with-images")
    assert code == 2 and f"--with-images: {tmp_path / 'moved'} has tables and no jobs" in error
    assert run(capsys, tmp_path / "moved")[0] == 0
    text = (tmp_path / "moved" / "report" / "report.md").read_text()
    assert "Camera pairs" not in text and "Pictures of people" not in text


def test_asking_for_pictures_that_nobody_made_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    EvaluatedCampaign(tmp_path / "storage").evaluate(FIRST, 0)
    code, _, error = run(capsys, tmp_path / "storage", "--with-images")
    assert code == 0 and "no pictures of people in this report" in error


def test_a_damaged_picture_is_left_out_and_named(tmp_path: Path) -> None:
    campaign = EvaluatedCampaign(tmp_path / "storage")
    # Of large files the digest is checked when they are read.
    large = left(0) | {"pictures-ranked.png": picture(1, side=700)}
    attempt = campaign.evaluate(FIRST, 0, large)
    campaign.evaluate(SECOND, 0, left(1))
    path = Path(str(attempt.folder)) / "pictures-ranked.png"
    data = path.read_bytes()
    assert len(data) > 1 << 20
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    ranked = made(tmp_path / "storage", with_images=True)["Ranked lists"]
    assert [photo.png for photo in ranked.photos] == [picture(3)]
    (point,) = ranked.points
    assert point.startswith(f"{FIRST}: left out. {path}: damaged") and "run the campaign again" in point


def test_features_that_cannot_be_drawn_are_named(tmp_path: Path) -> None:
    campaign = EvaluatedCampaign(tmp_path / "storage")
    campaign.evaluate(FIRST, 0, {"features.npz": feature_bytes(cameras=None)})
    campaign.evaluate(SECOND, 0, {"features.npz": feature_bytes(people=1, images=3)})
    part = made(tmp_path / "storage")["Features in two dimensions"]
    assert part.pictures == ()
    assert [point.split(": ")[0] for point in part.points] == [FIRST, SECOND]
    assert "cameras: missing" in part.points[0] and "3 images. A map needs 5 or more" in part.points[1]


def test_what_does_not_fit_is_left_out_and_named(
    evaluated: EvaluatedCampaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(picture(1))
    monkeypatch.setattr(picture_sections, "MOST_BYTES", 2 * (size + 10))
    monkeypatch.setattr(picture_sections, "MOST_MAPS", 1)
    found = made(tmp_path / "storage", with_images=True)
    ranked = found["Ranked lists"]
    assert [photo.caption for photo in ranked.photos] == [f"{FIRST}, repeat 1."]
    (point,) = ranked.points
    assert point.startswith("Left out, 0.0 MiB, to keep the report small: softmax, k=all. In the storage,")
    assert point.endswith("/pictures-ranked.png.")
    maps = found["Features in two dimensions"]
    assert len(maps.pictures) == 1 and "to keep the report small: softmax, k=all." in maps.points[0]


def test_evaluations_of_an_object_store_are_read(
    evaluated: EvaluatedCampaign, tmp_path: Path, s3_port: int
) -> None:
    where = address(s3_port, tmp_path.name)
    remote, local = open_folder(where), open_folder(tmp_path / "storage")
    for name in local.sizes():
        remote.write(name, local.read(name))
    found = made(where, with_images=True)
    assert [photo.png for photo in found["Ranked lists"].photos] == [picture(1), picture(5)]
    assert len(found["Features in two dimensions"].pictures) == 2


def test_only_finished_evaluations_count(evaluated: EvaluatedCampaign, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "storage")
    collect(storage)
    records = Records.read(storage.folder, "two-arms")
    found = read_evaluated(storage, records)
    assert [(one.arm, one.repeat) for one in found] == [(FIRST, 0), (FIRST, 1), (SECOND, 1)]
    assert found[0].size("pictures-ranked.png") == len(picture(1)) and found[0].size("absent") == 0


def test_a_photo_knows_its_size() -> None:
    assert Photo("a", "b", picture(1)).size == (24, 24)
    assert Photo("a", "b", b"no picture").size == (0, 0)
