"""The data of a campaign, opened, and the plan on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoreid.data.index import ImageIndex, fingerprint
from autoreid.errors import InputError, Problems
from tune_runs.campaign import Campaign
from tune_runs.checks import check_data, class_problems
from tune_runs.planning import NO_DATA, Plan, make_plan
from tune_runs.teachers import check_teachers

if TYPE_CHECKING:
    from autoreid.data.classes import Classes

# The indexes of data sets by name.
Indexes = Mapping[str, ImageIndex]


@dataclass(frozen=True, slots=True)
class Opened:
    """The data sets of a campaign that are here, and what it pretrains on."""

    indexes: Indexes
    classes: Classes | None = None


def open_data(campaign: Campaign, problems: Problems) -> Opened:
    """The data of a campaign; what is not there goes into `problems`."""
    from autoreid.data.source import open_index

    indexes, classes = {}, None
    for name, source in campaign.sets.items():
        try:
            indexes[name] = open_index(source)
        except InputError as error:
            problems.extend(_named(campaign, name, problem) for problem in error.problems)
    if campaign.classes is not None:
        from autoreid.data.classes import open_classes  # deferred: loads torch

        try:
            classes = open_classes(campaign.classes.set, Path(campaign.classes.root))
        except InputError as error:
            problems.extend(f"pretrain.{problem}" for problem in error.problems)
    return Opened(indexes, classes)


def _named(campaign: Campaign, name: str, problem: str) -> str:
    """A problem of a data set under its key in the file; the default set is understood."""
    if name not in campaign.data_sets:
        return problem
    return f"data_sets.{name}: {problem.removeprefix('data.')}"


def read_data(campaign: Campaign) -> tuple[Plan, Indexes]:
    """The plan on the campaign's data, which must be there and fit; InputError where it does not."""
    problems = Problems()
    opened = open_data(campaign, problems)
    problems.raise_if_any()
    return plan_on(campaign, opened), opened.indexes


def plan_on(campaign: Campaign, opened: Opened) -> Plan:
    """The plan on opened data; InputError where it does not fit, or where two data sets are the same."""
    check_all(campaign, opened)
    digests = {name: fingerprint(index) for name, index in opened.indexes.items()}
    first: dict[str, str] = {}
    problems = Problems()
    for name, digest in digests.items():
        if first.setdefault(digest, name) != name:
            message = f"the same images as {first[digest]!r}, named twice. Name one of the two in its place."
            problems.add(f"data_sets.{name}", message)
    problems.raise_if_any()
    default = NO_DATA if campaign.source is None else digests.pop(campaign.source.set)
    classes = opened.classes.fingerprint if opened.classes else NO_DATA
    plan = make_plan(campaign, default, classes, others=digests)
    check_teachers(plan, opened.indexes)
    return plan


def check_all(campaign: Campaign, opened: Opened) -> None:
    """InputError with what does not fit, of all data sets that are here."""
    problems = Problems()
    if opened.classes is not None:
        problems.extend(class_problems(campaign, opened.classes))
    for name, index in opened.indexes.items():
        try:
            check_data(campaign, index, name)
        except InputError as error:
            problems.extend(error.problems)
    if problems.found:
        raise InputError(*dict.fromkeys(problems.found))
