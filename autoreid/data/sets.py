"""The built-in data sets by name, and which of them lies in a folder. Free of torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoreid.data import cuhk03, dukemtmc, index_file, market1501, msmt17
from autoreid.data.market_folders import FOLDERS, has_splits
from autoreid.data.surveys import Survey
from autoreid.errors import InputError


@dataclass(frozen=True, slots=True)
class DataSet:
    """How a built-in data set is read.

    survey(root, **options) looks into a folder without raising; layouts(root) says in words where the set
    lies at or below a folder. options: fields of DataSource that `survey` takes besides the folder. cached:
    whether it takes the cache folder as well.
    """

    survey: Callable[..., Survey]
    layouts: Callable[[Path], list[str]]
    options: tuple[str, ...] = ()
    cached: bool = False


DATASETS: dict[str, DataSet] = {
    "market1501": DataSet(market1501.survey, market1501.layouts, ("distractors",)),
    "dukemtmc": DataSet(dukemtmc.survey, dukemtmc.layouts),
    "cuhk03": DataSet(cuhk03.survey, cuhk03.layouts, ("variant",), cached=True),
    "msmt17": DataSet(msmt17.survey, msmt17.layouts, ("validation",)),
    "index": DataSet(index_file.survey, index_file.layouts),
}


def sets_in(root: Path) -> dict[str, list[str]]:
    """The built-in data sets that lie at or below a folder, by name, each with the layouts found."""
    found = {name: known.layouts(root) for name, known in DATASETS.items()}
    return {name: layouts for name, layouts in found.items() if layouts}


def find_set(root: Path) -> str:
    """The name of the one built-in data set that lies at or below a folder, or in an index file.

    Three folders of Market-1501 with other file names count as Market-1501, whose reader names these files.
    InputError where there is nothing, no known layout, or more than one data set.
    """
    if not root.exists():
        raise InputError(f"{root}: no such folder. Give the folder of a data set, or an index file.")
    found = sets_in(root)
    if len(found) == 1:
        return next(iter(found))
    if found:
        places = "; ".join(f"{name}: {', '.join(layouts)}" for name, layouts in found.items())
        raise InputError(f"{root}: {len(found)} data sets are here ({places}). Name one with --data-set.")
    if has_splits(root):
        return "market1501"
    raise InputError(
        f"{root}: no known layout. Give a folder with {', '.join(FOLDERS.values())}; CUHK03's {cuhk03.MAT} "
        f"or images with their lists; MSMT17's folders with {', '.join(msmt17.LISTS.values())}; or an index "
        f"file ({' or '.join(index_file.ENDINGS)}). Or name the set with --data-set, to see what it lacks."
    )
