"""The jobs that a campaign with a sweep will have, as far as they can be told before its points are asked."""

from __future__ import annotations

from dataclasses import replace

from autoreid.errors import InputError
from tune_runs.planning import Plan, arm_of, make_plan
from tune_runs.points import REFUSED, Point, asks, of_study
from tune_runs.studies import next_point
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
    whole = make_plan(campaign, plan.fingerprint, plan.classes, points)
    names = {arm_of(campaign, point).name: point.arm for point in whole.points if point.is_planned}
    entries = (replace(entry, arm=names.get(entry.arm, entry.arm)) for entry in whole.entries)
    return replace(whole, entries=tuple(dict.fromkeys(entries)))


def unswept(plan: Plan) -> Plan:
    """The plan without its sweep: arms that are swept are as the file gives them."""
    if plan.campaign.sweep is None:
        return plan
    return make_plan(replace(plan.campaign, sweep=None), plan.fingerprint, plan.classes)


def _asked(plan: Plan, study: Study) -> list[Point]:
    """All points of a study, settled."""
    by_chance = replace(study, settings=replace(study.settings, sampler="random"))
    points = of_study(study, plan.points)
    while asks(study, points):
        point = next_point(by_chance, points)
        if any(other.question == point.question for other in points):
            point = replace(point, state="known")
        else:
            try:
                arm_of(plan.campaign, point)
            except InputError:
                point = replace(point, state="failed", reason=REFUSED)
        points.append(point)
    known = any(point.state == "done" for point in points)
    first = next((point.number for point in points if point.state == "open"), None)
    return [_settled(study, point, best=point.number == first and not known) for point in points]


def _settled(study: Study, point: Point, *, best: bool) -> Point:
    """An open point as if it was done, and better than all, or worse."""
    if point.state != "open":
        return point
    signs = (1.0 if AIMS[aim] == "maximize" else -1.0 for aim in study.settings.aims)
    return replace(point, state="done", scores=tuple(sign * (1e18 if best else -1e18) for sign in signs))
