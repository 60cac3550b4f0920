"""The sample campaign that is shipped: it is whole, small, and a report of it needs neither torch nor Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_storage import FakeCampaign

import analysis
from analysis.shipped import NAME, unpack
from analysis.tables import campaign_facts, file_of, read
from autoreid.cli import main
from autoreid.errors import InputError
from autoreid.records import TABLES

SHIPPED = Path(analysis.__file__).parent / "sample"

# As in an environment that never had them: nothing that needs torch or Ray can be imported.
WITHOUT = """
import importlib.abc, sys
MISSING = {"torch", "torchvision", "ray", "optuna", "pydantic", "yaml", "tune_runs"}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from autoreid.cli import main
code = main(["report", sys.argv[1], "--sample", "--json"])
assert not MISSING & set(sys.modules), MISSING & set(sys.modules)
sys.exit(code)
"""


def test_the_sample_is_whole_and_real() -> None:
    trials = read(SHIPPED, "trials")
    assert set(trials["status"]) == {"done"} and len(trials) == 16
    assert trials.groupby(["arm", "kind"]).size().tolist() == [4, 4, 4, 4]
    assert trials["wall_seconds"].nunique() == 16  # by a clock
    assert len(read(SHIPPED, "evaluations")) == 16
    assert read(SHIPPED, "retrains")["mAP"].nunique() > 4
    assert set(read(SHIPPED, "alphas").groupby(["job", "epoch"]).size()) == {72}
    assert set(read(SHIPPED, "costs")["phase"]) >= {"search", "health", "train", "evaluation", "other"}
    facts = campaign_facts(SHIPPED, NAME)
    assert facts["file"] == (SHIPPED / "sample.yaml").read_text()


def test_the_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 400_000


def test_the_sample_goes_where_nothing_else_is(tmp_path: Path) -> None:
    for _ in range(2):
        unpack(tmp_path / "new")
    for table in TABLES:
        name = file_of(table, NAME)
        assert (tmp_path / "new" / name).read_bytes() == (SHIPPED / name).read_bytes()
    FakeCampaign(tmp_path / "used", "mine", {"a": 2}, repeats=1).write_manifest()
    with pytest.raises(InputError, match="not a place for the sample: mine in it"):
        unpack(tmp_path / "used")
    assert main(["report", str(tmp_path / "used"), "--sample"]) == 2
    assert not (tmp_path / "used" / "tables").exists()


@pytest.mark.slow
def test_its_report_needs_neither_torch_nor_ray(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path)], check=True, capture_output=True, text=True
    )
    answer = json.loads(done.stdout)
    text = Path(answer["report"]).read_text()
    assert "<h1>sample" in text and "all branches" in text and answer["warnings"] == []
    assert all(Path(path).is_file() for path in answer["figures"]) and len(answer["figures"]) >= 4
