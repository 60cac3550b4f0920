"""The status of campaigns as one screen of a terminal: what is of most interest, in the lines that there are.

Every row is one line: long names are cut, and rows that do not fit are summed up in one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_runs.states import STATES
from tune_runs.status import cost_text, counts_text, is_open, left_text, points_text, rate_text
from tune_runs.words import clock, counted, lasting

Plain = dict[str, Any]
STYLES = dict(zip(STATES, ("green", "cyan", "blue", "", "bold red", "yellow"), strict=True))
SHORT = {"running": "run", "started": "begun", "waiting": "wait", "failed": "fail", "skipped": "skip"}
# From so many columns on, arms stand beside what runs.
WIDE = 150
GAP = 3
# Of campaigns that are open, and of those that are not, so many are shown.
MOST_CAMPAIGNS = 3


@dataclass(frozen=True, slots=True)
class Name:
    """A name that is cut in the middle: arms of a grid differ at their end."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(middle(self.text, options.max_width), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, len(self.text))


def middle(text: str, width: int) -> str:
    """A text in so many columns, less its middle; a third of what stays is its beginning.

    >>> middle("cdnet, alpha_scale=0.01", 13), middle("cdnet", 13)
    ('cdne…ale=0.01', 'cdnet')
    """
    if cell_len(text) <= width:
        return text
    begin = (width - 1) // 3
    while cell_len(text[:begin]) + 1 + cell_len(text[begin:]) > width and len(text) > begin:
        text = text[:begin] + text[begin + 1 :]
    return f"{text[:begin]}…{text[begin:]}"


@dataclass(frozen=True, slots=True)
class Rows:
    """A table that can be cut: rows with how urgent each is (0 first), and what stands for those cut away."""

    head: tuple[str, ...]
    rows: tuple[tuple[int, tuple[RenderableType, ...], Counter[str]], ...]
    flexible: str

    @property
    def wanted(self) -> int:
        """Lines that all rows take, with the head; none where there is no row."""
        return len(self.rows) + 1 if self.rows else 0

    def table(self, lines: int) -> RenderableType:
        """The table in so many lines; of rows of the same urgency the first ones stay."""
        kept = sorted(range(len(self.rows)), key=lambda index: self.rows[index][0])
        if self.wanted > lines:
            kept = kept[: max(lines - 2, 0)]
        table = Table(box=None, expand=True, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for name in self.head:
            if name == self.flexible:
                table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1)
            else:
                table.add_column(name, no_wrap=True)
        for index in sorted(kept):
            table.add_row(*self.rows[index][1])
        cut = [row for index, row in enumerate(self.rows) if index not in kept]
        if not cut:
            return table
        counts = sum((row[2] for row in cut), Counter[str]())
        words = ", ".join(f"{count} {word}" for word, count in counts.items())
        return Group(table, _line(f"and {len(cut)} more{': ' if words else ''}{words}", "dim"))


