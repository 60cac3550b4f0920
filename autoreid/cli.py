"""The `autoreid` command: finds the sub-commands, runs one, turns errors into messages and exit codes.

A sub-command is a `Command` that an entry point of the group `autoreid.commands` names. Modules that hold
commands import nothing heavy: `autoreid --help` loads no torch, ray, pandas, pyarrow or optuna.

Exit codes: 0 done; 1 some work failed for good; 2 bad input; 75 interrupted, run the same command again.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, NoReturn

from autoreid.errors import AutoreidError, InputError, unknown
from autoreid.version import __version__

GROUP = "autoreid.commands"
DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 75
# What the system says of a place that somebody named and that cannot even be looked at.
OF_PLACES = (errno.EACCES, errno.ENAMETOOLONG)

# The commands by what somebody wants to do; those of other packages stand in a group of their own.
GROUPS = {
    "campaigns: many runs, planned, repeated and compared": ("campaign",),
    "single runs: one search, training or evaluation": (
        "demo",
        "search",
        "pretrain",
        "train",
        "evaluate",
        "evaluate-features",
    ),
    "results: what runs have found": ("tables", "report", "genotype", "genotypes", "pictures", "embedding"),
    "networks in use: cost, files, features, galleries": (
        "complexity",
        "latency",
        "model",
        "export",
        "embed",
        "gallery",
    ),
    "machine: what is here to work with": ("doctor", "data"),
}
OTHERS = "commands of other packages"

EPILOG = """\
start here:
  autoreid demo                                   four searches, four retrainings, a report: a few minutes
  autoreid doctor                                 is everything here that it needs?
  autoreid data check DIR                         is my copy of the data set complete?
  autoreid campaign plan cdnet_table1             what would this campaign run?
  autoreid campaign run FILE --storage DIR        run it; run the same line again to continue

exit codes: 0 done; 1 some work failed for good; 2 bad input; 75 interrupted, run the same command again
"""


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command: `configure` declares its flags, `run` does the work and returns the exit code."""

    name: str
    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are `InputError`s, so that every door answers alike."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog}: {message}. See '{self.prog} --help'.")


def say(message: str) -> None:
    """Progress for people: one line on stderr. Where nobody takes it any more, the work goes on."""
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def answer(result: Mapping[str, Any] | Sequence[Any], text: str, as_json: bool) -> None:
    """Print a command's result on stdout: one JSON value for programs, or text for people."""
    print(json.dumps(result, indent=None, allow_nan=False) if as_json else text, flush=True)


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON value instead of text")


def find_commands() -> tuple[dict[str, Command], dict[str, str]]:
    """All commands by name, and the error of every one that could not be loaded."""
    commands: dict[str, Command] = {}
    broken: dict[str, str] = {}
    for entry in entry_points(group=GROUP):
        try:
            commands[entry.name] = entry.load()
        except Exception as error:  # a plug-in may fail in any way, and must not take the others along
            broken[entry.name] = f"{type(error).__name__}: {error}"
    return commands, broken


def commands_text(commands: Mapping[str, Command]) -> str:
    """The commands in their groups, a line each."""
    grouped = {name for names in GROUPS.values() for name in names}
    groups = GROUPS | {OTHERS: tuple(sorted(commands.keys() - grouped))}
    size = max(map(len, commands), default=0)
    parts = []
    for title, names in groups.items():
        lines = [f"  {name:<{size}}  {commands[name].summary}" for name in names if name in commands]
        if lines:
            parts.append("\n".join([title, *lines]))
    return "\n\n".join(parts)


def build_parser(commands: Mapping[str, Command], broken: Mapping[str, str]) -> Parser:
    epilog = EPILOG + "".join(f"\nnot available: {name} ({why})" for name, why in sorted(broken.items()))
    parser = Parser(
        prog="autoreid",
        description="Architecture search for person re-identification: Auto-ReID, CDNet and KDAS-ReID.",
        usage="autoreid [-h] [--version] [--debug] COMMAND ...",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"autoreid {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    children = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        title="commands",
        description=commands_text(commands),
        prog="autoreid",
        help=argparse.SUPPRESS,
    )
    for name in sorted(commands):
        command = commands[name]
        child = children.add_parser(name, description=command.summary)
        command.configure(child)
        child.set_defaults(run=command.run)
    return parser


def _check_name(arguments: Sequence[str], commands: Mapping[str, Command], broken: Mapping[str, str]) -> None:
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    if name is not None and name in broken:
        raise InputError(f"autoreid {name}: the command could not be loaded: {broken[name]}")
    if name is not None and name not in commands:
        raise InputError(f"autoreid: {unknown('command', name, commands)}")


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are raised to the caller."""
    commands, broken = find_commands()
    _check_name(arguments, commands, broken)
    parser = build_parser(commands, broken)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return DONE
    code: int = options.run(options)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script: `run_command` with messages and exit codes in place of exceptions."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return run_command([argument for argument in given if argument != "--debug"])
    except AutoreidError as error:
        if "--debug" in given:
            raise
        for line in str(error).splitlines():
            say(f"autoreid: {line}" if not line.startswith("autoreid") else line)
        return error.exit_code
    except KeyboardInterrupt:
        say("autoreid: interrupted. Run the same command again: what it has stored is kept.")
        return INTERRUPTED
    except BrokenPipeError:
        _leave_stdout()
        return DONE
    except OSError as error:
        if error.errno in OF_PLACES and error.filename is not None and "--debug" not in given:
            say(f"autoreid: {error.filename}: {error.strerror}. Name another place, or get the right to it.")
            return BAD_INPUT
        if error.errno != errno.ENOSPC:
            raise
        _leave_stdout()
        say(f"autoreid: the answer could not be written: {error.strerror}. What was computed is kept.")
        return FAILED


def _leave_stdout() -> None:
    """Nobody takes what is still to be written: without this, Python complains when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
