"""Watching a storage: the screen at many sizes, lines and values where there is none."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from campaigns import FINGERPRINT, SMALL, small
from many_jobs import HUNDRED, begin, fail, finish, hundred_jobs
from rich.cells import cell_len
from rich.console import Console

from autoreid.cli import main
from autoreid.errors import StorageError
from autoreid.storage import Storage
from tune_runs.manifest import save_manifest
from tune_runs.planning import Plan, make_plan
from tune_runs.screens import Screen
from tune_runs.standings import Memory
from tune_runs.status import status_plain
from tune_runs.watching import Lines, Values, watch

SIZES = [(80, 24), (200, 50), (200, 24), (120, 40), (40, 10), (60, 6), (300, 100)]


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return hundred_jobs(tmp_path_factory.mktemp("hundred"))


@pytest.fixture
def plan() -> Plan:
    return make_plan(small("repeats=1"), FINGERPRINT)


@pytest.fixture
def storage(tmp_path: Path, plan: Plan) -> Storage:
    storage = Storage(tmp_path)
    save_manifest(storage, plan)
    return storage


def drawn(plain: dict[str, Any], width: int, height: int) -> list[str]:
    """The lines of a screen, without colours."""
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system=None, force_terminal=True)
    console.print(Screen(plain, "12:00:00"))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_hundred_jobs_fit_any_terminal(hundred: Storage, width: int, height: int) -> None:
    lines = drawn(status_plain(hundred), width, height)
    assert len(lines) <= max(height, 7) and max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert "1224/2520 epochs 49%" in text and "4 failed" in text
    assert re.search(r"about\s30\.0 min left", text)


@pytest.mark.parametrize(("width", "height"), SIZES[:4])
def test_what_runs_and_what_failed_is_on_the_screen(hundred: Storage, width: int, height: int) -> None:
    lines = drawn(status_plain(hundred), width, height)
    running = [line for line in lines if re.search(r"repeat [23] .*\d+/\d\d .* \d\.\d min", line)]
    hidden = sum(int(found[1]) for line in lines[:14] if (found := re.search(r"and (\d+) more *$", line)))
    assert len(running) + hidden == 8 and len(running) >= 4
    text = "\n".join(lines)
    assert "the loss is nan (search" in text and "CUDA out of memory" in text
    # The end of a name tells an arm of a grid from the others.
    assert "alpha_scale=0.0001" in text


def test_rows_that_do_not_fit_are_summed_up(hundred: Storage) -> None:
    plain = status_plain(hundred)
    heads = r"^.*\b(search|train) +([\d-]+) +([\d-]+) +([\d-]+) +([\d-]+) +([\d-]+) +\d+/\d+"
    lines = drawn(plain, 80, 24)
    shown = [line for line in lines if re.match(heads, line)]
    left = re.search(r"and (\d+) more: 37 done, 2 started, 34 waiting, 4 failed, 3 running", "\n".join(lines))
    assert left and len(shown) + int(left[1]) == len(plain["campaigns"][0]["arms"])
    # The wide screen has room for all of them, beside what runs.
    lines = drawn(plain, 200, 50)
    assert sum(bool(re.match(heads, line)) for line in lines) == 25 and "more:" not in "\n".join(lines)
    assert any(re.match(heads, line) and "process" in line for line in lines)


def test_campaigns_that_are_open_come_first(storage: Storage, plan: Plan) -> None:
    for number in range(5):
        text = SMALL.replace("name: small", f"name: ended-{number}").replace("cdnet,", "cdnet, width: 64,")
        ended = make_plan(small("repeats=1", text=text), FINGERPRINT)
        save_manifest(storage, ended)
        for job_id, job in ended.jobs.items() if number == 0 else ():
            finish(storage, job_id, job.epochs)
    lines = drawn(status_plain(storage), 80, 24)
    assert lines[1].startswith("small ")
    assert "and 2 more campaigns at their end" in lines
    assert not any("ended-0: a" in line for line in lines)


def test_a_screen_shows_a_campaign_at_its_end(storage: Storage, plan: Plan) -> None:
    for job_id, job in plan.jobs.items():
        finish(storage, job_id, job.epochs)
    text = "\n".join(drawn(status_plain(storage), 80, 24))
    assert "small: 4 jobs: 4 done" in text and "3/3" in text and "left" not in text


def test_brackets_in_names_are_no_markup(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    plan = make_plan(small("repeats=1", text=SMALL.replace("  a:", '  "[red]a[/]":')), FINGERPRINT)
    save_manifest(storage, plan)
    fail(storage, next(iter(plan.jobs)), "[bold]no[/bold]")
    text = "\n".join(drawn(status_plain(storage), 80, 24))
    assert "[red]a[/]" in text and "[bold]no[/bold]" in text


def test_lines_say_what_is_new_and_end_with_the_work(storage: Storage, plan: Plan) -> None:
    search_a, train_a, search_b, _ = plan.jobs
    said: list[str] = []

    def looks() -> Iterator[None]:
        begin(storage, search_a, 1)
        yield
        yield  # nothing has happened
        finish(storage, search_a, 2)
        yield
        fail(storage, search_b, "the loss is nan")
        finish(storage, train_a, 3)
        yield

    steps = looks()
    watch(Memory(storage), 5.0, Lines(said.append), lambda seconds: next(steps))
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in said)
    words = [line.split(" ", 1)[1] for line in said]
    assert [line.split(";")[0] for line in words] == [
        "small: 4 jobs: 4 waiting",
        "small: 4 jobs: 1 started, 3 waiting",
        "small: 4 jobs: 1 done, 3 waiting",
        f"small: job {search_b} (search b, repeat 1) failed after 1 attempt: the loss is nan",
        "small: 4 jobs: 2 done, 1 failed, 1 skipped",
    ]


def test_a_storage_that_is_away_for_a_while_is_said(
    storage: Storage, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, said = Memory(storage), list[str]()

    def away(*_: Any) -> Any:
        raise StorageError("the store does not answer.")

    def back() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(memory, "planned", away)
            yield
        for job_id, job in plan.jobs.items():
            finish(storage, job_id, job.epochs)
        yield

    steps = back()
    watch(memory, 5.0, Values(said.append), lambda seconds: next(steps))
    first, second, third = map(json.loads, said)
    assert first["campaigns"][0]["jobs"]["waiting"] == third["campaigns"][0]["jobs"]["done"] == 4
    assert second == {"campaigns": [], "problems": ["the store does not answer."]}


def test_without_a_terminal_watch_prints_lines_or_values(
    storage: Storage, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    for job_id, job in plan.jobs.items():
        finish(storage, job_id, job.epochs)
    assert main(["campaign", "status", str(storage.folder), "--watch"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match(r"\d\d:\d\d:\d\d small: 4 jobs: 4 done; 10/10 epochs \(100%\), 0.03 device-hours", line)
    assert main(["campaign", "status", str(storage.folder), "--watch", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["campaigns"][0]["jobs"]["done"] == 4


@pytest.mark.parametrize("given", ["0", "nan", "1e9", "{folder}"])
def test_a_wrong_interval_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    assert main(["campaign", "status", str(tmp_path), "--watch", given.format(folder=tmp_path)]) == 2
    assert "is not a number of seconds from 0.1 to 86400. Give DIR before --watch." in capsys.readouterr().err


def test_watching_needs_a_campaign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "status", str(tmp_path), "--watch"]) == 2
    assert "no campaign in this folder" in capsys.readouterr().err


def read_until(terminal: int, word: bytes) -> bytes:
    """What a process has written to its terminal, up to a word or its end, or for half a minute."""
    seen = b""
    while word not in seen and select.select([terminal], [], [], 30)[0]:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # nobody holds the other side any more
            break
    return seen


def test_on_a_terminal_the_screen_is_taken_and_given_back(hundred: Storage) -> None:
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [
        sys.executable,
        "-m",
        "autoreid.cli",
        "campaign",
        "status",
        str(hundred.folder),
        "--watch",
        "60",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm-256color"}
    )
    os.close(theirs)
    try:
        seen = read_until(terminal, b"and 20 more")
        assert b"\x1b[?1049h" in seen and b"branches-and-scales" in seen
        process.send_signal(signal.SIGINT)
        ended = read_until(terminal, b"\x1b[?1049l")
        assert b"\x1b[?1049l" in ended and b"Traceback" not in seen + ended
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_the_campaign_of_these_tests_has_a_hundred_jobs() -> None:
    assert len(make_plan(small(text=HUNDRED), FINGERPRINT).jobs) == 100
