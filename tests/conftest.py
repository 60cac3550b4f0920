"""Fixtures that several packages share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Tests are imported by path, so a helper module beside them has to be found by its folder.
sys.path.insert(0, str(Path(__file__).parent))

from local_s3 import Proxy, address, s3_server

from autoreid.data.source import DataSource
from autoreid.determinism import VARIABLE, WORKSPACES
from autoreid.feed import PreparedData, prepare
from autoreid.folders import Folder, open_folder

torch.set_num_threads(1)  # two workers share two cores
# Before any test begins with CUDA, which reads it once; tests of deterministic kernels need it.
os.environ.setdefault(VARIABLE, WORKSPACES[0])

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


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an S3 server on loopback, with credentials for it in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "ENDPOINT_URL",
            "ENDPOINT_URL_S3",
            "PROFILE",
            "REGION",
            "DEFAULT_REGION",
            "SESSION_TOKEN",
        ):
            patch.delenv(f"AWS_{name}", raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "an-id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with s3_server() as port:
            yield port


@pytest.fixture
def proxy(s3_port: int) -> Iterator[Proxy]:
    """A way to the S3 server that can be cut."""
    passage = Proxy(s3_port)
    yield passage
    passage.close()


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """An empty folder of each kind."""
    if request.param == "local":
        return open_folder(tmp_path / "folder")
    return open_folder(address(request.getfixturevalue("s3_port"), tmp_path.name))
