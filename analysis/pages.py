"""What a report is made of: pages of sections, each with grids of text, figures and code.

The templates know these values and nothing of pandas, so that HTML and Markdown say the same.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis import tables
from autoreid.records import TABLES

# Kinds of jobs whose images are not those of the data sets for re-ID.
OTHER_IMAGES = ("pretrain", "latency")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table for people. `align` has a letter for each column: l, r, or w for text that may wrap.

    Every grid is written as CSV too; `latex` says that it is one for a paper, and written as LaTeX as well.
    """

    title: str
    headings: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    folded: bool = False
    latex: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure: its file name without ending, its caption, what draws its SVG text, and the data it shows.

    It is drawn when it is first looked at: much of the time of a report is drawing.
    """

    name: str
    caption: str
    draw: Callable[[], str] = field(compare=False)
    data: Grid | None = None

    @functools.cached_property
    def svg(self) -> str:
        """The text of the drawing."""
        return self.draw()


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture of pixels: its file name without ending, its caption, and the PNG."""

    name: str
    caption: str
    png: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as the PNG's head has them; (0, 0) where it is none."""
        head = self.png[16:24] if self.png.startswith(b"\x89PNG") else b""
        return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")

    @property
    def uri(self) -> str:
        """The address that holds the picture."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to type or a file to keep."""

    title: str
    text: str
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page; what is empty is left out."""

    title: str
    intro: str = ""
    points: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()
    codes: tuple[Code, ...] = ()
    photos: tuple[Photo, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One campaign: its name, its claim, a few facts as (term, text), and the sections."""

    name: str
    claim: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """The tables of one campaign, and what its manifest said."""

    name: str
    facts: Mapping[str, Any]
    trials: pd.DataFrame
    epochs: pd.DataFrame
    genotypes: pd.DataFrame
    retrains: pd.DataFrame
    pretrains: pd.DataFrame
    points: pd.DataFrame
    alphas: pd.DataFrame
    evaluations: pd.DataFrame
    costs: pd.DataFrame
    latencies: pd.DataFrame
    unread: tuple[str, ...] = ()

    @classmethod
    def read(cls, where: tables.Where, campaign: str) -> Records:
        """Read the collected tables of one campaign; InputError as for `analysis.tables.read`.

        Tables of details that cannot be read have no rows, and `unread` says why.
        """
        whole = [table for table in TABLES if table not in tables.DETAILS]
        frames = {table: tables.read(where, table, campaign) for table in whole}
        unread: list[str] = []
        for table in tables.DETAILS:
            frames[table], problems = tables.read_details(where, table, campaign)
            unread += problems
        return cls(campaign, tables.campaign_facts(where, campaign), **frames, unread=tuple(unread))

    @property
    def arms(self) -> list[str]:
        """The arms in the order of the campaign."""
        return list(dict.fromkeys(self.trials["arm"]))

    def by_arm(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows by arm and repeat, where the tables have them in the order of launch."""
        places = {arm: place for place, arm in enumerate(self.arms)}
        order = pd.DataFrame({"arm": frame["arm"].map(places), "repeat": frame["repeat"]})
        return frame.loc[order.sort_values(["arm", "repeat"], kind="stable").index]

    @property
    def baseline(self) -> str | None:
        """The arm that differences are taken to, where one is named and was planned; of several, each on a
        data set, the first."""
        on = self.facts.get("baselines")
        named = [self.facts.get("baseline"), *(on.values() if isinstance(on, Mapping) else ())]
        return next((arm for arm in named if arm in self.arms), None)

    @property
    def jobs(self) -> pd.DataFrame:
        """The trials with every job once, however many arms share it."""
        return self.trials.drop_duplicates("job")

    @property
    def done(self) -> pd.DataFrame:
        return self.jobs[self.jobs["status"] == "done"]

    def planned(self, arm: str, kind: str) -> int:
        """Jobs of a kind that an arm has in the plan."""
        return int(((self.trials["arm"] == arm) & (self.trials["kind"] == kind)).sum())

    def arms_with(self, kind: str) -> list[str]:
        having = set(self.trials["arm"][self.trials["kind"] == kind])
        return [arm for arm in self.arms if arm in having]


def values(frame: pd.DataFrame, arm: str, column: str) -> list[float]:
    """What the repeats of an arm gave, in the order of the repeats, without the empty ones."""
    mine = (frame["arm"] == arm).to_numpy(dtype=bool)
    found = frame[column][mine].dropna()
    order = frame["repeat"][mine].loc[found.index].argsort(kind="stable")
    return [float(value) for value in found.iloc[order]]
