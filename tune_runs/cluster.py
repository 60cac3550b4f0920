"""On a standing Ray cluster: what its nodes are like, signals to workers on them, and when none is left."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray.tune import PlacementGroupFactory, Stopper

from autoreid.errors import AutoreidError, InputError
from autoreid.leases import Lease, birth
from autoreid.storage import Storage
from tune_runs.dispatch import Dispatch
from tune_runs.packages import Packages, difference, imported_packages
from tune_runs.resources import Allotment, Machine

# How long all nodes together have for their answers.
ANSWER_SECONDS = 40.0
LOOK_SECONDS = 3.0
# How long trials are waited for that were to be placed when the last node went.
PATIENCE_SECONDS = 20.0
QUIET = 50  # logging.CRITICAL


def main() -> None:
    """Answer one request on stdin by one line on stdout: what is to be known of every node, or an error."""
    asked = json.loads(sys.stdin.read())
    try:
        knock(asked["address"])
        ray.init(address=asked["address"], log_to_driver=False, logging_level=QUIET)
        answer: dict[str, Any] = {"nodes": _all_nodes(asked["storage"], asked["marker"], asked["folders"])}
    except Exception as error:  # whatever Ray raises where it cannot join
        answer = {"error": in_words(error)}
    print(json.dumps(answer), flush=True)


def knock(address: str) -> None:
    """Raise AuthenticationError where a cluster refuses the token of this process, or wants one.

    `ray.init` asks again and again for 20 seconds, and then does not say why it failed.
    """
    with contextlib.suppress(ImportError, ray.exceptions.RpcError):
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # what `ray status` asks by

        GcsClient(address=address)


def in_words(error: Exception) -> str:
    """Why a cluster cannot be joined.

    >>> in_words(RuntimeError("Version mismatch: The cluster was started with:\\n    Ray: 2.59.0"))
    'Version mismatch: The cluster was started with: Ray: 2.59.0. Use the same Ray and Python in both places.'
    """
    if isinstance(error, ray.exceptions.AuthenticationError):
        return (
            "the cluster does not take the token of this process, or there is none. Set RAY_AUTH_MODE=token, "
            "and RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN as on its head node."
        )
    words = " ".join(str(error).split()) or type(error).__name__
    if "ersion mismatch" in words:
        return f"{words}. Use the same Ray and Python in both places."
    return words


def _all_nodes(storage: str, marker: str, folders: list[str]) -> list[dict[str, Any]]:
    """What every living node has, and what was seen there."""
    mine, asked = asdict(imported_packages()), {}
    for node in ray.nodes():
        if node["Alive"]:
            there = _look.options(label_selector={"ray.io/node-id": node["NodeID"]})
            asked[there.remote(mine, storage, marker, folders)] = node
    ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
    return [{**_plain(node), **_answer(reference)} for reference, node in asked.items()]


def _plain(node: Mapping[str, Any]) -> dict[str, Any]:
    machine = machine_of(node)
    host = node["NodeManagerHostname"]
    return {"id": node["NodeID"], "host": host, "cpus": machine.cpus, "gpus": machine.gpus}


def machine_of(node: Mapping[str, Any]) -> Machine:
    """What Ray says that a node has."""
    has = node["Resources"]
    return Machine(int(has.get("CPU", 0)), int(has.get("GPU", 0)))


def _answer(reference: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = ray.get(reference, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return {"problem": f"it did not answer within {ANSWER_SECONDS:.0f} seconds", "sees": False}
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        last = str(cause).strip().splitlines()[-1]
        return {"problem": f"it cannot run the code of the launch: {last}", "sees": False}
    return answer


@ray.remote(num_cpus=0, max_retries=0)
def _look(packages: dict[str, str], storage: str, marker: str, folders: list[str]) -> dict[str, Any]:
    """Run on a node: whether it imports the launch's code, has its data, and sees a file of its storage."""
    problem = difference(Packages(**packages))
    missing = [folder for folder in folders if not Path(folder).exists()]
    if problem is None and missing:
        problem = f"it does not have the data, {', '.join(missing)}"
    sees = True
    try:
        Storage(storage).folder.read(marker)
    except (FileNotFoundError, NotADirectoryError):
        sees = False
    except (OSError, AutoreidError) as error:
        sees, problem = False, problem or str(error)
    return {"problem": problem, "sees": sees}


