"""The history of the benchmarks: a parquet file a run, a row a measurement."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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
    return rows.join(extra, rsuffix="_extra").sort_values(["time", "run"], kind="stable", ignore_index=True)
