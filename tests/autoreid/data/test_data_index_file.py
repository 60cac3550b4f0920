"""Index files: CSV and parquet, with every mistake and its line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from replica_files import write_crop

from autoreid.data.doctor import check
from autoreid.data.index_file import read
from autoreid.errors import InputError

GOOD = """path,identity,camera,split
a.jpg,7,1,train
b.jpg,7,2,train
c.jpg,8,1,query
d.jpg,8,2,gallery
"""


def write(root: Path, text: str, name: str = "all.csv") -> Path:
    for image in "abcd":
        write_crop(root / f"{image}.jpg")
    (root / name).write_text(text)
    return root / name


def refusal(file: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(file)
    return str(caught.value).splitlines()


def test_whole_numbers_stay_as_they_are(tmp_path: Path) -> None:
    index = read(write(tmp_path, GOOD))
    assert index.names == ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert index.identities.tolist() == [7, 7, 8, 8]
    assert index.root == tmp_path


def test_order_of_columns_more_columns_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    head = "\ufeffsplit,note,path , identity,camera\n"
    text = "train,x,a.jpg,7,1\nquery,,c.jpg,8,1\n\ngallery,,./d.jpg,8,2\n"
    index = read(write(tmp_path, head + text))
    assert index.names == ("a.jpg", "c.jpg", "d.jpg")
    assert index.cameras.tolist() == [1, 1, 2]


def test_everything_wrong_is_reported_together_with_its_line(tmp_path: Path) -> None:
    text = GOOD + (
        "a.jpg,7,1,train\n,9,1,train\nb2.jpg,,x,train\n./c.jpg,8,1,query\ne.jpg,8,1,gallery\n"
        "d.jpg2,-2,-1,galery\nshort.jpg\n"
    )
    file = write(tmp_path, text)
    found = "\n".join(refusal(file))
    for message in (
        "line 6: a.jpg is on line 2 already",
        "line 7: no path",
        "line 8: no identity",
        "line 8: camera 'x' is not a whole number from 0",
        "line 9: ./c.jpg is on line 4 already",
        "line 10: no such file: e.jpg",
        "line 11: identity -2 is below -1 (junk)",
        "line 11: camera '-1' is not",
        "line 11: no split 'galery'. Did you mean 'gallery'?",
    ):
        assert f"{file}: {message}" in found
    assert "more (12 in all)" in found
    assert "Correct these lines." in found
    assert not check(file).usable


def test_missing_files_are_named_with_their_lines(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "e.jpg,8,1,gallery\nsub/f.jpg,8,1,gallery\n")
    assert refusal(file) == [
        f"{file}: line 6: no such file: e.jpg",
        f"{file}: line 7: no such file: sub/f.jpg. Correct these lines.",
    ]
    assert [defect.kind for defect in check(file).defects] == ["index file"]


def test_texts_that_look_like_numbers_stay_apart(tmp_path: Path) -> None:
    text = GOOD.replace(",7,", ",1_11,").replace(",8,", ",11_1,")
    assert read(write(tmp_path, text)).identities.tolist() == [2, 2, 1, 1]


def test_distractors_and_junk_may_have_zeros_in_front(tmp_path: Path) -> None:
    text = GOOD.replace(",7,", ",anna,").replace(",8,", ",bert,")
    for image in "ef":
        write_crop(tmp_path / f"{image}.jpg")
    index = read(write(tmp_path, text + "e.jpg,0000,1,gallery\nf.jpg,-01,1,gallery\n"))
    assert index.identities.tolist() == [1, 1, 2, 2, 0]


def test_identities_that_became_decimal_numbers_are_named(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    columns = {
        "path": ["a.jpg", "c.jpg", "d.jpg"],
        "identity": np.array([7, 8, -1], np.float64),
        "camera": [1, 1, 2],
        "split": ["train", "query", "gallery"],
    }
    file = tmp_path / "all.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert refusal(file) == [
        f"{file}: row 1: identity 7.0 is a decimal number: write 7",
        f"{file}: row 2: identity 8.0 is a decimal number: write 8",
        f"{file}: row 3: identity -1.0 is a decimal number: write -1. Correct these lines.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace(",", ";"), "Separate them by commas."),
        (GOOD.replace("split\n", "split,path\n"), "column path is there twice. Remove or rename one."),
        (GOOD.replace("d.jpg", "sub\\d.jpg"), "no such file: sub\\d.jpg (folders are separated by /)."),
    ],
)
def test_what_other_programs_write_has_its_remedy(text: str, said: str, tmp_path: Path) -> None:
    (problem,) = refusal(write(tmp_path, text))
    assert said in problem


def test_other_encodings_are_named(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    file.write_bytes(GOOD.encode("utf-16"))
    assert refusal(file) == [f"{file}: not UTF-8 (invalid start byte). Save it as UTF-8."]


def test_a_parquet_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "all.parquet"
    names = ["path", "path", "identity", "camera", "split"]
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 5, names=names)
    pyarrow.parquet.write_table(table, file)
    assert refusal(file) == [f"{file}: column path is there twice. Remove or rename one."]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_missing_columns_are_named_together(kind: str, tmp_path: Path) -> None:
    file = write(tmp_path, "path,id,split\na.jpg,1,train\n")
    if kind == "parquet":
        file = tmp_path / "all.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"path": ["a"], "id": [1], "split": ["train"]}), file)
    (problem,) = refusal(file)
    assert problem.endswith(
        "no column identity, camera. The file has path, id, split; it needs path, identity, camera, split."
    )


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b'path,"'])
def test_what_is_no_table_is_named(content: bytes, tmp_path: Path) -> None:
    for name in ("all.csv", "all.parquet"):
        (tmp_path / name).write_bytes(content)
        (problem,) = refusal(tmp_path / name)
        assert problem.startswith(f"{tmp_path / name}: ")


def test_parquet_keeps_numbers_and_names_rows(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    columns = {
        "path": ["a.jpg", "c.jpg", "d.jpg", None],
        "identity": np.array([7, 8, 8, 8], np.int32),
        "camera": np.array([1, 1, 2, 2], np.uint8),
        "split": ["train", "query", "gallery", "gallery"],
    }
    file = tmp_path / "all.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert refusal(file) == [f"{file}: row 4: no path. Correct these lines."]
    pyarrow.parquet.write_table(pyarrow.table(columns).slice(0, 3), file)
    assert read(file).identities.tolist() == [7, 8, 8]


def test_empty_splits_and_distractors_elsewhere_are_named(tmp_path: Path) -> None:
    file = write(
        tmp_path, "path,identity,camera,split\na.jpg,0,1,train\nb.jpg,1,1,train\nd.jpg,2,1,gallery\n"
    )
    assert refusal(file) == [
        f"{file}: 1 row of train with identity 0. Give people other identities, or distractors the split "
        "gallery.",
        f"{file}: no row with split query. Add rows, or correct their split.",
    ]


def test_numbers_too_large_are_texts(tmp_path: Path) -> None:
    text = GOOD.replace(",7,", f",{10**30},")
    assert read(write(tmp_path, text)).identities.tolist() == [1, 1, 2, 2]


def test_names_start_at_the_folder_that_all_images_share(tmp_path: Path) -> None:
    write(tmp_path / "images", GOOD)
    file = tmp_path / "lists" / "deep" / "all.csv"
    file.parent.mkdir(parents=True)
    relative = GOOD.replace("a.jpg", "../../images/a.jpg").replace("b.jpg", f"{tmp_path}/images/b.jpg")
    file.write_text(relative)
    assert [text.split(": ")[1] for text in refusal(file)] == ["line 4", "line 5"]
    file.write_text(relative.replace("c.jpg", "../../images/c.jpg").replace("d.jpg", "../../images/d.jpg"))
    index = read(file)
    assert index.root == tmp_path / "images"
    assert index.names == ("a.jpg", "b.jpg", "c.jpg", "d.jpg")


def test_a_large_index_opens_with_few_looks_at_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = 3000
    (tmp_path / "all").mkdir()
    lines = ["path,identity,camera,split"]
    for number in range(images):
        (tmp_path / "all" / f"{number}.jpg").touch()
        split = ("train", "query", "gallery")[number % 3]
        lines.append(f"all/{number}.jpg,{1 + number % 3},{number % 5},{split}")
    (tmp_path / "all.csv").write_text("\n".join(lines))
    scans = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scans.append(path) or scandir(path))
    monkeypatch.setattr(os, "stat", lambda *given, **more: pytest.fail("one look a file"))
    assert len(read(tmp_path / "all.csv")) == images
    assert len(scans) == 1
