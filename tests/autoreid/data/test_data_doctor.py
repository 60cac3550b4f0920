"""`check`: everything wrong with a data set, in one report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import replica_files
import replicas

from autoreid.data import source as source_module
from autoreid.data.arrays import decode
from autoreid.data.doctor import CheckReport, check
from autoreid.data.index import ImageIndex
from autoreid.data.market1501 import read
from autoreid.errors import InputError


def kinds(report: CheckReport) -> list[str]:
    return sorted(defect.kind for defect in report.defects)


def test_a_whole_set_has_counts_next_to_the_published_ones(market: Path) -> None:
    report = check(market)
    assert report.usable
    assert not report.defects
    plain = json.loads(json.dumps(report.plain()))
    assert plain["splits"]["gallery"] == {
        "split": "gallery",
        "images": 5,
        "identities": 2,
        "cameras": 3,
        "junk": 1,
        "distractors": 1,
        "published_images": 15913,
        "published_identities": 750,
    }
    assert plain["splits"]["train"]["identities"] == 3
    assert "12,936 images, 751 identities" in report.text()
    assert "usable: yes" in report.text()


def test_differences_from_published_counts_are_warnings(market: Path) -> None:
    warnings = check(market).warnings
    assert len(warnings) == 4
    assert warnings[0].startswith("train: 12 images of 3 identities; published are 12,936 of 751.")
    assert warnings[3].startswith("3 cameras; published are 6.")


def test_everything_wrong_is_reported_together(make_market: Callable[..., Path]) -> None:
    root = make_market(
        train=["0002_c1s1_000451_03.jpg", "0002_c2s1_000451_03.jpg", "second.jpg"],
        query=["0001_c1s1_000151_01.jpg", "0003_c1s1_000151_01.jpg", "0005_c1s1_000151_01.jpg"],
        gallery=["0001_c1s1_000201_01.jpg", "0003_c2s1_000151_01.jpg"],
    )
    broken = root / "bounding_box_train" / "0002_c1s1_000451_03.jpg"
    broken.write_bytes(broken.read_bytes()[:-40])
    report = check(root)
    assert kinds(report) == [
        "alien file name",
        "identity absent from the gallery",
        "no match in another camera",
        "unreadable image",
    ]
    assert not report.usable
    text = report.text()
    assert "0005_c1s1_000151_01.jpg: identity 5 is not in the gallery" in text
    assert "0001_c1s1_000151_01.jpg: in the gallery in this camera only" in text
    assert "second.jpg: not a name of this layout. Rename" in text
    assert "truncated" in text
    assert "usable: no" in text


def test_queries_without_a_match_do_not_keep_the_rest_from_being_used(
    make_market: Callable[..., Path],
) -> None:
    root = make_market(query=["0001_c1s1_000151_01.jpg", "0005_c1s1_000151_01.jpg"])
    report = check(root)
    assert kinds(report) == ["identity absent from the gallery"]
    assert report.usable


def test_without_any_answerable_query_the_set_is_of_no_use(make_market: Callable[..., Path]) -> None:
    assert not check(make_market(query=["0005_c1s1_000151_01.jpg"])).usable


def test_one_camera_is_a_defect_and_not_an_assertion(make_market: Callable[..., Path]) -> None:
    report = check(
        make_market(
            query=["0001_c4s1_000151_01.jpg"], gallery=["0001_c4s1_000201_01.jpg", "0000_c4s1_000201_01.jpg"]
        )
    )
    assert kinds(report) == ["one camera"]
    assert not report.usable
    assert "come from one camera (4)" in report.defects[0].message


def test_one_camera_that_was_chosen_is_no_defect(make_market: Callable[..., Path]) -> None:
    root = make_market(
        query=["0001_c4s1_000151_01.jpg", "0003_c4s1_000151_01.jpg"], gallery=["0001_c4s1_000201_01.jpg"]
    )
    report = check(root, settings=["single_camera=true"])
    assert kinds(report) == ["identity absent from the gallery"]
    assert report.usable


def test_set_layout_and_facts_are_told(tmp_path: Path, cache: Path) -> None:
    root = replicas.msmt17("V2", nested=True)(tmp_path)
    report = check(root, settings=["validation=left-out"])
    assert f"{root}: msmt17, validation left out: MSMT17 V2, nested" in report.text()
    assert "30,248 images, 1,041 identities" in report.text()
    plain = json.loads(json.dumps(report.plain()))
    assert (plain["data_set"], plain["facts"]) == ("msmt17", {"validation": "left out"})


def test_nothing_is_published_of_own_data(tmp_path: Path) -> None:
    report = check(replica_files.write_index("csv")(tmp_path))
    assert not report.warnings
    assert report.splits[2].junk == 1
    assert report.splits[0].published_images is None
    assert report.text().splitlines()[3].rstrip().endswith("   -")


def test_a_reader_of_an_installed_package_is_checked_alike(
    market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(root: Path) -> ImageIndex:
        raise InputError(f"{root}: too old.")

    for reader, usable in ((read, True), (refuse, False)):
        monkeypatch.setattr(source_module, "known_sets", lambda: ["foreign"])
        monkeypatch.setattr(source_module, "find_reader", lambda name, reader=reader: reader)
        report = check(market, "foreign")
        assert report.usable == usable
        assert report.data_set == "foreign"
    assert kinds(report) == ["refused"]
    assert "too old." in report.text()


def test_missing_folders_and_empty_splits_are_reported_and_not_raised(
    make_market: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_market(query=[])
    shutil.rmtree(root / "bounding_box_test")
    assert kinds(check(root)) == ["empty split", "missing folder"]
    assert kinds(check(tmp_path / "nowhere", "market1501")) == ["missing folder"]


def test_training_images_in_the_test_set_are_a_warning(market: Path) -> None:
    shutil.copyfile(
        market / "bounding_box_train" / "0007_c1s1_000151_01.jpg",
        market / "bounding_box_test" / "0003_c3s1_000151_01.jpg",
    )
    report = check(market)
    assert report.usable
    assert (
        "bounding_box_test/0003_c3s1_000151_01.jpg has the bytes of bounding_box_train/0007"
        in (report.warnings[-1])
    )


def test_people_who_are_trained_and_tested_on_are_a_warning(make_market: Callable[..., Path]) -> None:
    root = make_market(query=["0001_c1s1_000151_01.jpg", "0007_c1s1_000999_01.jpg"])
    report = check(root)
    assert report.usable
    assert "1 identity is trained and tested on, such as 7. Number the people" in report.text()


def test_in_one_camera_a_query_must_not_find_itself(make_market: Callable[..., Path]) -> None:
    root = make_market(query=["0001_c1s1_000151_01.jpg"], gallery=["0001_c1s1_000201_01.jpg"])
    shutil.copyfile(
        root / "query" / "0001_c1s1_000151_01.jpg", root / "bounding_box_test" / "0001_c1s1_000201_01.jpg"
    )
    assert "would find itself" in check(root, settings=["single_camera=true"]).warnings[-1]
    assert not any("find itself" in text for text in check(root).warnings)


@pytest.mark.parametrize("damage", ["alien", "broken", "empty"])
def test_what_the_check_calls_unusable_the_loader_refuses(market: Path, cache: Path, damage: str) -> None:
    path = market / "query" / "0001_c1s1_000151_01.jpg"
    if damage == "alien":
        path.rename(path.with_name("one.jpg"))
    elif damage == "broken":
        path.write_bytes(b"JFIF")
    else:
        shutil.rmtree(path.parent)
        path.parent.mkdir()
    assert not check(market).usable
    with pytest.raises(InputError):
        decode(read(market), 16, 8)
