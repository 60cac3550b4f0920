"""Finding a standing Ray cluster before anything is run on it. Free of Ray, which another process loads.

That process is given a time: of itself Ray waits two minutes where something else listens at an address.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from autoreid.errors import InputError
from autoreid.storage import Storage
from tune_runs.resources import Cluster, Machine, Node

# Read by Ray when it is imported or started: they silence it. None changes a result.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
# Every port on 127.0.0.1, also of what joins a cluster that was started so.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

CONNECT_SECONDS = 5.0
SURVEY_SECONDS = 60.0
SURVEY = "from tune_runs.cluster import main; main()"
REMEDY = "Give the address that 'ray start --head' printed, on a machine that belongs to the cluster."


def environment(address: str | None) -> dict[str, str]:
    """Variables for Ray: of this machine alone, or of the cluster at an address."""
    return ENVIRONMENT | (LOOPBACK if address is None or _on_loopback(address) else {})


def _on_loopback(place: str) -> bool:
    """Whether a cluster's address is one of this machine alone.

    >>> _on_loopback("127.0.0.1:6379"), _on_loopback("10.0.0.5:6379")
    (True, False)
    """
    host = place.rpartition(":")[0]
    return host == "localhost" or host.startswith("127.")


def find_cluster(
    address: str, storage: Storage, folders: Sequence[str], write: Callable[[str], None]
) -> Cluster:
    """The cluster at HOST:PORT, or this machine's for `auto`, after a look around on each of its nodes.

    Nodes that import other code, do not see the storage, or lack one of the `folders` of data are refused,
    and named by `write`. InputError where there is no such cluster, where no node is left, or where none but
    this machine sees the storage.
    """
    place = _place(address)
    _check_port(address, place)
    write(f"looking at the nodes of {place}")
    with _marker(storage) as marker:
        request = {"address": place, "storage": storage.folder.address, "marker": marker}
        found = _survey(address, place, json.dumps(request | {"folders": [*folders]}))
    cluster = _cluster(place, found, storage)
    for key, reason in cluster.refused.items():
        write(f"{cluster.nodes[key].name} is left out: {reason}")
    return cluster


def _place(address: str) -> str:
    """HOST:PORT of an address; InputError where it is none, or where there is no cluster for `auto`."""
    place = address
    if address == "auto":
        place = os.environ.get("RAY_ADDRESS", "")
        with contextlib.suppress(OSError):  # what 'ray start' leaves behind
            folder = os.environ.get("RAY_TMPDIR", "/tmp")
            place = place or Path(folder, "ray", "ray_current_cluster").read_text().strip()
        if not place:
            raise InputError(f"--address auto: no Ray cluster was started on this machine. {REMEDY}")
    host, _, port = place.rpartition(":")
    if "/" in place or not host or not (port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(f"--address {address}: {place!r} is not HOST:PORT or auto. {REMEDY}")
    return place


def _check_port(address: str, place: str) -> None:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(f"--address {address}: nobody answers at {place} ({error}). {REMEDY}") from error


@contextlib.contextmanager
def _marker(storage: Storage) -> Iterator[str]:
    """A file in the storage by which nodes are told to see it."""
    name = f"nodes-{uuid.uuid4().hex}.txt"
    storage.folder.write(name, b"Written by a launch that looks at the nodes of a cluster; may be removed.\n")
    try:
        yield name
    finally:
        storage.folder.remove(name)


def _survey(address: str, place: str, request: str) -> list[dict[str, Any]]:
    """What `tune_runs.cluster` says of every node, asked in a process of its own."""
    # An empty working folder: Ray puts it on the workers' module path, before what is installed.
    with tempfile.TemporaryDirectory(prefix="autoreid-") as empty:
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", SURVEY],
                input=request,
                capture_output=True,
                text=True,
                cwd=empty,
                env=os.environ | environment(place),
                timeout=SURVEY_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            seconds = f"{SURVEY_SECONDS:.0f} seconds"
            said = f"no Ray cluster answered at {place} within {seconds}"
            raise InputError(f"--address {address}: {said}. {REMEDY}") from error
    lines = done.stdout.splitlines()
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {"error": _last_line(done.stderr)}
    if "error" in answer:
        raise InputError(f"--address {address}: {answer['error']}")
    return list(answer["nodes"])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "the process that looked at the cluster ended without a word"


def _cluster(place: str, found: list[dict[str, Any]], storage: Storage) -> Cluster:
    """The cluster from what was seen on its nodes; InputError where it cannot be used."""
    hosts = [str(node["host"]) for node in found]
    nodes, refused = {}, {}
    for node in found:
        key, host = str(node["id"]), str(node["host"])
        name = host if hosts.count(host) == 1 else f"{host} ({key[:8]})"
        nodes[key] = Node(name, host, Machine(int(node["cpus"]), int(node["gpus"])))
        if problem := node["problem"] or (None if node["sees"] else _unseen(storage)):
            refused[key] = str(problem)
    cluster = Cluster(place, nodes, refused)
    _check_shared(found, storage)
    if not cluster.usable:
        lines = [f"{nodes[key].name} can run no job: {reason}" for key, reason in refused.items()]
        raise InputError(*(lines or [f"{place}: the cluster has no nodes."]))
    return cluster


def _unseen(storage: Storage) -> str:
    return f"it does not see the storage {storage.folder}: a file that was just written is not there"


def _check_shared(found: list[dict[str, Any]], storage: Storage) -> None:
    """InputError where the storage is a folder of this machine alone and there are others."""
    others = [node for node in found if node["host"] != platform.node() and not node["problem"]]
    if others and not any(node["sees"] for node in others):
        raise InputError(
            f"{storage.folder}: {len(others)} nodes of the cluster do not see this storage, among them "
            f"{others[0]['host']}. Give a folder that all of them share, or an address such as "
            "s3://bucket/prefix."
        )
