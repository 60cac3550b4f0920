"""The history of the benchmarks: rows, table, figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import history
import pytest
from matplotlib.figure import Figure
from side_by_side import Measurement

FACTS: dict[str, Any] = {
    "time": "2026-11-22T05:06:07+00:00",
    "run_seconds": 2.0,
    "rounds": 3,
    "threads": 1,
    "short": False,
    "device": "cpu",
    "processor": "a processor",
    "cores": 2,
    "gpu": "",
    "commit": "0123456789ab",
    "load_average": 0.1,
    "others_busy": 0.0,
}


def record(folder: Path, ratio: float | None, **changes: Any) -> Path:
    measurements = [
        Measurement("step", "plain", 1.0, 1.0, 1.0 if ratio else None, "plain" if ratio else ""),
        Measurement("step", "fused", 0.5, 0.5, ratio, "plain" if ratio else "", {"peak_bytes": 5}),
    ]
    return history.append(folder, {**FACTS, **changes}, measurements)


def test_rows_come_back_with_types_in_the_order_of_their_runs(tmp_path: Path) -> None:
    record(tmp_path, 3.0, time="2026-11-23T00:00:00+00:00")
    first = record(tmp_path, None, others_busy=None)
    assert first.name.startswith("20261122T050607-step-")
    rows = history.read(tmp_path)
    assert rows["time"].str[:10].tolist() == ["2026-11-22"] * 2 + ["2026-11-23"] * 2
    assert rows["ratio"].isna().tolist() == [True, True, False, False]
    assert rows["extra_peak_bytes"].iloc[3] == 5
    assert rows["short"].dtype == bool


def test_a_folder_without_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no history here yet"):
        history.read(tmp_path)


def test_ratios_are_drawn_where_there_are_some_else_seconds(tmp_path: Path) -> None:
    record(tmp_path, 3.0)
    column, rows = history.drawn(history.read(tmp_path))
    assert (column, rows["name"].tolist()) == ("ratio", ["fused"])
    record(tmp_path / "seconds", None)
    column, rows = history.drawn(history.read(tmp_path / "seconds"))
    assert (column, rows["name"].tolist()) == ("seconds", ["plain", "fused"])


def test_a_case_without_ratios_and_seconds_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, 3.0)
    history.append(tmp_path, FACTS, [Measurement("requests", "a job", extra={"requests": 20})])
    history.draw_all(history.read(tmp_path), tmp_path / "figures")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["step.png"]
    assert "requests: no ratios and no seconds to draw" in capsys.readouterr().err


def test_points_of_a_busy_machine_are_hollow_and_lines_are_of_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, 2.0, time="2026-11-22T01:00:00+00:00", others_busy=1.0)
    record(tmp_path, 3.0, time="2026-11-22T02:00:00+00:00")
    record(tmp_path, 9.0, time="2026-11-22T03:00:00+00:00", short=True)
    seen: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, dpi: seen.append(self))
    history.draw("step", history.read(tmp_path), tmp_path / "step.png")
    (axes,) = seen[0].axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[2.0, 3.0], [9.0]]
    assert [len(points.get_facecolors()) for points in axes.collections] == [2, 1]
    assert axes.collections[0].get_facecolors()[:, 3].tolist() == [0.0, 1.0]


def test_the_command_prints_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, 3.0)
    monkeypatch.setattr(sys, "argv", ["history.py", str(tmp_path), "--figures", str(tmp_path / "figures")])
    assert history.main() == 0
    assert (tmp_path / "figures" / "step.png").read_bytes().startswith(b"\x89PNG")
    expected = (
        "| 2026-11-22T05:06 | step | fused | 3 | plain | 0.5 | a processor, 1 threads | 0123456789ab | 0 |"
    )
    assert expected in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["history.py", str(tmp_path), "--case", "other"])
    with pytest.raises(SystemExit, match="There: step"):
        history.main()