def shares(wanted: Sequence[int], lines: int) -> list[int]:
    """Lines for every part: what it wants where that can be, else an even share of what is left.

    >>> shares([3, 20, 30], 23), shares([3, 5], 23)
    ([3, 10, 10], [3, 5])
    """
    given = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    for position, index in enumerate(order):
        given[index] = min(wanted[index], lines // (len(order) - position))
        lines -= given[index]
    return given


@dataclass(frozen=True, slots=True)
class Screen:
    """What `status_plain` says, drawn anew for the size of the terminal at every refresh."""

    plain: Plain
    clock: str
    note: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        heads = list(_heads(self.plain, self.clock, width))
        heads += [_line(self.note, "bold red")] if self.note else []
        yield from heads
        yield from _body(self.plain, width, height - len(heads))


class OnScreen:
    """A display on the terminal. When the storage cannot be read, what was seen last stays."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.last: Plain = {}

    def show(self, plain: Plain) -> None:
        self.last = plain
        self.live.update(Screen(plain, clock()), refresh=True)

    def note(self, problem: str) -> None:
        self.live.update(Screen(self.last, clock(), problem), refresh=True)


@contextmanager
def on_screen() -> Iterator[OnScreen]:
    """A display that takes the whole terminal while it is entered."""
    with Live(console=Console(), screen=True, refresh_per_second=1) as live:
        yield OnScreen(live)


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis", end="\n")


def _heads(plain: Plain, clock: str, width: int) -> Iterator[RenderableType]:
    """Lines that say how far the campaigns are, each one line high."""
    campaigns = plain["campaigns"]
    going = [campaign for campaign in campaigns if is_open(campaign)]
    ended = [campaign for campaign in campaigns if not is_open(campaign)]
    yield _line(f"{plain['storage']}  {clock}", "dim")
    for campaign in going[:MOST_CAMPAIGNS]:
        yield from _head(campaign, width)
    if going[MOST_CAMPAIGNS:]:
        yield _line(f"and {counted(len(going) - MOST_CAMPAIGNS, 'more campaign')} not finished", "dim")
    for campaign in ended[:MOST_CAMPAIGNS]:
        cost = cost_text(campaign["cost"])
        yield _line(f"{campaign['campaign']}: {counts_text(campaign)}, {cost}")
    if ended[MOST_CAMPAIGNS:]:
        yield _line(f"and {counted(len(ended) - MOST_CAMPAIGNS, 'more campaign')} at their end", "dim")
    problems = [*plain["problems"], *(problem for found in campaigns for problem in found["problems"])]
    yield from (_line(problem, "bold red") for problem in problems[:2])


def _head(campaign: Plain, width: int) -> Iterator[RenderableType]:
    done, total = campaign["epochs_done"], campaign["epochs"]
    bar = Table.grid(expand=True, padding=(0, 2, 0, 0))
    bar.add_column(no_wrap=True, overflow="ellipsis", max_width=max(width // 3, 8))
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    name = Text(campaign["campaign"], style="bold")
    bar.add_row(name, ProgressBar(max(total, 1), done), f"{done}/{total} epochs {done / max(total, 1):.0%}")
    yield bar
    parts = [
        Text(f"{campaign['jobs'][status]} {status}", STYLES[status])
        for status in STATES
        if campaign["jobs"][status]
    ]
    rate = campaign["epochs_per_hour"]
    words = [points_text(campaign["points"]) if campaign["points"] else "", rate_text(rate) if rate else ""]
    words += [left_text(campaign), cost_text(campaign["cost"])]
    yield from _packed([*parts, *(Text(word) for word in words if word)], width)


def _packed(parts: Sequence[Text], width: int) -> Iterator[Text]:
    """The parts, with commas, in as few lines as hold them."""
    line = _line("")
    for part in parts:
        if line and len(line) + len(part) + 2 > width:
            yield line
            line = _line("")
        if line:
            line.append(", ")
        line.append_text(part)
    yield line


def _body(plain: Plain, width: int, lines: int) -> Iterator[RenderableType]:
    going = [campaign for campaign in plain["campaigns"] if is_open(campaign)] or plain["campaigns"]
    wide = width >= WIDE
    running, failures = _running_rows(going, wide), _failure_rows(going)
    arms = _arm_rows(going, wide)
    if not wide:
        yield from _stacked([running, failures, arms], lines)
        return
    columns = [[arms], [running, failures]]
    grid = Table.grid(expand=True, padding=(0, GAP, 0, 0), pad_edge=False)
    for _ in columns:
        grid.add_column(ratio=1)
    grid.add_row(*(Group(*_stacked(column, lines)) for column in columns))
    yield grid


def _stacked(parts: Sequence[Rows], lines: int) -> Iterator[RenderableType]:
    """Tables under each other, each below an empty line; those for which no line is left are not drawn."""
    there = [part for part in parts if part.rows]
    given = shares([part.wanted for part in there], lines - len(there))
    for part, its in zip(there, given, strict=True):
        if its >= 2:
            yield Text("")
            yield part.table(its)


def _name(campaigns: Sequence[Plain], campaign: Plain, name: str) -> str:
    return f"{campaign['campaign']}: {name}" if len(campaigns) > 1 else name


def _arm_rows(campaigns: Sequence[Plain], wide: bool) -> Rows:
    """Arms with their jobs by state; states that no job has are left out."""
    arms = [(campaign, arm) for campaign in campaigns for arm in campaign["arms"]]
    shown = [state for state in STATES if any(arm["jobs"][state] for _, arm in arms)]
    rows = []
    for campaign, arm in arms:
        jobs = arm["jobs"]
        cells: list[RenderableType] = [Name(_name(campaigns, campaign, arm["arm"])), arm["kind"]]
        cells += [Text(str(jobs[state] or "-"), STYLES[state] if jobs[state] else "dim") for state in shown]
        cells += [f"{arm['epochs_done']}/{arm['epochs']}"]
        counts = Counter({state: count for state, count in jobs.items() if count})
        rows.append((_urgency(jobs), tuple(cells), counts))
    heads = shown if wide else [SHORT.get(state, state) for state in shown]
    return Rows(("arm", "kind", *heads, "epochs"), tuple(rows), "arm")


def _urgency(jobs: Plain) -> int:
    """What runs comes first, then what failed or has begun; last what waits or is done altogether."""
    order = (
        jobs["running"],
        jobs["failed"],
        jobs["started"],
        jobs["done"] and jobs["waiting"],
        jobs["waiting"],
    )
    return next((place for place, there in enumerate(order) if there), len(order))


def _running_rows(campaigns: Sequence[Plain], wide: bool) -> Rows:
    rows = []
    for campaign in campaigns:
        for job in campaign["running"]:
            name = f"{job['kind']} {job['arm']}, repeat {job['repeat'] + 1}"
            bar = ProgressBar(max(job["epochs"], 1), job["epoch"], width=10)
            left = "" if job["seconds_left"] is None else lasting(job["seconds_left"])
            cells: list[RenderableType] = [Name(_name(campaigns, campaign, name)), bar]
            cells += [f"{job['epoch']}/{job['epochs']}", left]
            if wide:
                pace, loss = job["epoch_seconds"], job["loss"]
                cells += ["" if pace is None else f"{pace:.3g} s", "" if loss is None else f"{loss:.3f}"]
                cells += [Text(job["where"])]
            rows.append((0, tuple(cells), Counter[str]()))
    more = ("an epoch", "loss", "on") if wide else ()
    return Rows(("running", "", "epoch", "left", *more), tuple(rows), "running")


def _failure_rows(campaigns: Sequence[Plain]) -> Rows:
    """Failures with the same words are one row."""
    same: dict[str, list[str]] = {}
    for campaign in campaigns:
        for job in campaign["failures"]:
            if job["status"] == "failed":
                last = next((line for line in reversed(job["log"]) if line.strip()), "")
                error = str(job["error"] or last).splitlines()[-1]
                name = f"{job['kind']} {job['arm']}, repeat {job['repeat'] + 1}"
                same.setdefault(error, []).append(_name(campaigns, campaign, name))
    rows = []
    for error, names in same.items():
        more = f" and {len(names) - 1} more" if names[1:] else ""
        rows.append((0, (Text(f"{error} ({names[0]}{more})", "red"),), Counter[str]()))
    return Rows(("failed",), tuple(rows), "failed")
