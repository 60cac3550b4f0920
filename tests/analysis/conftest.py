from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

# Tests are imported by path, so a helper module beside them has to be found by its folder.
sys.path.insert(0, str(Path(__file__).parent))

from fake_storage import FakeCampaign, partial_campaign

from analysis.assembly import page
from analysis.collect import collect
from analysis.pages import Page, Records


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of `partial_campaign`, with its tables; not to be written to."""
    root = tmp_path_factory.mktemp("example") / "storage"
    partial_campaign(root)
    assert collect(root).warnings == ()
    return root


@pytest.fixture(scope="session")
def example_page(example: Path) -> Page:
    return page(Records.read(example, "two-arms"), "two-arms")


@pytest.fixture
def collected(example: Path, tmp_path: Path) -> Path:
    """A copy of the example: storage and tables."""
    return Path(shutil.copytree(example, tmp_path / "storage"))


@pytest.fixture
def storage(collected: Path) -> Path:
    """A copy of the example without tables."""
    shutil.rmtree(collected / "tables")
    return collected


@pytest.fixture
def campaign(tmp_path: Path) -> FakeCampaign:
    """The hand that wrote the example: what it writes goes into the copy."""
    return FakeCampaign(tmp_path / "storage")
