"""Files that are to be written: what is wrong with their places is told before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autoreid.errors import InputError
from autoreid.outputs import new_file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file, a folder and a link to nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.json").write_text("{}")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to("absent")
    return tmp_path


def test_a_place_is_made_absolute(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert new_file("new") == here / "new"
    assert new_file("~/folder.json/new.csv", "--table", ".csv", ".json") == here / "folder.json" / "new.csv"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("file.json", "file.json is there already. Remove it, or name another file."),
        ("link.json", "link.json is there already. Remove it, or name another file."),
        ("folder.json", "folder.json is a folder. Name a file in it."),
        ("", " is a folder. Name a file in it."),
        ("new.JSON", "new.JSON does not end with .json or .csv. Name it so."),
        (".json", ".json does not end with .json or .csv. Name it so."),
        ("file.json/a.csv", "file.json/a.csv: {here}/file.json is a file, not a folder."),
        ("file.json/b/a.csv", "file.json/b/a.csv: {here}/file.json is a file, not a folder."),
        ("link.json/a.csv", "link.json/a.csv: there is no folder {here}/link.json."),
        ("a b/c/a.csv", "a b/c/a.csv: there is no folder {here}/a b/c. Make it: mkdir -p '{here}/a b/c'"),
        ("a" * 999 + ".csv", ".csv cannot be looked at: File name too long. Name another file."),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_made(here: Path, given: str, words: str) -> None:
    before = sorted(here.rglob("*"))
    with pytest.raises(InputError) as caught:
        new_file(given, "--table", ".json", ".csv")
    assert str(caught.value).startswith("--table: ")
    assert words.format(here=here) in str(caught.value)
    assert sorted(here.rglob("*")) == before


def test_a_folder_without_the_right_to_write_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (Path(path), mode) != (here, os.W_OK))
    with pytest.raises(InputError, match="may not be written to"):
        new_file("new.csv")
