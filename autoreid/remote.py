"""Folders below an address: s3://bucket/prefix, gs://bucket/prefix, file:///path. Free of torch.

pyarrow is loaded when an object store is first used, and nowhere else in the engine. What its output streams
do when a write breaks off is in docs/decisions/0007-remote-storage.md.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from autoreid.errors import AutoreidError, InputError, Problems, StorageError, unknown
from autoreid.folders import File, Folder, chunks, is_part, open_folder
from autoreid.remote_reading import PART_BYTES, READS, read_whole

OPTIONS = {
    "s3": ("endpoint_override", "region", "scheme"),
    "gs": ("endpoint_override", "scheme"),
    "file": (),
}
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile of AWS",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or 'gcloud auth application-default login'",
}
# An endpoint that takes a connection and never answers costs ATTEMPTS * ANSWER_SECONDS and some pauses.
CONNECT_SECONDS, ANSWER_SECONDS, ATTEMPTS = 5, 15, 3
NO_BUCKET = re.compile("NO_SUCH_BUCKET|Bucket '[^']*' not found")
DENIED = re.compile("ACCESS_DENIED|PERMISSION_DENIED")
UNKNOWN_USER = re.compile("ACCESS_KEY|SIGNATURE|TOKEN|UNAUTHENTICATED|credential", re.I)
# Streams whose writing failed: closing or collecting one would publish the bytes that it has so far.
_BROKEN: list[Any] = []


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket and how to reach it. Credentials are the environment's, so that none is written anywhere."""

    scheme: str
    bucket: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}"


