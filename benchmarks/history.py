"""The history of the benchmarks, as a table and as figures.

python benchmarks/history.py [DIR] [--case NAME] [--figures DIR] [--json]

A case that is given `--history DIR` leaves one parquet file there, a row a measurement: case, name, seconds,
processor_seconds, ratio, against, extra (JSON), and where, when, and with what it ran. Every case
has a figure: how many times as fast its measurements were as what they are against, run by run, or their
seconds where they are against nothing. A hollow point: others kept half a processor or more busy.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from autoreid.cli import answer, say

if TYPE_CHECKING:
    from side_by_side import Measurement

DEFAULT = Path(__file__).with_name("history")
QUIET = 0.5  # processors that others keep busy at most
KINDS: dict[str, pa.DataType] = {
    **dict.fromkeys(("run_seconds", "seconds", "processor_seconds", "ratio"), pa.float64()),
    **dict.fromkeys(("load_average", "others_busy"), pa.float64()),
    **dict.fromkeys(("rounds", "threads", "cores"), pa.int32()),
    "short": pa.bool_(),
}


def append(folder: Path, facts: Mapping[str, Any], measurements: Sequence[Measurement]) -> Path:
    """Write one run's rows as a file of its own into the folder, which is made; returns the file."""
    run = uuid.uuid4().hex[:8]
    rows = [
        {"run": run, **facts, **asdict(one), "extra": json.dumps(dict(one.extra))} for one in measurements
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    schema = pa.schema([(name, KINDS.get(name, pa.string())) for name in names])
    folder.mkdir(parents=True, exist_ok=True)
    moment = facts["time"].replace(":", "").replace("-", "")[:15]
    path = folder / f"{moment}-{measurements[0].case}-{run}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def read(folder: Path) -> pd.DataFrame:
    """All rows of a folder, oldest run first, figures of `extra` as columns of their own."""
    frames = [pq.read_table(path).to_pandas() for path in sorted(folder.glob("*.parquet"))]
    if not frames:
        raise SystemExit(f"{folder}: no history here yet. Run a case with --history {folder}.")
    rows = pd.concat(frames, ignore_index=True)
    extra = pd.DataFrame([json.loads(text) for text in rows.pop("extra")], index=rows.index)
    joined = rows.join(extra.add_prefix("extra_"))
    return joined.sort_values(["time", "run"], kind="stable", ignore_index=True)


def place_of(row: Mapping[Any, Any]) -> str:
    """Where a row was measured and in which form: only rows of one place are drawn as one line."""
    machine = row["gpu"] or f"{row['processor']}, {row['threads']} threads"
    return f"{machine}{', short' if row['short'] else ''}"


def shown(rows: pd.DataFrame) -> str:
    """The history as Markdown, a line a measurement and run."""
    heads = ("run", "case", "measurement", "times as fast", "as", "seconds", "on", "commit", "others busy")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows.to_dict("records"):
        cells = (
            *(row["time"][:16], row["case"], row["name"], figure(row["ratio"]), row["against"]),
            *(figure(row["seconds"]), place_of(row), row["commit"], figure(row["others_busy"])),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}"


def drawn(rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """What of a case is drawn: its ratios to other measurements, or seconds where there are none."""
    compared = rows[rows["ratio"].notna() & (rows["against"] != "") & (rows["against"] != rows["name"])]
    return ("ratio", compared) if len(compared) else ("seconds", rows[rows["seconds"].notna()])


def draw(case: str, rows: pd.DataFrame, path: Path) -> None:
    """One case's figure as a PNG file."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    column, rows = drawn(rows)
    runs = {run: number for number, run in enumerate(dict.fromkeys(rows["run"]))}
    labels = [
        f"{time[:10]} {time[11:16]} {commit[:7]}"
        for time, commit in rows.drop_duplicates("run")[["time", "commit"]].values
    ]
    picture = Figure(figsize=(10, 5), layout="constrained")
    axes = picture.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"](range(20)))
    places = rows.apply(place_of, axis=1)
    for (name, place), group in rows.groupby(["name", places], sort=False):
        across, values = [runs[run] for run in group["run"]], group[column]
        label = f"{name} ({place})" if places.nunique() > 1 else name
        (line,) = axes.plot(across, values, label=label, linewidth=1)
        busy = (group["others_busy"] >= QUIET).to_list()
        faces = ["none" if one else line.get_color() for one in busy]
        axes.scatter(across, values, facecolors=faces, edgecolors=line.get_color())
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    if rows[column].max() < 10 * rows[column].min():  # ticks at powers of ten would not do
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_ylabel("times as fast" if column == "ratio" else "seconds")
    axes.set_xticks(list(runs.values()), labels, rotation=45, ha="right", fontsize=7)
    axes.set_title(case if places.nunique() > 1 else f"{case}: {places.iloc[0]}")
    axes.grid(alpha=0.3)
    picture.legend(loc="outside right upper", fontsize=7)
    picture.savefig(path, dpi=120)


def draw_all(rows: pd.DataFrame, folder: Path) -> None:
    """A figure for every case that has ratios or seconds, in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for case, group in rows.groupby("case"):
        if drawn(group)[1].empty:
            say(f"{case}: no ratios and no seconds to draw")
            continue
        path = folder / f"{case}.png"
        draw(str(case), group, path)
        say(f"{path} is drawn")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT, metavar="DIR")
    parser.add_argument("--case", help="this case only")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="where figures go (default: the history's)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    options = parser.parse_args()
    rows = read(options.folder)
    if options.case:
        known = sorted(set(rows["case"]))
        rows = rows[rows["case"] == options.case]
        if not len(rows):
            raise SystemExit(
                f"--case {options.case}: no such case in {options.folder}. There: {', '.join(known)}"
            )
    draw_all(rows, options.figures or options.folder)
    answer(json.loads(rows.to_json(orient="records")), shown(rows), options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
