"""Fixtures that several packages share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoreid.data.source import DataSource
from autoreid.feed import PreparedData, prepare

torch.set_num_threads(1)  # two workers share two cores

# Small enough for a search in a second: 8 training identities, 3 cameras, 2 images each.
SMALL = DataSource(set="rendered", identities=16, cameras=3, images=2, height=64, width=32)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def small_source() -> DataSource:
    return SMALL


@pytest.fixture(scope="session")
def small_data(cache: Path) -> PreparedData:
    """Rendered pedestrians, decoded to 64 x 32."""
    return prepare(SMALL, 64, 32, cache)
