"""Ray clusters of several nodes on the loopback interface, one process tree each, for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from tune_runs.processes import descendants

ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
# As `ray.cluster_utils` starts nodes, but each in a process of its own: `ray start` adds none on loopback.
NODE = """\
import os, signal, sys
from ray._private.node import Node
from ray._private.parameter import RayParams
common = dict(node_ip_address="127.0.0.1", num_cpus=int(os.environ.get("CPUS", 1)), num_gpus=0)
common |= dict(object_store_memory=100_000_000)
common |= dict(min_worker_port=0, max_worker_port=0, include_log_monitor=False)
if sys.argv[1] == "head":
    common |= dict(include_dashboard=False, temp_dir=sys.argv[2])
    node = Node(RayParams(**common), head=True, shutdown_at_exit=False, spawn_reaper=True)
else:
    common |= dict(gcs_address=sys.argv[1], redis_address=sys.argv[1])
    node = Node(RayParams(**common), head=False, shutdown_at_exit=False, spawn_reaper=True)
print("address", node.gcs_address, flush=True)
signal.alarm(900)  # whatever becomes of the test
signal.pause()
"""


@dataclass
class Standing:
    """A cluster by its address, and the processes of its nodes: one CPU each, or as many as CPUS says."""

    address: str = ""
    nodes: list[subprocess.Popen[str]] = field(default_factory=list)

    def add(self, *arguments: str, **environment: str) -> None:
        """One more node; it has started when this returns."""
        node = subprocess.Popen(
            [sys.executable, "-c", NODE, *arguments],
            env={**os.environ, **ENVIRONMENT, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.nodes.append(node)
        assert node.stdout is not None
        self.address = next(line.split()[1] for line in node.stdout if line.startswith("address"))

    def below(self, place: int) -> list[int]:
        """The numbers of a node's processes."""
        return descendants(self.nodes[place].pid)

    def processes(self) -> list[int]:
        """The numbers of all processes of all nodes."""
        return [number for place, node in enumerate(self.nodes) for number in [node.pid, *self.below(place)]]

    def freeze(self, place: int) -> None:
        """Stop a node and all of its processes where they are: nothing says that it is gone."""
        for number in [self.nodes[place].pid, *self.below(place)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGSTOP)

    def thaw(self, place: int) -> None:
        """Let a node and its processes go on."""
        for number in [self.nodes[place].pid, *self.below(place)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGCONT)

    def end(self, place: int) -> None:
        """Kill a node with all of its processes, unless that was done before."""
        node = self.nodes[place]
        numbers = [] if node.poll() is not None else [node.pid, *self.below(place)]
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        node.wait()
        if node.stdout is not None:
            node.stdout.close()


@contextlib.contextmanager
def standing(*others: dict[str, str], **environment: str) -> Iterator[Standing]:
    """A cluster of a head and so many others, whose environments are given; `environment` is the head's."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: it is part of the names of sockets
    cluster = Standing()
    try:
        cluster.add("head", folder, **environment)
        for environment in others:
            cluster.add(cluster.address, **environment)
        yield cluster
    finally:
        for place in reversed(range(len(cluster.nodes))):
            cluster.end(place)
        shutil.rmtree(folder, ignore_errors=True)
