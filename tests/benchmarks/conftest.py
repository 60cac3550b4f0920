"""Benchmarks are scripts: their folder joins the path, at its end, since other helpers have like names."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