def join(address: str) -> None:
    """Connect with the cluster; InputError where that cannot be done."""
    try:
        ray.init(address=address, log_to_driver=False, logging_level=QUIET)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"--address {address}: {in_words(error)}") from error


def request(
    cpus: int, gpus: float, config: Mapping[str, Any], *, node_cpus: int = 0
) -> PlacementGroupFactory:
    """What a trial asks of Ray: its share, by the name of the trial, away from nodes left out.

    One that runs alone asks for all `node_cpus` of a node, and for a whole GPU where it gets any of one.
    """
    without = ",".join(config.get("without", ()))
    where = [{"ray.io/node-id": f"!in({without})"}] if without else None
    bundle: dict[str, float] = {"CPU": cpus, "GPU": gpus}
    if config.get("alone"):
        bundle = {"CPU": max(cpus, node_cpus), "GPU": math.ceil(gpus)}
    return PlacementGroupFactory([bundle], name=config.get("name", ""), bundle_label_selector=where)


def node_of(name: str) -> str | None:
    """The node that the request of this name was given, also when it is over; None where there is none."""
    for group in ray.util.placement_group_table().values():
        if name and group["name"] == name:
            node: str | None = group["bundles_to_node_id"].get(0)
            return node or None
    return None


class Signals:
    """Asks processes on any node to stop: a task of no CPUs there sends SIGUSR1 to the holders of leases."""

    def __init__(self) -> None:
        self._under_way: dict[str, Any] = {}

    def __call__(self, leases: Iterable[Lease]) -> None:
        hosts: dict[str, list[dict[str, Any]]] = {}
        for lease in leases:
            hosts.setdefault(lease.host, []).append(asdict(lease))
        nodes = {node["NodeManagerHostname"]: node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for host in hosts.keys() & nodes.keys():
            before = self._under_way.get(host)
            # The first one waits for its process to start, and asks as well as another would.
            if before is None or ray.wait([before], timeout=0)[0]:
                there = {"ray.io/node-id": nodes[host]}
                self._under_way[host] = _ask.options(label_selector=there).remote(hosts[host])


@ray.remote(num_cpus=0, max_retries=0)
def _ask(leases: list[dict[str, Any]]) -> None:
    """Run on a node: send SIGUSR1 to the processes of leases."""
    for plain in leases:
        lease = Lease.from_plain(plain)
        if lease.is_local and birth(lease.pid) == lease.born:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(lease.pid, signal.SIGUSR1)


class Lookout(Stopper):
    """Looks every few seconds which nodes there are, and tells the dispatch how many trials fit on those that
    may be used; ends the Tune run when none has been left for a while."""

    def __init__(self, dispatch: Dispatch, allotment: Allotment) -> None:
        self.dispatch, self.allotment = dispatch, allotment
        self._next = 0.0
        self._since: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOOK_SECONDS
            self._look()
        if not self.dispatch.nodes.none_left:
            self._since = None
            return False
        self.dispatch.progress.none_left()
        self._since = now if self._since is None else self._since
        return now - self._since > PATIENCE_SECONDS

    def _look(self) -> None:
        has = {node["NodeID"]: machine_of(node) for node in ray.nodes() if node["Alive"]}
        nodes = self.dispatch.nodes
        nodes.seen(key for key, machine in has.items() if self.allotment.slots_of([machine]))
        self.dispatch.slots = self.allotment.slots_of(has[key] for key in nodes.usable)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes its stopper to a file, which nobody reads."""
        return {}
