from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_storage import FakeCampaign

from analysis.collect import collect
from analysis.tables import describe_markdown
from search_spaces.places import PLACES

ALPHAS = {place: [0.1 * number for number in range(len(of))] for place, of in PLACES["cds-v1"].items()}
DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", (DOCS / "reports.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_data_dictionary_is_up_to_date() -> None:
    """If this fails: autoreid tables describe --markdown > docs/tables.md"""
    assert (DOCS / "tables.md").read_text() == describe_markdown()


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the examples read: the storage of a demo in the working directory."""
    campaign = FakeCampaign(tmp_path / "autoreid-demo", "demo", {"top-2": 2}, repeats=2)
    for repeat in range(2):
        campaign.finish("top-2", repeat, "search", alphas=ALPHAS)
        campaign.finish("top-2", repeat, "train")
    campaign.write_manifest()
    collect(tmp_path / "autoreid-demo")
    monkeypatch.chdir(tmp_path)


def test_the_examples_of_the_statistics_give_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "statistics.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    exec(compile(block, "docs/statistics.md", "exec"), {})
    assert capsys.readouterr().out == f"{2 / 70}\n[4, 5, 6]\n"


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("block", "expected"),
    list(zip(BLOCKS, ["0.375", "done", "0.375", "0.03333", "(7,9,2)", "b's' b'3'"], strict=True)),
    ids=["pandas", "reader", "duckdb", "duckdb-costs", "polars", "metadata"],
)
def test_the_examples_run(block: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "docs/reports.md", "exec"), {})
    assert expected in capsys.readouterr().out
