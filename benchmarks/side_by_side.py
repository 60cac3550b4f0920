"""Forms of one computation timed side by side, and the command line that the cases of the benchmarks share.

A case is a file of this folder that measures something and calls `main`. `compare` times the forms of a
computation in rounds that alternate between them, in one process: what else runs on the machine then slows
all forms alike, and ratios, taken within a round, hold on a busy machine too.

>>> timings = compare([Form("sum", lambda: sum(range(9))), Form("nothing", lambda: None)], rounds=3)
>>> [(timing.name, timing.seconds > 0) for timing in timings], timings[0].ratio
([('sum', True), ('nothing', True)], 1.0)
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from machine import Watch, sentence, usable_cores
from tables import table, words

from autoreid.allocation import keep_memory
from autoreid.cli import answer, say
from autoreid.errors import InputError
from autoreid.latency_rounds import interleaved, median_ratio

Seconds = tuple[float, float]  # wall and processor


@dataclass(frozen=True, slots=True)
class Form:
    """One call of `run` is one measurement of the form of that name."""

    name: str
    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over the rounds, of wall and of processor seconds, and the lowest and highest wall seconds.

    ratio: the median over the rounds of the first form's seconds through this one's, of the same round: how
    many times as fast as the first. processor_ratio: the same of processor seconds. mean: of wall seconds.
    """

    name: str
    seconds: float
    lowest: float
    highest: float
    processor_seconds: float
    ratio: float
    processor_ratio: float
    mean: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """A figure of a case: a row of its table and of the history.

    ratio: how many times as fast as the measurement `against`. extra: what else was measured, by name.
    """

    case: str
    name: str
    seconds: float | None = None
    processor_seconds: float | None = None
    ratio: float | None = None
    against: str = ""
    extra: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Promise:
    """Bounds that a figure of a measurement keeps: its seconds, processor_seconds, ratio, or one of `extra`.

    device: the kind of device that it is promised on ("cpu", "cuda"; "": every one).
    long: promised of the long form only, which measures what the short one leaves out.
    optional: promised where it was measured; else what was not measured does not keep it.
    """

    name: str
    figure: str = "ratio"
    least: float = float("-inf")
    most: float = float("inf")
    device: str = ""
    long: bool = False
    optional: bool = False

    def applies(self, options: argparse.Namespace, measurements: Sequence[Measurement]) -> bool:
        """Whether it has to be kept by this run."""
        here = options.device.startswith(self.device) and not (self.long and options.short)
        return here and not (self.optional and self.seen(measurements) is None)

    def seen(self, measurements: Sequence[Measurement]) -> float | None:
        found = [value_of(one, self.figure) for one in measurements if one.name == self.name]
        return found[0] if found and isinstance(found[0], (int, float)) else None

    def check(self, measurements: Sequence[Measurement]) -> dict[str, Any]:
        """What was seen, and whether the promise is kept."""
        seen = self.seen(measurements)
        kept = seen is not None and self.least <= seen <= self.most
        return {"promise": str(self), "seen": seen, "kept": kept}

    def __str__(self) -> str:
        bounds = [f"at least {self.least:g}"] if self.least > float("-inf") else []
        bounds += [f"at most {self.most:g}"] if self.most < float("inf") else []
        return f"{self.name}: {self.figure.replace('_', ' ')} {' and '.join(bounds)}"


def value_of(measurement: Measurement, figure: str) -> float | int | str | None:
    if figure in ("seconds", "processor_seconds", "ratio"):
        return getattr(measurement, figure)
    return measurement.extra.get(figure)


