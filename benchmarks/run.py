"""All cases of the benchmarks, one after another, each in a process of its own; `make bench`.

python benchmarks/run.py [CASE ...] [--long] [--history DIR] [--device D] [--threads N]

The short forms take about 12 minutes on two cores. `--long` measures all: every round, MSMT17's size,
and where `--peers PYTHON --torchreid PATH` name them the peers (pages evaluation.md and data_path.md). The
exit code is 1 where a promise is not kept or a case fails. Measurements are added to benchmarks/history
unless told otherwise, and the figures there are drawn anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import history
from side_by_side import report

from autoreid.cli import say
from autoreid.words import counted

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """A file of this folder, and its command lines in the short and in the long form.

    peers: the flag that takes the interpreter of the peers, where it measures them too.
    """

    name: str
    short: tuple[tuple[str, ...], ...] = (("--short",),)
    long: tuple[tuple[str, ...], ...] = ((),)
    peers: str = ""


CASES = (
    Case("supernet_step", short=(("--short", "--rounds", "5"),)),  # pairs of its steps differ by a third
    Case("cell_step", long=(("--compile",),)),
    Case("topk_step"),
    Case("training_step"),
    Case("inference"),
    Case("data_path", peers="--peer"),
    Case("determinism"),
    Case("step_profile"),
    Case(
        "evaluation",
        long=((), ("--size", "msmt17", "--quality", "trained", "--rounds", "1")),
        peers="--peers",
    ),
    Case("gallery"),
    Case("planning"),
    Case("campaigns"),
    Case("collection"),
    Case("scale"),
    Case("storage_requests"),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """A case that has run. result: what it printed, None where it failed before that."""

    name: str
    seconds: float
    code: int
    result: Mapping[str, Any] | None

    @property
    def kept(self) -> bool:
        return self.code == 0 and self.result is not None

    def line(self) -> str:
        """Its line of the summary."""
        if self.result is None:
            return f"| {self.name} | {self.seconds:.0f} | failed with exit code {self.code} |"
        promises = self.result["promises"]
        broken = [one["promise"] for one in promises if not one["kept"]]
        said = f"NOT KEPT: {'; '.join(broken)}" if broken else f"{counted(len(promises), 'promise')} kept"
        return f"| {self.name} | {self.seconds:.0f} | {said} |"


def command_lines(cases: Sequence[Case], options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """What to run, in order: the name of a case and its command."""
    common = ["--json", "--device", options.device, "--history", str(options.history)]
    common += ["--threads", str(options.threads)] if options.threads else []
    found = []
    for case in cases:
        for flags in case.long if options.long else case.short:
            command = [sys.executable, str(HERE / f"{case.name}.py"), *flags, *common]
            if case.peers and options.peers:
                command += [case.peers, options.peers]
                command += ["--torchreid", str(options.torchreid)] if options.torchreid else []
            found.append((case.name, command))
    return found


def run(name: str, command: Sequence[str]) -> Ended:
    """One case; what it says meanwhile goes on to our stderr."""
    begin = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # it failed before its answer
        result = None
    return Ended(name, time.perf_counter() - begin, done.returncode, result)


def show(ended: Ended) -> None:
    if ended.result is None:
        say(f"{ended.name} failed with exit code {ended.code}")
        return
    print(report(ended.result), end="\n\n", flush=True)


def chosen(names: Sequence[str]) -> list[Case]:
    known = {case.name: case for case in CASES}
    if wrong := [name for name in names if name not in known]:
        raise SystemExit(f"no case {', '.join(wrong)}. Known: {', '.join(known)}")
    return [known[name] for name in names] or list(CASES)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="these only (default: all)")
    parser.add_argument("--long", action="store_true", help="the full forms")
    parser.add_argument("--history", type=Path, default=HERE / "history", metavar="DIR")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter that has torchreid and reid")
    parser.add_argument("--torchreid", type=Path, metavar="PATH", help="a source tree, its extension built")
    options = parser.parse_args()
    ended = []
    for name, command in command_lines(chosen(options.cases), options):
        say(f"{name}: {' '.join(command[2:])}")
        ended.append(run(name, command))
        show(ended[-1])
    measured = {one.name for one in ended if one.result is not None}
    if measured:
        rows = history.read(options.history)
        history.draw_all(rows[rows["case"].isin(measured)], options.history)
    print("\n".join(["| case | seconds | |", "|---|---|---|", *(one.line() for one in ended)]))
    return 0 if all(one.kept for one in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
