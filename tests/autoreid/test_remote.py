"""Object stores: writes that break off, readings of what is being replaced, stores that do not answer."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from local_s3 import BUCKET, Proxy, address

from autoreid import remote, remote_reading
from autoreid.errors import InputError, StorageError
from autoreid.folders import Folder, open_folder
from autoreid.remote import PART_BYTES

SMALL, LARGE = b"new" * 1000, b"n" * (5 * PART_BYTES // 4)
# Where a connection is cut: requests of this kind, after so many bytes. Headers are about 1,000 of them.
CUTS = [
    pytest.param(SMALL, ("PUT", 200), id="headers"),
    pytest.param(SMALL, ("PUT", 2500), id="body"),
    pytest.param(LARGE, ("POST .*uploads", 200), id="before the parts"),
    pytest.param(LARGE, ("PUT .*partNumber=1", PART_BYTES // 2), id="first part"),
    pytest.param(2 * LARGE, ("PUT .*partNumber=2", PART_BYTES // 2), id="second part"),
    pytest.param(LARGE, ("PUT .*partNumber=2", PART_BYTES // 5), id="last part"),
    pytest.param(LARGE, ("POST .*uploadId", 1000), id="completion"),
]


@pytest.fixture
def there(s3_port: int, tmp_path: Path) -> Folder:
    """A folder with one file, by a way that nothing disturbs."""
    folder = open_folder(address(s3_port, tmp_path.name))
    folder.write("a", b"old")
    return folder


@pytest.fixture
def attempts() -> int:
    return 1


@pytest.fixture
def disturbed(
    there: Folder, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> Folder:
    """The same folder through the proxy; what fails is tried again `attempts` - 1 times."""
    monkeypatch.setattr(remote, "ATTEMPTS", attempts)
    folder = open_folder(address(proxy.port, tmp_path.name))
    folder.sizes()
    proxy.requests.clear()
    return folder


@pytest.mark.parametrize(("data", "cut"), CUTS)
@pytest.mark.parametrize("attempts", [1, pytest.param(remote.ATTEMPTS, marks=pytest.mark.slow)])
def test_a_write_that_breaks_off_keeps_the_old_bytes(
    there: Folder,
    disturbed: Folder,
    proxy: Proxy,
    attempts: int,
    data: bytes,
    cut: tuple[str, int],
) -> None:
    proxy.cut = cut
    with pytest.raises(StorageError, match=r"/a: cannot be written: .*NETWORK_CONNECTION"):
        disturbed.write("a", data)
    proxy.restore()
    assert there.read("a") == b"old"
    assert there.sizes() == {"a": 3}
    disturbed.write("a", data)
    assert there.read("a") == data


WRITER = """
import signal
import sys
from autoreid import remote, remote_reading
from autoreid.folders import open_folder


class Breaking:
    def __init__(self, system):
        self.system = system

    def open_output_stream(self, path, compression):
        self.stream = self.system.open_output_stream(path, compression=compression)
        return self

    def write(self, data):
        self.stream.write(data[: 2 * remote.PART_BYTES])
        raise MemoryError


signal.signal(signal.SIGINT, signal.default_int_handler)
folder, size = open_folder(sys.argv[1]), int(sys.argv[2])
if sys.argv[3:] == ["breaks"]:
    parts = remote._connect(folder.store).parts
    remote._put(Breaking(parts), folder._path("a"), bytes(size))
else:
    folder.write("a", bytes(size))
