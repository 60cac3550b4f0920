"""Write the golden files anew, after ENGINE_REVISION was raised or a new recipe was published.

python tests/golden/rewrite.py

What changed although the revision did not is refused, and nothing is written. Where only what is written down
was chosen anew, remove the file first.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from golden_jobs import golden_ids
from golden_run import VECTORS, golden_run, open_data, run_problems

from autoreid.version import ENGINE_REVISION

FOLDER = Path(__file__).parent
REMEDY = "Nothing was written. If it changed on purpose, raise ENGINE_REVISION in autoreid/version.py first."
NO_VECTORS = (
    "this processor has neither AVX2 nor AVX512, so its initial weights are its own. Use another one."
)


def changed_ids(written: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Jobs whose id is another one; new jobs are none of them."""
    return [
        f"{name}: its id is another one"
        for name, job in written["ids"].items()
        if found["ids"].get(name) != job
    ]


def read(name: str) -> Any:
    """A golden file, or None where there is none of this revision."""
    file = FOLDER / name
    written = json.loads(file.read_text()) if file.is_file() else None
    return None if written is None or written["engine_revision"] != ENGINE_REVISION else written


def main() -> int:
    if torch.backends.cpu.get_cpu_capability() not in VECTORS:
        sys.exit(NO_VECTORS)
    ids, steps = golden_ids(), read("three_steps.json")
    with tempfile.TemporaryDirectory() as cache:
        run = golden_run(open_data(Path(cache)))
    problems = changed_ids(read("job_ids.json") or {"ids": {}}, ids)
    problems += [] if steps is None else run_problems(steps, run)
    if problems:
        print("\n".join([*problems, REMEDY]), file=sys.stderr)
        return 1
    (FOLDER / "job_ids.json").write_text(json.dumps(ids, indent=1) + "\n")
    if steps is None:  # else it is written already, to the last digit that counts
        (FOLDER / "three_steps.json").write_text(json.dumps(run, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
