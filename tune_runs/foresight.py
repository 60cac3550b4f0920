"""The jobs that a campaign with a sweep will have, as far as they can be told before its points are asked."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

from autoreid.errors import InputError
from tune_runs.domains import Choice, Range
from tune_runs.enumeration import every_point
from tune_runs.planning import Plan
from tune_runs.point_arms import arm_of
from tune_runs.points import Point, of_study, was_cancelled
from tune_runs.sweeps import AIMS, Study


def foreseen(plan: Plan) -> Plan:
    """The plan as it may be in the end: as if points came by chance, none failed, and the best of now, or the
    first, stayed the best; where there are several aims, in all of them.

    The entries of points stand under the names of their arms. It is for counting, and not to be run.
    """
    campaign = plan.campaign
    if campaign.sweep is None:
        return plan
    points = [point for study in campaign.sweep.studies for point in _asked(plan, study)]
    points = [point for point in points if point.state != "pruned"]
    whole = plan.again(points)
    names = {arm_of(campaign, point).name: point.arm for point in whole.points if point.is_planned}
    entries = (replace(entry, arm=names.get(entry.arm, entry.arm)) for entry in whole.entries)
    return replace(whole, entries=tuple(dict.fromkeys(entries)))


def unswept(plan: Plan) -> Plan:
    """The plan without its sweep: arms that are swept are as the file gives them."""
    if plan.campaign.sweep is None:
        return plan
    return plan.again(campaign=replace(plan.campaign, sweep=None))


def _asked(plan: Plan, study: Study) -> list[Point]:
    """All points of a study, settled; those that are not asked yet are drawn by chance."""
    points = of_study(study, plan.points)
    listed, chance = every_point(study), random.Random(study.name)
    wanted = study.settings.points - sum(point.state != "known" for point in points)
    if was_cancelled(points):
        wanted = 0
    if listed is None:
        drawn = [_drawn(study, chance) for _ in range(max(wanted, 0))]
    else:
        tried = {point.question for point in points}
        left = [point for point in listed if point.question not in tried]
        drawn = chance.sample(left, max(min(wanted, len(left)), 0))
    points += [replace(point, number=len(points) + place) for place, point in enumerate(drawn)]
    points = [point for point in points if not point.is_planned or _is_allowed(plan, point)]
    known = any(point.state == "done" for point in points)
    first = next((point.number for point in points if point.state == "open"), None)
    return [_settled(study, point, best=point.number == first and not known) for point in points]


def _is_allowed(plan: Plan, point: Point) -> bool:
    try:
        arm_of(plan.campaign, point)
    except InputError:
        return False
    return True


def _drawn(study: Study, chance: random.Random) -> Point:
    """A point of a study, each value uniformly from its domain."""
    swept, values = chance.choice(study.swept), dict[str, Any]()
    for domain in swept.domains:
        if domain.applies(values):
            values[domain.name] = _value(domain.values, chance)
    return Point(study.name, 0, swept.name, values)


def _value(domain: Range | Choice, chance: random.Random) -> Any:
    numbers = domain.numbers()
    if numbers is not None:
        return chance.choice(numbers)
    assert isinstance(domain, Range)
    if domain.log:
        return domain.rounded(math.exp(chance.uniform(math.log(domain.low), math.log(domain.high))))
    return domain.rounded(chance.uniform(domain.low, domain.high))


def _settled(study: Study, point: Point, *, best: bool) -> Point:
    """An open point as if it was done, and better than all, or worse."""
    if point.state != "open":
        return point
    signs = (1.0 if AIMS[aim] == "maximize" else -1.0 for aim in study.settings.aims)
    return replace(point, state="done", scores=tuple(sign * (1e18 if best else -1e18) for sign in signs))
