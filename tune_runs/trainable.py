"""The adapter between Tune and the engine: one trial is one job."""

from __future__ import annotations

import gc
import inspect
import signal
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import ray
from ray.tune import Trainable

from autoreid.errors import AutoreidError, HeldError, InterruptionError
from autoreid.folders import read_json
from autoreid.jobs import Job
from autoreid.memory import free_memory
from tune_runs.context import BROKEN, FAILED, HELD, INTERRUPTED, REFUSED, Context
from tune_runs.nodes import may_be_the_machine
from tune_runs.packages import difference

REPORTED = ("epoch", "loss", "accuracy", "validation_accuracy", "images_per_second")
NUMBERS = (signal.SIGTERM, signal.SIGUSR1)


class JobTrial(Trainable):
    """Runs the job that its configuration names, one epoch a step.

    SIGTERM and SIGUSR1 ask it to stop: the engine writes a checkpoint between two of its steps.
    """

    def setup(self, config: dict[str, Any], context: Context) -> None:
        self.context = context
        self.refusal = difference(context.packages)
        self.node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else None
        self._begin(config)
        for number in NUMBERS:
            signal.signal(number, self._ask)
        # Held back while Ray was started: one that came since then is followed now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next job in the same process, where processes are reused."""
        self.rows.close()
        # What is alive between two jobs is modules: to look through them for garbage again after each job
        # takes a fifth of a second.
        gc.freeze()
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self.asked = False
        self.tells = "name" in config
        self.rows = _rows(config["job"], self.context, lambda: self.asked)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def step(self) -> dict[str, Any]:
        if self.tells:  # in a cluster, so that its node is known if it dies without a word
            self.tells = False
            return {"node": self.node}
        result = self._advance()
        if result.get("done"):  # a process that is reused waits for the next job, beside others on its GPU
            self.rows.close()
            free_memory()
        return result if self.node is None else {**result, "node": self.node}

    def _advance(self) -> dict[str, Any]:
        if self.refusal is not None:
            return _end(REFUSED, self.refusal)
        if self.asked and inspect.getgeneratorstate(self.rows) == inspect.GEN_CREATED:
            return _end(INTERRUPTED, "stopped before it began")
        try:
            row = next(self.rows)
        except StopIteration as end:
            return {"done": True} if end.value else _end(HELD, "another process has done it")
        except Exception as error:  # said as a result: Tune keeps the text of an error to itself
            return _end(_kind(error), _words(error))
        return {name: row[name] for name in REPORTED if row.get(name) is not None}

    def cleanup(self) -> None:
        self.rows.close()


def _end(how: str, problem: str) -> dict[str, Any]:
    return {"done": True, "ended": how, "problem": problem}


def _kind(error: Exception) -> str:
    if isinstance(error, HeldError):
        return HELD
    if isinstance(error, InterruptionError):
        return INTERRUPTED
    return BROKEN if may_be_the_machine(error) else FAILED


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, AutoreidError) else f"{type(error).__name__}: {error}"


def _rows(job_id: str, context: Context, stop: Callable[[], bool]) -> Generator[dict[str, Any], None, bool]:
    """The engine's rows of a job; nothing is read before the first one is asked for."""
    folder = context.storage.job(job_id).folder
    job = Job.from_plain(read_json(folder, "job.json"), f"{folder}/job.json")
    source = context.sources[job.data]
    execution = context.alone if job.alone and context.alone else context.execution
    return (yield from context.engine(job, context.storage, source, execution, context.cache, stop))
