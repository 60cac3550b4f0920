"""Makes `campaigns`, the helpers of these tests, importable: tests are no packages. What several files
compare with is computed once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autoreid.storage import Storage

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, cache_folder):
    """What a campaign leaves that nobody disturbs."""
    from disturbed import JOBS, contents, start

    folder = tmp_path_factory.mktemp("undisturbed")
    answer = start(folder, AUTOREID_CACHE=str(cache_folder)).end(0)
    assert (answer["ran"], answer["jobs"]) == (JOBS, JOBS)
    return contents(Storage(folder / "storage"))
