"""What the trials of a launch share. Free of Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoreid.data.source import ClassSource, DataSource
from autoreid.execution import Execution
from autoreid.jobs import Job
from autoreid.storage import Storage
from tune_runs.packages import Packages

# How a trial ended that did not do its job: another process works on it or has done it; it was asked to
# stop; it must not run at all; it failed where the machine may be the reason; anything else.
HELD, INTERRUPTED, REFUSED, BROKEN, FAILED = "held", "interrupted", "refused", "broken", "failed"

# The same call as `autoreid.running.run_job`: the last argument is asked between steps whether to stop; the
# value that is returned says whether the job was run, and not found done.
Engine = Callable[
    [Job, Storage, DataSource | ClassSource, Execution, "Path | None", Callable[[], bool]],
    Generator[dict[str, Any], None, bool],
]


@dataclass(frozen=True, slots=True)
class Context:
    """What all trials of a launch share; nothing of it changes a result.

    `sources` are where the data comes from, by its fingerprint. `alone` is the execution of jobs that run
    alone, where it is another one. `cache` is the absolute folder of decoded
    arrays: trials run in another working directory. `packages` is the code that the launch imports.
    """

    storage: Storage
    sources: Mapping[str, DataSource | ClassSource]
    execution: Execution
    engine: Engine
    cache: Path
    packages: Packages
    alone: Execution | None = None
