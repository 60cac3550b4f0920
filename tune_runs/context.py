"""What the trials of a launch share. Free of Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoreid.data.source import DataSource
from autoreid.jobs import Job
from autoreid.recipes import Execution
from autoreid.storage import Storage

# The same call as `autoreid.running.run_job`.
Engine = Callable[[Job, Storage, DataSource, Execution, Path | None], Generator[dict[str, Any], None, None]]


@dataclass(frozen=True, slots=True)
class Context:
    """What all trials of a launch share; nothing of it changes a result.

    `cache` is the absolute folder of decoded arrays: trials run in another working directory.
    """

    storage: Storage
    source: DataSource
    execution: Execution
    engine: Engine
    cache: Path
