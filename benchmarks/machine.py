"""Where a benchmark ran: machine, versions, and what else kept the machine busy. Nothing heavy is loaded."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def processor_name() -> str:
    """The processor's model, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Cores that this process may run on, where the system tells; else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_facts(device: str) -> dict[str, str]:
    """Name, driver and CUDA of the GPU that was measured; empty where none was."""
    if not device.startswith("cuda"):
        return {"gpu": "", "driver": "", "cuda": ""}
    import torch

    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return {
        "gpu": torch.cuda.get_device_name(device),
        "driver": (printed(command).splitlines() or [""])[0],
        "cuda": torch.version.cuda or "",
    }


def printed(command: list[str]) -> str:
    """What a command prints, stripped; "" where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def without_places(arguments: Sequence[str]) -> list[str]:
    """Flags as they were given, but for where rows go and where peers lie: these measure nothing, and name
    folders of a machine.

    >>> without_places(["--short", "--history", "/data/rows", "--peer=/opt/python", "--threads", "2"])
    ['--short', '--threads', '2']
    """
    kept, places = [], ("--history", "--peer", "--peers", "--torchreid")
    left = iter(arguments)
    for one in left:
        if one in places:
            next(left, None)
        elif one.split("=")[0] not in places:
            kept.append(one)
    return kept


def commit() -> str:
    """The commit of this source tree, with `+` where tracked files differ from it; "" without git."""
    found = printed(["git", "rev-parse", "--short=12", "HEAD"])
    changed = found and printed(["git", "status", "--porcelain", "--untracked-files=no"])
    return f"{found}+" if changed else found


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def busy_seconds() -> float | None:
    """Processor seconds that the whole machine has spent since it started; None where it does not tell."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    except (OSError, IndexError):
        return None
    user, nice, system, _, _, interrupts, soft, stolen = map(int, first[:8])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds of this process and of those of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Watch:
    """From its making on: time, load, and the processors that others kept busy."""

    def __init__(self) -> None:
        self.started = datetime.datetime.now(datetime.UTC)
        self.begin, self.busy, self.own = time.perf_counter(), busy_seconds(), own_seconds()
        self.load = os.getloadavg()[0]

    def others(self) -> float | None:
        """How many processors others kept busy, on average; about 0 on a quiet machine."""
        busy, seconds = busy_seconds(), time.perf_counter() - self.begin
        if busy is None or self.busy is None:
            return None
        return max(0.0, busy - self.busy - own_seconds() + self.own) / seconds

    def facts(self, options: argparse.Namespace) -> dict[str, Any]:
        """Columns of every row of a run, besides its measurements. To be asked once, at the end."""
        others, seconds = self.others(), time.perf_counter() - self.begin
        return {
            "time": self.started.isoformat(timespec="seconds"),
            "run_seconds": seconds,
            "rounds": options.rounds,
            "threads": options.threads,
            "short": options.short,
            "device": options.device,
            "processor": processor_name(),
            "cores": usable_cores(),
            **gpu_facts(options.device),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "torch": version_of("torch"),
            "autoreid": version_of("autoreid"),
            "commit": commit(),
            "load_average": self.load,
            "others_busy": others,
            "command": " ".join(without_places(sys.argv[1:])),
        }


def sentence(facts: Mapping[str, Any]) -> str:
    """The facts that a reader of a table needs, in one line."""
    others = "" if facts["others_busy"] is None else f", others kept {facts['others_busy']:.1f} of them busy"
    gpu = f"{facts['gpu']} (driver {facts['driver']}), " if facts["gpu"] else ""
    return (
        f"{facts['time'][:10]}, {gpu}{facts['cores']} cores of {facts['processor']}{others}, "
        f"{facts['threads']} threads, torch {facts['torch']}, Python {facts['python']}, "
        f"{facts['rounds']} rounds{', short form' if facts['short'] else ''}"
    )
