"""Where and how long an attempt ran."""

from __future__ import annotations

import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from autoreid.execution import Execution
from autoreid.runs import Run
from autoreid.version import __version__


def processor_name() -> str:
    """The processor's model, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def where(device: torch.device, execution: Execution) -> dict[str, Any]:
    """The device, and in which form and by which versions something ran on it."""
    cuda = device.type == "cuda"
    return {
        "device_kind": device.type,
        "device": torch.cuda.get_device_name(device) if cuda else processor_name(),
        "threads": torch.get_num_threads(),
        "forms": execution.forms(),
        "code_version": __version__,
        "torch_version": torch.__version__,
    }


def facts(started: str, begin: float, run: Run | None, execution: Execution) -> dict[str, Any]:
    """Where and how long an attempt ran: recorded, never part of an identity."""
    device = run.device if run else torch.device("cpu")
    cuda = device.type == "cuda"
    # Linux counts the peak of a process in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {
        "started": started,
        "wall_seconds": time.perf_counter() - begin,
        "earlier_seconds": run.position.earlier_seconds if run else 0.0,
        "host": platform.node(),
        "peak_memory_bytes": torch.cuda.max_memory_allocated(device) if cuda else peak,
        **where(device, execution),
        "python_version": platform.python_version(),
        "epochs": run.position.epoch if run else 0,
    }
