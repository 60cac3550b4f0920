"""The arms that the points of a sweep are, and what follows from the points for the plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tune_runs.arms import Arm
from tune_runs.campaign import Campaign
from tune_runs.enumeration import is_over
from tune_runs.points import Point, best_of, of_study

if TYPE_CHECKING:
    from tune_runs.planning import Plan


def arm_of(campaign: Campaign, point: Point) -> Arm:
    """The arm that a point of the campaign's sweep is; InputError where its recipes refuse its values."""
    assert campaign.sweep is not None
    swept = next(swept for swept in campaign.sweep.swept if swept.name == point.arm)
    base = next(arm for arm in campaign.arms if arm.name == point.arm)
    return replace(swept.at(point.values), teacher=base.teacher).on_sets_of(base)


def given_up(plan: Plan) -> frozenset[str]:
    """The jobs that nothing but pruned points of the sweep needs: they are not to be run."""
    pruned = {point.key: set(point.jobs) for point in plan.points if point.state == "pruned"}
    if not pruned:
        return frozenset()
    names = {arm_of(plan.campaign, point).name for point in plan.points if point.key in pruned}
    kept = {job for point in plan.points if point.key not in pruned for job in point.jobs}
    kept |= {entry.job for entry in plan.entries if entry.arm not in names}
    return frozenset().union(*pruned.values()) - kept


def trained_arms(campaign: Campaign, points: Sequence[Point]) -> Iterator[Arm]:
    """The arms to be trained of studies that are over: the best one under the name of the arm; or, with
    several aims, each that none surpasses."""
    for study in campaign.sweep.studies if campaign.sweep else ():
        mine = of_study(study, points)
        if study.settings.train == "best" and is_over(study, mine):
            for point in best_of(study, mine):
                arm = arm_of(campaign, point)
                yield replace(arm, name=point.arm) if study.has_one_aim else arm
