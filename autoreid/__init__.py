"""Architecture search for person re-identification. The public names load when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from autoreid.version import __version__

_HOMES = {
    "search": "autoreid.calls",
    "train": "autoreid.calls",
    "pretrain": "autoreid.calls",
    "load": "autoreid.portable_network",
    "run_job": "autoreid.running",
    "DataSource": "autoreid.data.source",
    "Execution": "autoreid.execution",
    "SearchRecipe": "autoreid.recipes",
    "TrainRecipe": "autoreid.recipes",
    "CDNET_SEARCH": "autoreid.published",
    "CDNET_TRAIN": "autoreid.published",
    "override": "autoreid.values",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autoreid' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
