"""Damaged, mixed and half-written data sets: every mistake is named with its place, and all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import replicas
from replica_files import write_crop

from autoreid.data import cuhk03, dukemtmc, index_file, market1501, msmt17
from autoreid.data.doctor import check
from autoreid.data.index import ImageIndex
from autoreid.data.market_folders import NAMINGS
from autoreid.errors import InputError


def refusal(read: Callable[[], ImageIndex]) -> str:
    with pytest.raises(InputError) as caught:
        read()
    return str(caught.value)


def test_names_of_another_data_set_are_recognised(tmp_path: Path) -> None:
    root = replicas.folders(replicas.duke_name)(tmp_path)
    text = refusal(lambda: market1501.read(root))
    assert "These are names of DukeMTMC-reID: choose the data set dukemtmc." in text
    root = replicas.market(tmp_path / "market")
    assert "choose the data set market1501" in refusal(lambda: dukemtmc.read(root))


def test_every_naming_reads_its_own_example_and_no_other() -> None:
    for naming in NAMINGS:
        fitting = [other.option for other in NAMINGS if other.read(naming.example)]
        # CUHK03's names are also MSMT17's in Market-1501 folders: folders and cameras tell them apart.
        assert fitting == ([naming.option, "msmt17"] if naming.option == "cuhk03" else [naming.option])


def test_numbers_that_no_integer_holds_are_named(tmp_path: Path) -> None:
    root, name = replicas.market(tmp_path / "market"), f"{'9' * 25}_c1s1_000001_01.jpg"
    write_crop(root / "query" / name)
    assert f"{name}: not a name of this layout" in refusal(lambda: market1501.read(root))
    root = replicas.msmt17("V1", nested=True)(tmp_path / "msmt17")
    lines = (root / "list_query.txt").read_text()
    (root / "list_query.txt").write_text(lines.replace(" 0\n", f" {'9' * 25}\n"))
    assert "list_query.txt: line 1: " in refusal(lambda: msmt17.read(root))


def test_mixed_layouts_in_one_folder_are_named(tmp_path: Path) -> None:
    root = replicas.market(tmp_path)
    write_crop(root / "query" / "0007_c2_f0046182.jpg")
    text = refusal(lambda: market1501.read(root))
    assert "0007_c2_f0046182.jpg: not a name of this layout" in text
    assert "choose the data set dukemtmc" in text


def test_distractors_have_to_be_there_and_to_be_nobody(tmp_path: Path) -> None:
    root = replicas.market(tmp_path)
    assert "images: no such folder. Unpack the 500K" in refusal(
        lambda: market1501.read(root, distractors=True)
    )
    write_crop(root / "images" / "0012_c1s1_000001_01.jpg")
    text = refusal(lambda: market1501.read(root, distractors=True))
    assert "1 image of people, such as 0012_c1s1_000001_01.jpg" in text
    assert len(market1501.read(root)) == 11


def test_msmt17_lists_with_wrong_lines_are_reported_together(tmp_path: Path) -> None:
    root = replicas.msmt17("V1", nested=True)(tmp_path)
    gallery = root / "list_gallery.txt"
    lines = gallery.read_text().splitlines()
    broken = [
        *lines,
        "0000/nothing.jpg 0",
        lines[0],
        lines[0].split(" ")[0],
        "0009/0009_001_01_0303_1_0.jpg 9",
    ]
    gallery.write_text("\n".join(broken))
    (root / "list_train.txt").unlink()
    (root / "list_val.txt").write_bytes(b"\xff\xfe\x00")
    (root / "list_query.txt").write_text("\n")
    text = refusal(lambda: msmt17.read(root))
    assert f"{gallery}: line 5: '0000/nothing.jpg 0' is not an image and its identity" in text
    assert "was in list_gallery.txt, line 1, already" in text
    assert "line 7:" in text and "line 8: 0009/0009_001_01_0303_1_0.jpg is not in test" in text
    assert "list_train.txt: No such file or directory. Take the list" in text
    assert "list_val.txt: not a text" in text and "or choose validation=left-out" in text
    assert "list_query.txt: no line." in text


def test_msmt17_is_recognised_by_any_of_its_lists(tmp_path: Path) -> None:
    root = replicas.msmt17("V1", nested=True)(tmp_path)
    (root / "list_query.txt").unlink()
    report = check(root)
    assert report.data_set == "msmt17" and not report.usable
    assert f"{root}/list_query.txt: No such file or directory. Take the list" in report.text()


def test_lists_of_windows_are_read(tmp_path: Path) -> None:
    root = replicas.msmt17("V1", nested=False, listed_nested=False)(tmp_path)
    expected = msmt17.read(root)
    for file in root.glob("list_*.txt"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert msmt17.read(root).names == expected.names


def test_an_image_of_two_lists_is_named(tmp_path: Path) -> None:
    root = replicas.msmt17("V2", nested=False)(tmp_path)
    line = (root / "list_train.txt").read_text().splitlines()[0]
    with (root / "list_val.txt").open("a") as file:
        file.write(line)
    assert "was in list_train.txt, line 1, already" in refusal(lambda: msmt17.read(root))
    assert len(msmt17.read(root, validation="left-out").rows("train")) == 4


def test_flat_images_of_one_name_in_two_folders_are_not_guessed(tmp_path: Path) -> None:
    root = replicas.msmt17("V1", nested=True, listed_nested=False)(tmp_path)
    name = (root / "list_query.txt").read_text().split(" ")[0]
    write_crop(root / "test" / "0777" / name)
    assert f"line 1: {name} is not in test" in refusal(lambda: msmt17.read(root))


def test_two_copies_of_msmt17_are_not_chosen_from(tmp_path: Path) -> None:
    replicas.msmt17("V1", nested=True)(tmp_path / "MSMT17_V1")
    replicas.msmt17("V2", nested=True)(tmp_path / "MSMT17_V2")
    text = refusal(lambda: msmt17.read(tmp_path))
    assert "holds MSMT17 V1 in" in text and "and MSMT17 V2 in" in text
    assert text.endswith("Give the folder of one, or move the other away.")
    assert len(msmt17.read(tmp_path / "MSMT17_V2")) == len(replicas.LISTED)


def test_msmt17_folders_know_no_validation_images(tmp_path: Path) -> None:
    root = replicas.folders(replicas.market_msmt17_name, [row for row in replicas.LISTED if row[2] != "val"])(
        tmp_path
    )
    assert "do not tell validation images" in refusal(lambda: msmt17.read(root, validation="left-out"))
    assert msmt17.read(root).facts["validation"] == "in training"


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (market1501.read, "no such folder. Give the folder that holds bounding_box_train"),
        (dukemtmc.read, "no such folder. Give the folder that holds bounding_box_train"),
        (cuhk03.read, "no such folder. Give the folder with labeled/bounding_box_train"),
        (msmt17.read, "no such folder. Give the folder with train/ and test/"),
        (index_file.read, "not an index file. Give a file that ends with .csv or .parquet"),
    ],
)
def test_a_missing_folder_is_named_with_what_it_should_hold(
    read: Callable[[Path], ImageIndex], message: str, tmp_path: Path
) -> None:
    assert message in refusal(lambda: read(tmp_path / "nowhere"))


def test_what_is_not_there_is_not_counted_against_what_is_published(tmp_path: Path) -> None:
    report = check(tmp_path, "msmt17")
    assert [defect.kind for defect in report.defects] == ["missing folder"]
    assert report.warnings == ()


def test_an_index_file_is_no_folder_of_market1501(tmp_path: Path) -> None:
    (tmp_path / "people.csv").touch()
    text = refusal(lambda: market1501.read(tmp_path / "people.csv"))
    assert "people.csv: a file and no folder." in text
    assert text.endswith("for an index file choose the data set index.")


def test_an_unknown_folder_says_what_is_known(tmp_path: Path) -> None:
    report = check(tmp_path)
    assert not report.usable
    text = report.text()
    assert "no known layout. Give a folder with bounding_box_train" in text
    assert "cuhk-03.mat" in text and "list_train.txt" in text and ".parquet" in text