def wait_for(device: str) -> None:
    """Until the device has done what it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def timed(run: Callable[[], object], device: str = "cpu") -> Seconds:
    """Wall and processor seconds of one call, all threads of this process counted."""
    wait_for(device)
    begin, busy = time.perf_counter(), time.process_time()
    run()
    wait_for(device)
    return time.perf_counter() - begin, time.process_time() - busy


def compare(
    forms: Sequence[Form], *, rounds: int, warmup: int = 1, device: str = "cpu", steps: int = 1
) -> list[Timing]:
    """Time forms in rounds, one call of each in turn, after `warmup` calls of each that are not counted.

    steps: so many are in every call; seconds are those of one.
    """
    for form in forms:
        for _ in range(warmup):
            form.run()
    calls = interleaved([functools.partial(timed, form.run, device) for form in forms], rounds)
    own = [[(wall / steps, busy / steps) for wall, busy in turns] for turns in calls]
    return [timing_of(form.name, own[0], turns) for form, turns in zip(forms, own, strict=True)]


def timing_of(name: str, first: Sequence[Seconds], own: Sequence[Seconds]) -> Timing:
    """The medians of a form, from its own rounds and those of the first form."""
    walls = [wall for wall, _ in own]
    return Timing(
        name=name,
        seconds=statistics.median(walls),
        lowest=min(walls),
        highest=max(walls),
        processor_seconds=statistics.median(busy for _, busy in own),
        ratio=median_ratio([wall for wall, _ in first], walls),
        processor_ratio=median_ratio([busy for _, busy in first], [busy for _, busy in own]),
        mean=statistics.fmean(walls),
    )


def measurements_of(
    case: str, timings: Sequence[Timing], extra: Mapping[str, Mapping[str, float | int | str]] | None = None
) -> list[Measurement]:
    """Timings as measurements of a case, against the first of them. extra: more figures by form's name."""
    return [
        Measurement(
            case=case,
            name=timing.name,
            seconds=timing.seconds,
            processor_seconds=timing.processor_seconds,
            ratio=timing.ratio,
            against=timings[0].name,
            extra={
                "lowest": timing.lowest,
                "highest": timing.highest,
                "processor_ratio": timing.processor_ratio,
                **(extra or {}).get(timing.name, {}),
            },
        )
        for timing in timings
    ]


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, help="rounds of measurements (default: 5; 3 with --short)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all that this process may use)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--short", action="store_true", help="the short form, as make bench runs it")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    parser.add_argument("--history", type=Path, metavar="DIR", help="append the measurements to DIR as rows")


def settle(options: argparse.Namespace) -> None:
    """Fill in rounds, threads and device, and set the threads, here and for processes to come.

    Nothing loads torch here: a case that measures the memory of processes stays small itself.
    """
    options.rounds = options.rounds or (3 if options.short else 5)
    options.threads = options.threads or usable_cores()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    if "torch" not in sys.modules:
        options.device = "cpu" if options.device == "auto" else options.device
        return
    import torch

    from autoreid.optimisation import choose_device

    torch.set_num_threads(options.threads)
    options.device = str(choose_device(options.device))


def main(
    case: str,
    measure: Callable[[argparse.Namespace], list[Measurement]],
    configure: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    *,
    promises: Sequence[Promise] = (),
    summary: str | None = None,
    show: Callable[[Sequence[Measurement]], str] | None = None,
) -> int:
    """The command line of a case: measure, print the table and the promises, add to the history.

    show: the measurements as Markdown, where one table does not do. Returns 0 where all promises that apply
    are kept, else 1.
    """
    parser = argparse.ArgumentParser(
        description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_flags(parser)
    configure(parser)
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} is too small. Use 1 or more.")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads: {options.threads} is too small. Use 1 or more.")
    watch = Watch()
    keep_memory(True)  # as runs do
    try:
        settle(options)
        measurements = measure(options)
    except InputError as error:
        parser.error(str(error))
    facts = watch.facts(options)
    checked = [one.check(measurements) for one in promises if one.applies(options, measurements)]
    if options.history:
        from history import append

        say(f"{case}: written to {append(options.history, facts, measurements)}")
    shown = (show or table)(measurements)
    rows = list(map(asdict, measurements))
    result = {"case": case, "facts": facts, "measurements": rows, "promises": checked, "shown": shown}
    answer(result, report(result), options.json)
    return 0 if all(one["kept"] for one in checked) else 1


def report(result: Mapping[str, Any]) -> str:
    """What a case prints for people, from what it prints for programs."""
    kept = {True: "kept", False: "NOT KEPT"}
    said = [
        f"{kept[one['kept']]}: {one['promise']} (seen: {words(one['seen']) or 'nothing'})"
        for one in result["promises"]
    ]
    head = f"{result['case']}: {sentence(result['facts'])}"
    return "\n".join([head, "", result["shown"], *([""] if said else []), *said])