@dataclass(frozen=True, slots=True)
class Client:
    """pyarrow's file systems of a store: one that puts a file in one request, one that puts it in parts."""

    whole: Any
    parts: Any


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of an object store. Pickled, it is its address: each process connects by itself, when needed.

    Reading raises FileNotFoundError for what is absent, and StorageError for a network that fails or a right
    that is missing; all else that fails is a StorageError too. A bucket that does not exist is an InputError.
    """

    store: Store
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.store}/{self.prefix}".rstrip("/")

    @property
    def address(self) -> str:
        """What `open_folder` opens as this folder, elsewhere too."""
        options = urlencode(self.store.options)
        return f"{self.store}/{quote(self.prefix)}" + (f"?{options}" if options else "")

    def _path(self, name: str) -> str:
        return "/".join(part for part in (self.store.bucket, self.prefix, name.rstrip("/")) if part)

    def read(self, name: str) -> bytes:
        client = _connect(self.store)
        with _named(self.store, f"{self}/{name}", "read"):
            data = read_whole(client.whole, self._path(name))
        if data is not None:
            return data
        raise StorageError(f"{self}/{name}: changed {READS} times while it was read. Try again.")

    def write(self, name: str, data: bytes | BinaryIO) -> None:
        client = _connect(self.store)
        size = len(data) if isinstance(data, bytes) else os.fstat(data.fileno()).st_size
        system = client.whole if size < PART_BYTES else client.parts
        # In a thread of its own, where no signal's exception can come between opening and closing.
        with _named(self.store, f"{self}/{name}", "written"), ThreadPoolExecutor(1) as thread:
            thread.submit(_put, system, self._path(name), data).result()

    def remove(self, name: str) -> None:
        client = _connect(self.store)
        with _named(self.store, f"{self}/{name}", "removed"), contextlib.suppress(FileNotFoundError):
            client.whole.delete_file(self._path(name))

    def sizes(self, prefix: str = "") -> dict[str, int]:
        found = self.files(prefix.rpartition("/")[0]).items()
        return {name: file.bytes for name, file in found if name.startswith(prefix) and not is_part(name)}

    def files(self, below: str = "") -> dict[str, File]:
        start, listed = len(self._path("")) + 1, self._listed(below, recursive=True)
        found = {info.path[start:]: File(info.size, info.mtime_ns / 1e9) for info in listed if info.is_file}
        return dict(sorted(found.items()))

    def children(self, prefix: str = "") -> list[str]:
        start = len(self._path(prefix)) + 1
        # Of gs, pyarrow lists folders by their files only.
        listed = self._listed(prefix, recursive=self.store.scheme == "gs")
        names = {info.path[start:].partition("/")[0] for info in listed}
        return sorted(name for name in names if not is_part(name))

    def _listed(self, name: str, recursive: bool) -> list[Any]:
        from pyarrow.fs import FileSelector  # deferred: slow to load

        client = _connect(self.store)
        selector = FileSelector(self._path(name), allow_not_found=True, recursive=recursive)
        with _named(self.store, f"{self}/{name}".rstrip("/"), "listed"):
            listed: list[Any] = client.whole.get_file_info(selector)
        return listed

    def child(self, name: str) -> RemoteFolder:
        return RemoteFolder(self.store, f"{self.prefix}/{name}".strip("/"))


@contextlib.contextmanager
def _named(store: Store, place: str, done: str) -> Iterator[None]:
    """Errors of pyarrow as errors that name the place and the remedy."""
    from pyarrow import ArrowException  # deferred: slow to load

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{place}: no such file") from None
    except (OSError, ArrowException) as error:
        raise _unreachable(store, place, done, error) from error


def _unreachable(store: Store, place: str, done: str, error: Exception) -> AutoreidError:
    text = " ".join(str(error).split())
    reason = text[max(text.find("AWS Error"), 0) :].partition(" error_info=")[0].rstrip(".: ")
    if NO_BUCKET.search(reason):
        return _no_bucket(store)
    if DENIED.search(reason) or UNKNOWN_USER.search(reason):
        remedy = f"Check {CREDENTIALS[store.scheme]}, and their rights on the bucket."
    else:
        remedy = "Check the network and the endpoint, then run the same command again."
    return StorageError(f"{place}: cannot be {done}: {reason}. {remedy}")


def _no_bucket(store: Store) -> InputError:
    return InputError(f"{store}: no such bucket at this endpoint. Create it, or correct the address.")


def _put(system: Any, path: str, data: bytes | BinaryIO) -> None:
    stream = system.open_output_stream(path, compression=None)
    try:
        for chunk in chunks(data):
            stream.write(chunk)
    except BaseException:
        _BROKEN.append(stream)
        raise
    stream.close()


@functools.cache
def _connect(store: Store) -> Client:
    try:
        with _named(store, str(store), "reached"):
            client = {"s3": _s3, "gs": _gs}[store.scheme](store, dict(store.options))
            if _bucket_is_there(store, client):
                return client
    except ImportError:
        raise InputError(f"{store}: object stores need pyarrow. Run 'pip install pyarrow'.") from None
    raise _no_bucket(store)


def _bucket_is_there(store: Store, client: Client) -> bool:
    try:
        return bool(client.whole.get_file_info(store.bucket).type.name != "NotFound")
    except OSError as error:
        if DENIED.search(str(error)):
            return True  # rights may begin at a prefix
        raise


def _s3(store: Store, options: Mapping[str, str]) -> Client:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    known = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    endpoint = options.get("endpoint_override") or next(filter(None, map(os.environ.get, known)), None)
    region = options.get("region")
    if region is None and endpoint is None:
        region = resolve_s3_region(store.bucket)
    given = {
        "endpoint_override": endpoint,
        "region": region
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or "us-east-1",
        "scheme": options.get("scheme"),
        "connect_timeout": CONNECT_SECONDS,
        "request_timeout": ANSWER_SECONDS,
        "retry_strategy": AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    }
    # Parts go in the background, so that it is closing that finds a broken one, and then publishes nothing.
    return Client(
        whole=S3FileSystem(allow_delayed_open=True, **given),
        parts=S3FileSystem(allow_delayed_open=False, background_writes=True, **given),
    )


def _gs(store: Store, options: Mapping[str, str]) -> Client:
    from pyarrow.fs import GcsFileSystem

    system = GcsFileSystem(retry_time_limit=timedelta(seconds=ANSWER_SECONDS), **options)
    return Client(whole=system, parts=system)


def open_remote(address: str) -> Folder:
    """The folder at an address; InputError for one that names no place. Nothing is contacted yet.

    >>> str(open_remote("s3://results/reid/?endpoint_override=127.0.0.1:9000&scheme=http"))
    's3://results/reid'
    >>> str(open_remote("file:///data/results"))
    '/data/results'
    """
    parts = urlsplit(address, allow_fragments=False)
    scheme = "gs" if parts.scheme == "gcs" else parts.scheme
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if scheme not in OPTIONS:
        raise InputError(f"{shown}: {unknown('kind of address', parts.scheme, OPTIONS)}")
    names = [unquote(name) for name in parts.path.split("/") if name]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    problems = Problems()
    if "@" in parts.netloc and scheme in CREDENTIALS:
        problems.add(shown, f"credentials in it would end up in logs. Set {CREDENTIALS[scheme]}.")
    for name in sorted(options.keys() - set(OPTIONS[scheme])):
        problems.add(shown, unknown("option", name, OPTIONS[scheme]))
    if options.get("scheme", "https") not in ("http", "https"):
        problems.add(shown, f"scheme={options['scheme']}: neither http nor https.")
    if {".", ".."} & set(names):
        problems.add(shown, "'.' and '..' have no meaning in an address. Write the place out.")
    if scheme == "file" and parts.netloc not in ("", "localhost"):
        problems.add(shown, "file addresses have three slashes, such as file:///data/results.")
    elif scheme != "file" and not re.fullmatch(r"[\w.-]+", parts.netloc.rpartition("@")[2]):
        problems.add(shown, f"no bucket in it. Write {scheme}://BUCKET/PREFIX.")
    problems.raise_if_any()
    if scheme == "file":
        return open_folder("/" + "/".join(names))
    return RemoteFolder(Store(scheme, parts.netloc, tuple(sorted(options.items()))), "/".join(names))
