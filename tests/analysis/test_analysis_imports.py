"""What `import analysis` needs, and what it must not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import analysis

MODULES = sorted(path.stem for path in Path(analysis.__file__).parent.glob("*.py") if path.stem != "__init__")

BLOCKED = """
import sys
for name in ("torch", "torchvision", "ray", "optuna", "pydantic", "yaml", "tune_runs"):
    sys.modules[name] = None
import importlib
for name in {modules!r}:
    importlib.import_module("analysis." + name)
from autoreid.cli import main
assert main(["tables", "describe", "trials"]) == 0
from analysis.collect import collect
from analysis.report import report
collect({storage!r})
print(report({storage!r})[0])
"""

LIGHT = """
import sys
import analysis.commands
import analysis.genotype_commands
heavy = {"torch", "ray", "pandas", "pyarrow", "optuna", "numpy", "scipy", "matplotlib", "jinja2"}
print(sorted(heavy & set(sys.modules)))
"""


def python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_every_module_and_a_report_work_without_torch_and_ray(storage: Path) -> None:
    assert len(MODULES) > 8
    out = python(BLOCKED.format(modules=MODULES, storage=str(storage)))
    assert out.splitlines()[-1] == str(storage / "report" / "report.html")


def test_commands_import_nothing_heavy() -> None:
    assert python(LIGHT) == "[]"


def test_the_package_is_the_one_of_this_project() -> None:
    assert Path(analysis.__file__).resolve().is_relative_to(Path(__file__).resolve().parents[2])
