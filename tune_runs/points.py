"""The points of a sweep: what was asked, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from autoreid.errors import InputError
from autoreid.values import canonical_json
from tune_runs.states import CANCELLED
from tune_runs.sweeps import AIMS, Study, Sweep

# A study is over, too, after so many points in a row that were known before, or that recipes refuse.
IN_A_ROW = 10
# How the reason of a point begins whose values the recipes do not allow together.
REFUSED = "not allowed: "

State = Literal["open", "done", "failed", "pruned", "known"]


@dataclass(frozen=True, slots=True)
class Point:
    """Values of the domains of an arm that a study asked for, counted from 0 in each study.

    `known` is one that was asked before, with the figures of that one. `jobs` are the ids of its jobs, the
    selection last, `scores` the figures of the aims, of a point that is done; `reason` says why it failed
    or was pruned. `notes` are the sampler's own, JSON values. `curve` is the validation accuracy of the first
    repeat by epoch, kept where points are pruned.
    """

    study: str
    number: int
    arm: str
    values: Mapping[str, Any]
    jobs: tuple[str, ...] = ()
    state: State = "open"
    scores: tuple[float, ...] = ()
    reason: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    curve: Mapping[int, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from every other point of the campaign."""
        return self.study, self.number

    @property
    def is_planned(self) -> bool:
        """Whether it has jobs of its own."""
        return self.state != "known" and not self.reason.startswith(REFUSED)

    @property
    def question(self) -> str:
        """What is asked: equal of two points that ask the same."""
        return canonical_json([self.arm, dict(self.values)])

    def plain(self) -> dict[str, Any]:
        """The point as JSON values."""
        return {
            "study": self.study,
            "number": self.number,
            "arm": self.arm,
            "values": dict(self.values),
            "jobs": list(self.jobs),
            "state": self.state,
            "scores": list(self.scores),
            "reason": self.reason,
            "notes": dict(self.notes),
            "curve": {str(epoch): value for epoch, value in self.curve.items()},
        }

    @classmethod
    def from_plain(cls, given: Mapping[str, Any]) -> Point:
        """Read what `plain` wrote; KeyError, TypeError or ValueError where it is something else."""
        return cls(
            study=given["study"],
            number=int(given["number"]),
            arm=given["arm"],
            values=dict(given["values"]),
            jobs=tuple(given["jobs"]),
            state=given["state"],
            scores=tuple(map(float, given["scores"])),
            reason=given["reason"],
            notes=dict(given["notes"]),
            curve={int(epoch): float(value) for epoch, value in given["curve"].items()},
        )


def of_study(study: Study, points: Iterable[Point]) -> list[Point]:
    """The points of one study, in the order in which they were asked."""
    return sorted((point for point in points if point.study == study.name), key=lambda point: point.number)


def asks(study: Study, points: Sequence[Point]) -> bool:
    """Whether a study wants another point, after these of its own.

    Points that were known do not count. It wants no more after `IN_A_ROW` points that brought nothing new,
    nor after one whose jobs somebody cancelled.
    """
    if was_cancelled(points) or sum(point.state != "known" for point in points) >= study.settings.points:
        return False
    last = points[-IN_A_ROW:]
    return len(last) < IN_A_ROW or any(point.is_planned for point in last)


def was_cancelled(points: Sequence[Point]) -> bool:
    """Whether somebody has cancelled the jobs of a point."""
    return any(point.state == "failed" and point.reason.endswith(CANCELLED) for point in points)


def answered(points: Sequence[Point]) -> list[Point]:
    """The points of a study, those that were known with the figures of the point that asked first."""
    first = {point.question: point for point in reversed(points) if point.state != "known"}
    return [
        replace(point, scores=first[point.question].scores) if point.state == "known" else point
        for point in points
    ]


def best_of(study: Study, points: Sequence[Point]) -> list[Point]:
    """The best point of these; with several aims those that none surpasses, in the order they were asked."""
    done = [point for point in points if point.state == "done"]
    signs = [1 if AIMS[aim] == "maximize" else -1 for aim in study.settings.aims]
    scores = {point.number: [s * x for s, x in zip(signs, point.scores, strict=True)] for point in done}
    if len(signs) == 1:
        return [max(done, key=lambda point: scores[point.number])] if done else []
    return [
        point
        for point in done
        if not any(_surpasses(scores[other.number], scores[point.number]) for other in done)
    ]


def _surpasses(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one is nowhere worse and somewhere better; higher is better.

    >>> _surpasses([1, 2], [1, 1]), _surpasses([1, 1], [1, 1]), _surpasses([2, 0], [1, 1])
    (True, False, False)
    """
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def fitting(sweep: Sweep, given: Sequence[Point], *, unchanged: bool) -> list[Point]:
    """Points of a manifest that a sweep can go on from, numbered anew in each study, as if nobody knew what
    became of their jobs; figures are kept where the sweep is `unchanged`.

    Those of arms that are no longer swept, or with values that are no longer chosen, are left out, and so are
    points that were known of them, and at the end of a study whose sweep has changed: it may ask anew.
    """
    kept: list[Point] = []
    for study in sweep.studies:
        mine = [point for point in of_study(study, given) if _is_allowed(study, point)]
        questions = {point.question for point in mine if point.state != "known"}
        mine = [point for point in mine if point.state != "known" or point.question in questions]
        while not unchanged and mine and mine[-1].state == "known":
            mine.pop()
        fresh = [_unsettled(sweep, point, unchanged) for point in mine]
        kept += [replace(point, number=number) for number, point in enumerate(fresh)]
    return kept


def _is_allowed(study: Study, point: Point) -> bool:
    """Whether the study may have asked for a point as it is now."""
    swept = study.arm(point.arm)
    if swept is None or not swept.allows(point.values):
        return False
    return not point.is_planned or point.state == "known" or _refusal(study, point) is None


def _refusal(study: Study, point: Point) -> str | None:
    """Why the recipes of its arm do not allow the values of a point, if they do not."""
    swept = study.arm(point.arm)
    assert swept is not None
    try:
        swept.at(point.values)
    except InputError as error:
        return "; ".join(error.problems)
    return None


def _unsettled(sweep: Sweep, point: Point, unchanged: bool) -> Point:
    scores = point.scores if unchanged else ()
    if point.state == "known" or (point.state == "pruned" and sweep.settings.pruning):
        return replace(point, scores=())
    if not point.is_planned:
        (study,) = (study for study in sweep.studies if study.name == point.study)
        if _refusal(study, point) is not None:
            return point
    return replace(point, state="open", scores=scores, reason="")
