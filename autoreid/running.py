"""Running jobs: an attempt begins or continues, advances epoch by epoch, and ends with an outcome."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from autoreid.allocation import kept_memory
from autoreid.attempts import INTERRUPTED, STARTED, Attempt, Outcome, now
from autoreid.building import JobData, builder
from autoreid.cli import say
from autoreid.data.source import ClassSource, DataSource
from autoreid.determinism import repeatable
from autoreid.errors import (
    AutoreidError,
    DivergedError,
    HeldError,
    InterruptionError,
    OutOfMemoryError,
    StorageError,
    TooLittleMemoryError,
)
from autoreid.execution import Execution
from autoreid.facts import facts
from autoreid.folders import to_json
from autoreid.jobs import Job
from autoreid.keeper import Keeper
from autoreid.leases import Lease
from autoreid.memory import memory_explained
from autoreid.runs import Ending, Row, Run, Stop, never
from autoreid.saving import Saver, clear, resume
from autoreid.snapshots import remove_checkpoints
from autoreid.storage import JobFolder, Storage

# How long the lowest of several attempts that began at once waits for the others to withdraw.
GIVE_WAY_SECONDS = 2.0


def drive(run: Run, saver: Saver, keeper: Keeper, stop: Stop) -> Generator[Row, None, Ending]:
    """Advance to the end, saving on the way; the result and its files. Asked to stop, save and stop."""

    def pulse() -> None:
        keeper.progress()
        if stop():
            raise InterruptionError(f"stopped after {run.position}. Run the same command again to continue.")
        saver.save_if_late()

    run.position.pulse = pulse
    try:
        while run.position.epoch < run.position.epochs:
            pulse()
            row = run.advance()
            saver.add(row)
            with keeper.resting():
                yield row
        return run.finish()
    except InterruptionError:
        saver.save()
        raise
    except DivergedError as error:
        raise DivergedError(f"{error} {saver.kept}") from error
    finally:
        saver.log_remarks()


def run_attempt(
    build: Callable[[], Run],
    attempt: Attempt,
    earlier: Iterable[Attempt],
    execution: Execution,
    stop: Stop = never,
    recipe: object = None,
) -> Generator[Row, None, None]:
    """Run one attempt, yielding a row per epoch; the outcome is written last, also when it failed.

    An interruption writes no outcome: the next attempt continues from the checkpoint. `recipe` is named where
    memory does not suffice.
    """
    earlier, started, begin = list(earlier), now(), time.perf_counter()
    run: Run | None = None
    ending = False

    def fails(error: str, final: bool = False) -> None:
        # A put whose answer was lost may have arrived: what may be done is never called failed.
        if not ending:
            attempt.finish(
                Outcome("failed", facts=facts(started, begin, run, execution), error=error, final=final)
            )

    attempt.log(f"begins on {platform.node()}, process {os.getpid()}")
    # Written at once, so that an attempt that dies early is seen to have begun.
    attempt.folder.write(STARTED, to_json({"started": started, "host": platform.node()}))
    with Keeper(attempt, 60 * execution.stall_minutes, fails) as keeper:
        try:
            with memory_explained(recipe, execution), repeatable(execution), kept_memory(execution):
                run, saved = resume(build, attempt, earlier, execution.forms())
                saver = Saver(run, attempt, execution, saved)
                attempt.flush_log()
                result, files = yield from drive(run, saver, keeper, stop)
        except (InterruptionError, GeneratorExit, KeyboardInterrupt) as error:
            attempt.log(str(error) or "interrupted")
            _if_possible(lambda: _leave(attempt, facts(started, begin, run, execution)))
            raise
        except Exception as error:
            words, final = in_words(error), is_final(error)
            attempt.log(_story(error))
            _if_possible(lambda: fails(words, final))
            raise
        ending = True
        for name, content in files.items():
            keeper.progress()
            attempt.write(name, content)
        attempt.log("done")
        attempt.finish(Outcome("done", result=result, facts=facts(started, begin, run, execution)))
        _if_possible(lambda: _clear(attempt, earlier))


def _clear(attempt: Attempt, earlier: Iterable[Attempt]) -> None:
    remove_checkpoints(attempt)
    clear(other for other in earlier if other.folder is not attempt.folder)


def _leave(attempt: Attempt, known: dict[str, Any]) -> None:
    attempt.flush_log()
    attempt.folder.write(INTERRUPTED, to_json(known))


def _if_possible(write: Callable[[], None]) -> None:
    """Write where the storage takes it: what is being ended matters more."""
    try:
        write()
    except StorageError as error:
        say(str(error))


def in_words(error: Exception) -> str:
    """An error as a record holds it: our own ones by their message, others with their kind."""
    return str(error) if isinstance(error, AutoreidError) else f"{type(error).__name__}: {error}"


def _story(error: Exception) -> str:
    """What a log says of an error: where it happened, unless its message does."""
    return str(error) if isinstance(error, DivergedError) else "".join(traceback.format_exception(error))


def is_final(error: Exception) -> bool:
    """Whether another attempt would fail in the same way. Of all else a machine may be the reason: a GPU that
    is away, a full disk, damaged files; recipes are checked before a campaign begins."""
    return isinstance(error, (DivergedError, OutOfMemoryError, TooLittleMemoryError))


def take_up(folder: JobFolder, earlier: Iterable[Attempt]) -> Attempt:
    """A new attempt that this process holds, after earlier ones; HeldError where others begin one as well, or
    have done the job since `earlier` was listed.

    Each writes its lease before it looks for those of others, so that of two at least one sees the other.
    """
    attempt = folder.new_attempt(earlier)
    Lease.of_this_process().write(attempt.folder)
    _give_way(folder, attempt)
    return attempt


def _give_way(folder: JobFolder, attempt: Attempt) -> None:
    """HeldError, and the attempt withdrawn, where another one began at the same moment or is done.

    The lowest goes on, unless a higher one does so already: it may have looked before this one was there.
    """

    def look() -> tuple[list[Attempt], list[tuple[Attempt, Lease]]]:
        others = [other for other in folder.attempts() if other.name != attempt.name]
        return others, folder.held(others)

    others, rivals = look()
    if rivals and (attempt.number, attempt.name) < min((other.number, other.name) for other, _ in rivals):
        time.sleep(GIVE_WAY_SECONDS)
        others, rivals = look()
    if rivals:
        folder.withdraw(attempt)
        raise HeldError(f"job {attempt.job}: {rivals[0][1]} works on it.")
    if folder.finished(others) is not None:
        folder.withdraw(attempt)
        raise HeldError(f"job {attempt.job}: another process has done it meanwhile.")


def run_job(
    job: Job,
    storage: Storage,
    source: DataSource | ClassSource,
    execution: Execution,
    cache: Path | None = None,
    stop: Stop = never,
) -> Generator[Row, None, bool]:
    """Run a job in a storage, yielding a row per epoch; nothing where it is already done. Returns whether it
    was run here.

    HeldError where another process works on it, or has done it since this call began. `stop` is asked between
    steps; once it says so, a checkpoint is written and InterruptionError raised.
    """
    folder = storage.job(job.id)
    earlier = folder.attempts()
    if folder.finished(earlier) is not None:
        return False
    holder = folder.holder(earlier)
    if holder is not None:
        raise HeldError(f"job {job.id}: {holder} works on it.")
    build = builder(job, storage, JobData(job, source, cache), execution)
    folder.describe(job.plain())
    attempt = take_up(folder, earlier)
    yield from run_attempt(build, attempt, earlier, execution, stop, job.recipe)
    return True