"""


def writer(where: str, size: int, *how: str) -> subprocess.Popen[str]:
    """A process that writes so many zeros to the file `a`."""
    command = [sys.executable, "-c", WRITER, where, str(size), *how]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("size", "line"), [(3000, "PUT"), (PART_BYTES + 1, "POST .*uploads"), (PART_BYTES + 1, "PUT")]
)
def test_a_write_that_a_signal_interrupts_is_whole_or_not_at_all(
    there: Folder, proxy: Proxy, tmp_path: Path, size: int, line: str
) -> None:
    begun, interrupted = threading.Event(), threading.Event()

    def strike(request: str) -> None:
        if re.match(line, request):
            begun.set()
            interrupted.wait(60)

    proxy.before = strike
    with writer(address(proxy.port, tmp_path.name), size) as process:
        assert begun.wait(60)
        process.send_signal(signal.SIGINT)
        interrupted.set()
        assert "KeyboardInterrupt" in process.communicate()[1]
    assert there.read("a") == bytes(size)


def test_a_stream_that_broke_publishes_nothing_when_its_process_ends(
    there: Folder, s3_port: int, tmp_path: Path
) -> None:
    with writer(address(s3_port, tmp_path.name), 3 * PART_BYTES, "breaks") as done:
        error = done.communicate()[1]
    assert "MemoryError" in error
    assert there.read("a") == b"old"


def test_a_process_killed_in_the_middle_of_a_write_keeps_the_old_bytes(
    there: Folder, proxy: Proxy, tmp_path: Path
) -> None:
    middle, dead = threading.Event(), threading.Event()

    def wait(request: str) -> None:
        if "partNumber=2" in request:
            middle.set()
            dead.wait(60)

    proxy.before = wait
    with writer(address(proxy.port, tmp_path.name), 3 * PART_BYTES) as process:
        assert middle.wait(60)
        process.kill()
    dead.set()
    assert there.read("a") == b"old"
    assert there.sizes() == {"a": 3}


@pytest.mark.parametrize("other", [b"x", b"longer" * 5000, b"l" * PART_BYTES])
def test_what_is_replaced_while_it_is_read_is_read_again(
    there: Folder, disturbed: Folder, proxy: Proxy, other: bytes
) -> None:
    def replace(request: str) -> None:
        if request.startswith("GET"):
            proxy.before = None
            there.write("a", other)

    proxy.before = replace
    assert disturbed.read("a") == other
    assert [line.split()[0] for line in proxy.requests] == ["HEAD", "GET"] * 2


def test_what_is_removed_while_it_is_read_is_not_found(
    there: Folder, disturbed: Folder, proxy: Proxy
) -> None:
    proxy.before = lambda request: there.remove("a") if request.startswith("GET") else None
    with pytest.raises(FileNotFoundError, match="/a: no such file"):
        disturbed.read("a")


def test_what_changes_with_every_reading_is_an_error(there: Folder, disturbed: Folder, proxy: Proxy) -> None:
    count = iter(range(100))

    def replace(request: str) -> None:
        if request.startswith("GET"):
            number = next(count)
            there.write("a", bytes([number]) * (10 + number))

    proxy.before = replace
    with pytest.raises(StorageError, match="changed 20 times"):
        disturbed.read("a")


USES: dict[str, Callable[[Folder], Any]] = {
    "read": lambda folder: folder.read("a"),
    "written": lambda folder: folder.write("a", SMALL),
    "removed": lambda folder: folder.remove("a"),
    "listed": lambda folder: (folder.sizes(), folder.children()),
}


@pytest.mark.parametrize("done", USES)
def test_a_network_that_is_away_is_named_and_may_come_back(
    there: Folder, disturbed: Folder, proxy: Proxy, done: str
) -> None:
    proxy.refuse()
    with pytest.raises(StorageError) as caught:
        USES[done](disturbed)
    words = str(caught.value)
    assert words.startswith(str(disturbed)) and f"cannot be {done}: AWS Error NETWORK_CONNECTION" in words
    assert words.endswith("Check the network and the endpoint, then run the same command again.")
    assert there.read("a") == b"old"
    proxy.restore()
    USES[done](disturbed)


@pytest.mark.parametrize("attempts", [remote.ATTEMPTS])
def test_a_short_absence_is_not_noticed(disturbed: Folder, proxy: Proxy) -> None:
    def cut_once(request: str) -> None:
        proxy.cut, proxy.before = ("HEAD", 100), lambda _: setattr(proxy, "cut", None)

    proxy.before = cut_once
    assert disturbed.read("a") == b"old"
    assert len(proxy.requests) == 3


def test_an_endpoint_that_refuses_is_named(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(StorageError, match=rf"s3://{BUCKET}: cannot be reached: .*Check the network"):
        open_folder(address(port, "x")).read("a")


@pytest.mark.slow
def test_an_endpoint_that_never_answers_is_given_up(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        folder = open_folder(address(server.getsockname()[1], "x"))
        with pytest.raises(StorageError, match=r"cannot be reached: .*Timeout was reached"):
            folder.read("a")


@pytest.mark.parametrize("done", ["read", "written", "removed"])  # the server lets anybody list
def test_missing_rights_are_not_taken_for_absence(
    there: Folder, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = open_folder(address(proxy.port, tmp_path.name))
    with pytest.raises(StorageError, match=r"ACCESS_DENIED.* Check AWS_ACCESS_KEY_ID and AWS_SECRET"):
        USES[done](folder)


def test_a_bucket_that_is_not_there_is_a_mistake_in_the_address(s3_port: int) -> None:
    folder = open_folder(address(s3_port, "x").replace(BUCKET, "resutls"))
    for use in USES.values():
        with pytest.raises(InputError, match=r"s3://resutls: no such bucket at this endpoint\. Create it"):
            use(folder)


def test_a_bucket_that_goes_away_is_named(s3_port: int) -> None:
    folder = open_folder(address(s3_port, "x").replace(BUCKET, "short-lived"))
    bucket = f"http://127.0.0.1:{s3_port}/short-lived"
    urlopen(Request(bucket, method="PUT")).close()
    assert folder.sizes() == {}
    urlopen(Request(bucket, method="DELETE")).close()
    with pytest.raises(InputError, match="s3://short-lived: no such bucket"):
        folder.write("a", SMALL)


@pytest.mark.parametrize("size", [100, PART_BYTES + 1])
def test_what_has_another_digest_is_read_twice(
    there: Folder, disturbed: Folder, proxy: Proxy, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted files, and those that other programs put in parts of another size."""
    there.write("a", b"1" * size)
    monkeypatch.setattr(remote_reading, "_fits", lambda data, tag: False)
    assert disturbed.read("a") == b"1" * size
    assert [line.split()[0] for line in proxy.requests] == ["HEAD", "GET"] * 2
