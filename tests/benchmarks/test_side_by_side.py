"""The harness of the benchmarks: rounds, ratios, tables, promises, command line."""

from __future__ import annotations

import argparse
import doctest
import itertools
import json
import sys
from pathlib import Path

import machine
import pyarrow.parquet as pq
import pytest
import side_by_side
import tables
from side_by_side import Form, Measurement, Promise, compare, main, measurements_of
from tables import table, words


class Clock:
    """A clock that only the forms move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(side_by_side.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(side_by_side.time, "process_time", lambda: 2 * self.now)

    def form(self, name: str, *seconds: float, calls: list[str] | None = None) -> Form:
        given = itertools.cycle(seconds)

        def run() -> None:
            self.now += next(given)
            if calls is not None:
                calls.append(name)

        return Form(name, run)


def test_ratios_are_medians_of_ratios_within_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    # Round by round 10/2, 12/4, 40/5: the median of ratios is 5; the ratio of medians would be 3.
    forms = [clock.form("plain", 10, 12, 40), clock.form("fused", 2, 4, 5)]
    plain, fused = compare(forms, rounds=3, warmup=0)
    assert (plain.seconds, plain.lowest, plain.highest, plain.ratio) == (12, 10, 40, 1)
    assert plain.mean == pytest.approx(62 / 3)
    assert (fused.seconds, fused.processor_seconds, fused.ratio, fused.processor_ratio) == (4, 8, 5, 5)


def test_rounds_alternate_between_the_forms_after_the_warmup(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = Clock(monkeypatch), list[str]()
    compare([clock.form(name, 1, calls=calls) for name in "ab"], rounds=2, warmup=2)
    assert "".join(calls) == "aabb" + "abba"


def test_what_a_device_still_has_to_do_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = list[str]()
    monkeypatch.setattr(side_by_side, "wait_for", waited.append)
    compare([Form("a", lambda: waited.append("a"))], rounds=1, warmup=0, device="cuda:1")
    assert waited == ["cuda:1", "a", "cuda:1"]


def test_tables_have_only_columns_that_are_filled() -> None:
    rows = [Measurement("case", "one", seconds=1.5), Measurement("case", "two", extra={"peak_bytes": 12})]
    assert table(rows).splitlines() == [
        "| measurement | seconds | peak bytes |",
        "|---|---|---|",
        "| one | 1.5 |  |",
        "| two |  | 12 |",
    ]


def test_measurements_are_against_the_first_form(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    timings = compare([clock.form("a", 4), clock.form("b", 2)], rounds=1)
    one, other = measurements_of("case", timings, {"b": {"peak_bytes": 5}})
    assert (one.against, other.against, other.ratio) == ("a", "a", 2)
    assert "peak_bytes" not in one.extra
    assert other.extra["peak_bytes"] == 5


@pytest.mark.parametrize(("value", "shown"), [(123456.7, "123,457"), (0.5, "0.5"), (3, "3"), ("x", "x")])
def test_words_of_figures(value: float | str, shown: str) -> None:
    assert words(value) == shown


def given(**changes: object) -> argparse.Namespace:
    return argparse.Namespace(**{"device": "cpu", "short": False, **changes})


def test_promises_are_kept_within_their_bounds_only() -> None:
    promise = Promise("fused", least=2.0, most=9.0)
    for ratio, kept in ((1.9, False), (2.0, True), (9.1, False), (None, False)):
        assert promise.check([Measurement("case", "fused", ratio=ratio)])["kept"] is kept
    assert promise.check([Measurement("case", "other", ratio=3.0)])["kept"] is False
    assert str(promise) == "fused: ratio at least 2 and at most 9"


def test_promises_can_be_of_other_figures_devices_and_forms() -> None:
    assert Promise("a", "peak_bytes", most=5).check([Measurement("c", "a", extra={"peak_bytes": 4})])["kept"]
    assert not Promise("a", device="cuda").applies(given(), [])
    assert Promise("a", device="cuda").applies(given(device="cuda:0"), [])
    assert not Promise("a", long=True).applies(given(short=True), [])
    assert not Promise("a", optional=True).applies(given(), [])
    assert Promise("a", optional=True).applies(given(), [Measurement("case", "a", ratio=1.0)])


def run_main(monkeypatch: pytest.MonkeyPatch, *flags: str, ratio: float = 3.0) -> int:
    def measure(options: argparse.Namespace) -> list[Measurement]:
        extra = {"rounds_asked": options.rounds, "width": options.width}
        return [Measurement("case", "fused", 0.5, 0.25, ratio, "plain", extra)]

    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--width", type=float, default=1.0)

    monkeypatch.setattr(sys, "argv", ["case.py", "--threads", "1", "--device", "cpu", *flags])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return main("case", measure, configure, promises=[Promise("fused", least=2.0)])


def test_the_command_line_prints_a_table_and_its_promises(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "--short", "--width", "0.25") == 0
    shown = capsys.readouterr().out
    assert "| fused | 0.5 | 0.25 | 3 | plain | 3 | 0.25 |" in shown
    assert "kept: fused: ratio at least 2 (seen: 3)" in shown
    assert run_main(monkeypatch, ratio=1.5) == 1
    assert "NOT KEPT: fused: ratio at least 2 (seen: 1.5)" in capsys.readouterr().out


def test_the_command_line_prints_json_and_adds_rows_to_the_history(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "history"
    assert run_main(monkeypatch, "--json", "--rounds", "7", "--history", str(folder)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measurements"][0]["extra"] == {"rounds_asked": 7, "width": 1.0}
    assert run_main(monkeypatch, "--history", str(folder)) == 0
    files = sorted(folder.glob("*.parquet"))
    assert len(files) == 2
    (row,) = pq.read_table(files[0]).to_pylist()
    assert {name: row[name] for name in ("case", "name", "seconds", "ratio", "against")} == {
        "case": "case",
        "name": "fused",
        "seconds": 0.5,
        "ratio": 3.0,
        "against": "plain",
    }
    assert row["processor"] and row["torch"] and row["python"] and row["cores"] >= 1
    commands = {pq.read_table(file).to_pylist()[0]["command"] for file in files}
    assert commands == {"--threads 1 --device cpu --json --rounds 7", "--threads 1 --device cpu"}


def test_examples_of_the_docstrings() -> None:
    for module, least in ((side_by_side, 2), (tables, 1), (machine, 1)):
        found = doctest.testmod(module)
        assert (found.attempted >= least, found.failed) == (True, 0)
