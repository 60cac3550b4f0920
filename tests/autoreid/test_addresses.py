"""Addresses of storages: what is accepted, what is refused, what is loaded and contacted when."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from local_s3 import BUCKET, address

from autoreid.errors import InputError
from autoreid.folders import LocalFolder, open_folder


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ("ftp://host/x", ["ftp://host/x: no kind of address 'ftp'. Known: file, gs, s3."]),
        ("s4://b/x", ["s4://b/x: no kind of address 's4'. Did you mean 's3'? Known: file, gs, s3."]),
        ("s3://", ["s3://: no bucket in it. Write s3://BUCKET/PREFIX."]),
        ("gs:///x", ["gs:///x: no bucket in it. Write gs://BUCKET/PREFIX."]),
        ("s3://b/../x", ["s3://b/../x: '.' and '..' have no meaning in an address. Write the place out."]),
        ("file://x/y", ["file://x/y: file addresses have three slashes, such as file:///data/results."]),
        (
            "s3://id:a-secret@b/x?scheme=ftp&token=a-secret&regoin=a",
            [
                "s3://b/x: credentials in it would end up in logs. Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or a profile of AWS.",
                "s3://b/x: no option 'regoin'. Did you mean 'region'? Known: endpoint_override, region, "
                "scheme.",
                "s3://b/x: no option 'token'. Known: endpoint_override, region, scheme.",
                "s3://b/x: scheme=ftp: neither http nor https.",
            ],
        ),
    ],
)
def test_bad_addresses_are_refused_before_anything_is_contacted(given: str, problems: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        open_folder(given)
    assert list(caught.value.problems) == problems


def test_without_pyarrow_an_address_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.fs", None)
    with pytest.raises(InputError, match=r"s3://no-pyarrow: object stores need pyarrow\. Run 'pip install"):
        open_folder("s3://no-pyarrow/x").read("a")


def test_nothing_is_contacted_and_pyarrow_is_not_loaded_before_a_folder_is_used() -> None:
    code = (
        "import pickle, sys; from autoreid.folders import open_folder; "
        "pickle.dumps(open_folder('s3://bucket/x').child('y')); assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_addresses_of_files_are_folders(tmp_path: Path) -> None:
    folder = open_folder(f"file://{tmp_path}/a%20b/")
    assert isinstance(folder, LocalFolder)
    assert folder.root == tmp_path / "a b"
    assert str(open_folder(folder.address)) == str(folder)


def test_a_prefix_may_be_odd(s3_port: int, tmp_path: Path) -> None:
    odd = address(s3_port, f"{tmp_path.name}/a b%3F#c/")
    open_folder(odd).child("x").write("y", b"1")
    assert str(open_folder(odd)) == f"s3://{BUCKET}/{tmp_path.name}/a b?#c"
    assert list(open_folder(address(s3_port, tmp_path.name)).sizes()) == ["a b?#c/x/y"]
    assert pickle.loads(pickle.dumps(open_folder(odd))) == open_folder(odd)
    assert open_folder(open_folder(odd).address) == open_folder(odd)


def test_the_endpoint_may_come_from_the_environment(
    s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_folder(address(s3_port, tmp_path.name)).write("a", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_port}")
    assert open_folder(f"s3://{BUCKET}/{tmp_path.name}").read("a") == b"1"


def test_a_bucket_without_a_region_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(bucket: str) -> str:
        raise OSError(f"Bucket '{bucket}' not found")

    monkeypatch.setattr("pyarrow.fs.resolve_s3_region", resolve)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="s3://nowhere: no such bucket"):
        open_folder("s3://nowhere/x").sizes()
