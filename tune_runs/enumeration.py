"""All points of a study whose domains are lists and steps: there no question need be asked twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from autoreid.values import digest
from tune_runs.domains import MOST_LISTED, Domain
from tune_runs.points import Point, asks, was_cancelled
from tune_runs.sweeps import Study


def every_point(study: Study) -> list[Point] | None:
    """All points that a study can ask for; None where they are too many, or a range cannot be listed."""
    found: list[Point] = []
    for swept in study.swept:
        if any(domain.values.numbers() is None for domain in swept.domains):
            return None
        for values in _chosen(swept.domains, {}):
            if len(found) == MOST_LISTED:
                return None
            found.append(Point(study.name, 0, swept.name, values))
    return found


def _chosen(domains: Sequence[Domain], before: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not domains:
        yield dict(before)
        return
    first, *rest = domains
    if not first.applies(before):
        yield from _chosen(rest, before)
        return
    for value in first.values.numbers() or ():
        yield from _chosen(rest, {**before, first.name: value})


def is_exhausted(study: Study, points: Sequence[Point]) -> bool:
    """Whether everything has been asked."""
    listed = every_point(study)
    return listed is not None and {point.question for point in listed} <= {point.question for point in points}


def is_over(study: Study, points: Sequence[Point]) -> bool:
    """Whether all that a study asks for is settled, and nobody stopped it before."""
    if was_cancelled(points) or any(point.state == "open" for point in points):
        return False
    return not asks(study, points) or is_exhausted(study, points)


def untried(study: Study, points: Sequence[Point], suggested: Point) -> Point:
    """The suggested point; where it was asked before and points can be listed, one that was not asked."""
    tried = {point.question for point in points}
    if suggested.question not in tried:
        return suggested
    left = [point for point in every_point(study) or () if point.question not in tried]
    if not left:
        return suggested
    seed = int(digest([study.settings.seed, study.name, len(points), "untried"])[:8], 16)
    found = left[seed % len(left)]
    return replace(suggested, arm=found.arm, values=found.values)
