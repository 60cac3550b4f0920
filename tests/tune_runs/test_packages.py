import dataclasses
import platform
from pathlib import Path

import pytest

import autoreid
from tune_runs import packages
from tune_runs.packages import PACKAGES, Packages, difference, imported_packages

ROOT = str(Path(autoreid.__file__).parents[1])


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Three small packages, taken for ours."""
    for name in PACKAGES:
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "inner" / "code.py").write_text("x = 1\n")
    monkeypatch.setattr(packages, "_folder", lambda name: tmp_path / name)
    return tmp_path


def test_equal_packages_do_not_differ_and_say_where_they_lie():
    found = imported_packages()
    assert found == imported_packages()
    assert found.place == f"{platform.node()}: {ROOT}"


@pytest.mark.parametrize("name", PACKAGES)
def test_a_changed_byte_a_new_file_and_a_new_name_differ(copied, name):
    before = imported_packages()
    code = copied / name / "inner" / "code.py"
    code.write_text("x = 2\n")
    assert imported_packages().digest != before.digest
    code.write_text("x = 1\n")
    assert imported_packages() == before
    code.rename(code.with_name("other.py"))
    assert imported_packages().digest != before.digest
    code.with_name("other.py").rename(code)
    (copied / name / "more.py").write_text("")
    assert imported_packages().digest != before.digest


def test_compiled_files_and_times_do_not_matter(copied):
    before = imported_packages()
    (copied / "autoreid" / "__pycache__").mkdir()
    (copied / "autoreid" / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"\0")
    (copied / "autoreid" / "inner" / "code.py").touch()
    assert imported_packages() == before


def test_the_version_of_what_offers_spaces_matters(copied, monkeypatch):
    version = {"here": "my-spaces 1.0"}
    monkeypatch.setattr(packages, "_offering", lambda: [f"autoreid.spaces mine {version['here']}"])
    before = imported_packages()
    version["here"] = "my-spaces 1.1"
    assert imported_packages().digest != before.digest


def test_a_difference_names_both_places_and_the_remedy(copied):
    here = imported_packages()
    assert difference(here) is None
    elsewhere = difference(Packages("0" * 64, "node7: /opt/autoreid"))
    assert elsewhere == (
        f"the worker imports other code ({platform.node()}: {copied}) than the launch "
        "(node7: /opt/autoreid). Install the same version in both places and run the same command again."
    )
    edited = difference(dataclasses.replace(here, digest="0" * 64))
    assert edited == (
        f"the code in {platform.node()}: {copied} has changed since the launch began. Run the same command "
        "again."
    )
